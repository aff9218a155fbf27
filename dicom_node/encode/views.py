"""How a projection image shows the patient, from its header: side, view, orientation and times."""

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_node.values import InstanceHeaders

from .elements import tag_of
from .source import items_of, open_header, plain_of

_SIDES = {"R": codes.SCT.RightBreast, "L": codes.SCT.LeftBreast, "B": codes.SCT.BothBreasts}  # CID 6022, by PS3.3 C.8.11.7
# The terms of View Position that mammography uses (PS3.3 C.8.11.7), as CID 4014 has them.
_TERMS = {
    "CC": "399162004",
    "MLO": "399368009",
    "ML": "399260004",
    "LM": "399352003",
    "LMO": "399099002",
    "FB": "399196006",
    "SIO": "399188001",
    "ISO": "441555000",
    "XCCL": "399192008",
    "XCCM": "399101009",
}
_VIEWS = {code.value: code for code in codes.cid4014.concepts.values()}
_MODIFIERS = {code.value: code for code in codes.cid4015.concepts.values()}
_OLD_SCHEMES = frozenset({"SRT", "SNM3", "99SDM"})  # of SNOMED, before SCT (PS3.16 8)
_DIRECTION = re.compile("[LRAPHF]{1,3}")
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"\d{6}([.]\d{1,6})?")


@dataclass(frozen=True, slots=True)
class View:
    """None or empty: the header does not say it, or not in a legal form. `orientation`: where its rows run to, and its columns."""

    side: Code | None
    view: Code | None
    modifiers: tuple[Code, ...]
    orientation: tuple[str, str] | None
    study_date: str
    study_time: str
    content_date: str
    content_time: str


def read_view(instance: InstanceHeaders) -> View:
    """What the header says. A view without a legal code is taken from View Position."""
    header = open_header(instance)
    items = items_of(header, tag_of("ViewCodeSequence"))
    view = next((code for code in (_find_code(item, _VIEWS) for item in items) if code is not None), None)
    modifiers = [_find_code(one, _MODIFIERS) for item in items for one in items_of(item, tag_of("ViewModifierCodeSequence"))]
    directions = [one.strip() for one in plain_of(header, "PatientOrientation").split("\\")]
    return View(
        side=_SIDES.get(plain_of(header, "ImageLaterality") or plain_of(header, "Laterality")),
        view=view or _VIEWS.get(_TERMS.get(plain_of(header, "ViewPosition"), "")),
        modifiers=tuple(code for code in modifiers if code is not None),
        orientation=(directions[0], directions[1]) if len(directions) == 2 and all(map(_DIRECTION.fullmatch, directions)) else None,
        study_date=_legal(plain_of(header, "StudyDate"), _DATE),
        study_time=_legal(plain_of(header, "StudyTime"), _TIME),
        content_date=_legal(plain_of(header, "ContentDate"), _DATE),
        content_time=_legal(plain_of(header, "ContentTime"), _TIME),
    )


def _find_code(item: Dataset, known: dict[str, Code]) -> Code | None:
    """The code of an item, if it is one of these; those of older editions are of the same meaning under other values."""
    scheme = plain_of(item, "CodingSchemeDesignator")
    written = Code(plain_of(item, "CodeValue"), "SRT" if scheme in _OLD_SCHEMES else scheme, "")
    return next((code for code in known.values() if code == written), None)


def _legal(text: str, form: re.Pattern[str]) -> str:
    return text if form.fullmatch(text) else ""
