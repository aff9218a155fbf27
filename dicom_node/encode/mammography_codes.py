"""How mammography CAD calls what a model finds on a single image."""

from pydicom.sr.codedict import codes

from dicom_node.values import CodedConcept

# CID 6015, and what CID 6014 has beyond that and can be outlined without more being said of it. Breast composition, breast geometry and
# image quality are of a whole image and have no outline (TID 4006, row 8).
_FINDINGS = {
    (code.value, code.scheme_designator): CodedConcept(code.value, code.scheme_designator, code.meaning)
    for code in (*codes.cid6015.concepts.values(), codes.SCT.Nipple)
    if code != codes.SCT.BreastComposition
}
# A mass is a composite feature, of several views (CID 6017). What of it is seen on one image is a density (PS3.17 E.3).
_MASSES = {("4147007", "SCT"), ("129788004", "SCT")}
_DENSITY = ("129793001", "SCT")


def find_single_image_finding(concept: CodedConcept) -> CodedConcept | None:
    """The code of a Single Image Finding (111059, DCM) for what a model finds; None where there is none."""
    key = concept.value, concept.scheme
    return _FINDINGS.get(_DENSITY if key in _MASSES else key)
