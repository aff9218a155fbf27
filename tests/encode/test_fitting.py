"""What a kind of object cannot say of a result, another one says in its place."""

import dataclasses
from collections.abc import Callable

import pytest

from dicom_node import encode
from dicom_node.config import PROFILES
from dicom_node.encode.fitting import find_unwritable, fits, is_unwritable
from dicom_node.encode.kinds import KINDS, step_down
from dicom_node.values import Analysed, CodedConcept, NotAnalysed, ObjectKind
from dicom_node.values.reasons import ModelTooSlow
from tests.encode.conftest import CLUSTER, Case
from tests.encode.results import NODULE, PACKAGE, PROFILE
from tests.encode.test_scores import with_scores

CAD, COMPREHENSIVE, ENHANCED, CAPTURE = (
    ObjectKind.MAMMOGRAPHY_CAD, ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.REPORT_ENHANCED, ObjectKind.CAPTURE
)  # fmt: skip
MAMMOGRAPHY = dataclasses.replace(PROFILE, objects=PROFILES["mammography"])


def classes(*kinds: ObjectKind) -> frozenset[str]:
    return frozenset(KINDS[kind].sop_class_uid for kind in kinds)


def finding_of(result: Analysed, concept: CodedConcept) -> Analysed:
    return dataclasses.replace(result, findings=(dataclasses.replace(result.findings[0], type=concept), *result.findings[1:]))


def kinds_of(result: Analysed, case: Case, profile: encode.Profile = MAMMOGRAPHY) -> list[ObjectKind]:
    objects = encode.encode(result, case.headers, profile)
    assert encode.compare(objects, result) is None
    return list(dict.fromkeys(one.kind for one in objects))


def test_a_result_on_mammograms_gets_marks(mammograms: Case) -> None:
    for result in (mammograms.result, dataclasses.replace(mammograms.result, findings=())):
        assert kinds_of(result, mammograms) == [CAD, CAPTURE]


def test_what_has_no_code_on_mammograms_is_reported(mammograms: Case) -> None:
    """Also where it was not found: it must be said that it was looked for."""
    composition = CodedConcept("129715009", "SCT", "Breast composition")  # of a whole breast: it has no outline
    for other in (NODULE, composition, CodedConcept(CLUSTER.value, "99LOCAL", "Cluster")):
        assert kinds_of(finding_of(mammograms.result, other), mammograms) == [COMPREHENSIVE, CAPTURE]
    nothing = dataclasses.replace(mammograms.result, findings=(), looked_for=(CLUSTER, NODULE))
    assert kinds_of(nothing, mammograms) == [COMPREHENSIVE, CAPTURE]
    assert not fits(CAD, dataclasses.replace(nothing, looked_for=()), mammograms.headers)


def test_other_images_are_reported(case: Case, make_mammogram_case: Callable[..., Case]) -> None:
    computed_tomography = dataclasses.replace(finding_of(case.result, CLUSTER), looked_for=(CLUSTER,))
    computed_tomography = dataclasses.replace(computed_tomography, findings=computed_tomography.findings[:1])
    assert kinds_of(computed_tomography, case) == [COMPREHENSIVE, CAPTURE]
    planes = case.headers.instances  # such as those of tomosynthesis, which is of Modality MG too
    mammography = [(*(one for one in plane.attributes if one[0] != "Modality"), ("Modality", ("MG",))) for plane in planes]
    instances = tuple(dataclasses.replace(plane, attributes=one) for plane, one in zip(planes, mammography, strict=True))
    assert not fits(CAD, computed_tomography, dataclasses.replace(case.headers, instances=instances))
    radiograph = make_mammogram_case(change=lambda dataset, _: setattr(dataset, "Modality", "DX"))
    assert kinds_of(radiograph.result, radiograph) == [COMPREHENSIVE, CAPTURE]


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "mammography"])
def test_a_projection_has_no_segmentation(mammograms: Case, name: str) -> None:
    """It has no place in the patient; a report on its image, and pictures, say the same."""
    kinds = kinds_of(mammograms.result, mammograms, dataclasses.replace(PROFILE, objects=PROFILES[name]))
    assert not {ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP} & set(kinds)
    assert CAPTURE in kinds
    assert {ObjectKind.REPORT_3D, COMPREHENSIVE} & set(kinds)


def test_all_other_kinds_can_say_everything(case: Case) -> None:
    """But for the scores that this model did not keep."""
    assert [kind for kind in ObjectKind if not fits(kind, case.result, case.headers)] == [CAD, ObjectKind.SCORES]
    result = with_scores(case.result)
    assert [kind for kind in ObjectKind if not fits(kind, result, case.headers)] == [CAD]


def test_without_the_headers_it_is_the_same_but_for_mammograms(case: Case, mammograms: Case) -> None:
    for one in (case, mammograms):
        for kind in ObjectKind:
            assert is_unwritable(kind, one.result) in (not fits(kind, one.result, one.headers), None)
    assert [kind for kind in ObjectKind if is_unwritable(kind, mammograms.result) is None] == [CAD]
    assert is_unwritable(CAD, case.result) is True


@pytest.mark.parametrize(
    ("not_accepted", "kind"),
    [((), COMPREHENSIVE), ((COMPREHENSIVE,), ENHANCED), ((COMPREHENSIVE, ENHANCED, ObjectKind.REPORT_TEXT), ObjectKind.PAGE)],
)
def test_what_takes_its_place_is_accepted(case: Case, not_accepted: tuple[ObjectKind, ...], kind: ObjectKind) -> None:
    unwritable = find_unwritable(case.result, case.headers, [CAD])
    assert step_down([CAD], classes(*not_accepted), unwritable)[0] == (kind,)


def test_each_kind_is_made_once(case: Case) -> None:
    wanted = [CAPTURE, CAD, COMPREHENSIVE]
    assert step_down(wanted, (), find_unwritable(case.result, case.headers, wanted))[0] == (CAPTURE, COMPREHENSIVE)


def test_no_result_is_said_with_its_reason(mammograms: Case) -> None:
    """Mammography CAD has no place for a reason: it could say no more than that nothing was attempted."""
    result = mammograms.result
    refusal = NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, PACKAGE, ModelTooSlow(1.0))
    assert find_unwritable(refusal, mammograms.headers, MAMMOGRAPHY.objects) == {CAD}
    objects = encode.encode_refusal(refusal, mammograms.headers, MAMMOGRAPHY)
    assert [one.kind for one in objects] == [COMPREHENSIVE, CAPTURE]
    assert encode.compare_refusal(objects, refusal) is None
