"""Which package takes which volume, and why not. Each test is named after what a person reads in `status`."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node import select
from dicom_node.package import Condition, Example, Manifest, Package, Preference
from dicom_node.select.subjects import is_private
from dicom_node.values import (
    Accepted,
    AssembledSeries,
    FailedCondition,
    Form,
    FrameRef,
    Geometry,
    PackageRef,
    Reason,
    Refused,
    Volume,
    derive_uid,
)
from dicom_node.values.reasons import IncompleteVolume, OutOfService, SliceGap
from tests.assemble.made import frame_at, instance_of, series_of

CODE = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}


EXAMPLE = Example(
    Volume(Geometry(Form.CLASSIC, (), (1, 1, 1), (1.0, 1.0, 1.0), None, None, None), np.zeros((1, 1, 1), np.int16)), (), 1
)  # select asks for the manifest alone


def package(*conditions: Condition, prefer: tuple[Preference, ...] = (), series_per_study: int = 1, name: str = "lung") -> Package:
    manifest = Manifest.model_validate(
        {
            "package": {"name": name, "version": "1", "title": "t", "manufacturer": "m", "intended_use": "u", "licence": "l"},
            "accept": {
                "conditions": [condition.model_dump() for condition in conditions],
                "prefer": [preference.model_dump() for preference in prefer],
                "series_per_study": series_per_study,
            },
            "stages": [{"kind": "segment", "by": "threshold", "name": "air", "below": -400}],
            "outputs": [{"stage": "air", "label": "Air", "category": CODE, "type": CODE}],
        }
    )
    return Package(Path(), manifest, PackageRef(name, "1", "d", "1.2", "t", "m", product=False), EXAMPLE)


def series(
    uid: str = "1.1", *, spacing_mm: float = 1.0, slices: int = 10, volumes: tuple[Geometry | Reason, ...] | None = None, **attributes: Any
) -> AssembledSeries:
    """Ten axial slices with these attributes, texts or tuples of texts; None leaves one out."""
    values = {"Modality": "CT", "BodyPartExamined": "CHEST", "ConvolutionKernel": "B30f", "PatientAge": "065Y"} | attributes
    written = tuple((keyword, (value,) if isinstance(value, str) else value) for keyword, value in values.items() if value is not None)
    instances = [instance_of(frame_at((0, 0, z)), number=z, salt=uid, attributes=written, series_instance_uid=uid) for z in range(slices)]
    headers = replace(series_of(instances), series_instance_uid=uid)
    geometry = Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(one.instance.sop_instance_uid, 1) for one in instances),
        shape=(slices, 512, 400),
        spacing_mm=(spacing_mm, 0.7, 0.6),
        slice_thickness_mm=1.25,
        lps_from_index=((0, 0, 0.6, 0), (0, 0.7, 0, 0), (spacing_mm, 0, 0, 0), (0, 0, 0, 1)),
        frame_of_reference_uid="1.2.3",
    )
    return AssembledSeries(headers, volumes or (geometry,))


def volume_of(one: AssembledSeries) -> Geometry:
    (geometry,) = one.volumes
    assert isinstance(geometry, Geometry)
    return geometry


def failed(condition: Condition, one: AssembledSeries) -> FailedCondition | None:
    """What one condition says to one series."""
    (answer,) = select.judge([package(condition)], [one])
    if isinstance(answer, Accepted):
        return None
    (condition_failed,) = answer.failed
    return condition_failed


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (Condition(attribute="Modality", one_of=("ct", "MR")), None),
        (Condition(attribute="Modality", one_of=("MR",)), "CT"),
        (Condition(attribute="Modality", none_of=("ct",)), "CT"),
        (Condition(attribute="ImageType", one_of=("ORIGINAL",)), None),
        (Condition(attribute="ImageType", none_of=("DERIVED", "LOCALIZER")), None),
        (Condition(attribute="ImageType", none_of=("PRIMARY",)), "ORIGINAL\\PRIMARY\\AXIAL"),
        (Condition(attribute="SeriesDescription", contains_none=("scout", "MIP")), "MIP"),
        (Condition(attribute="SeriesDescription", none_of=("thorax MIP 5 mm",)), "thorax MIP 5 mm"),
        (Condition(attribute="SeriesDescription", one_of=("thorax",)), "other text"),
        (Condition(attribute="SeriesDescription", at_least=1), "other text"),
        (Condition(attribute="ManufacturerModelName", one_of=("Force",)), "Drive"),
        (Condition(attribute="BodyPartExamined", one_of=("HEAD",)), "CHEST"),
        (Condition(attribute="Exposure", at_most=1), "other text"),
        (Condition(attribute="SeriesDescription", contains_none=("scout",)), None),
        (Condition(attribute="KVP", at_least=80, at_most=150), None),
        (Condition(attribute="KVP", at_most=100), "120"),
        (Condition(attribute="ConvolutionKernel", at_least=1), "B30f"),
        (Condition(attribute="ContrastBolusAgent", one_of=("iodine",)), "absent"),
        (Condition(attribute="ContrastBolusAgent", one_of=("iodine",), absent="accepted"), None),
        (Condition(geometry="slices", at_least=10), None),
        (Condition(geometry="slices", at_least=11), "10"),
        (Condition(geometry="rows", at_least=512), None),
        (Condition(geometry="columns", at_least=512), "400"),
        (Condition(geometry="slice_spacing_mm", at_most=0.5), "1"),
        (Condition(geometry="row_spacing_mm", at_most=0.65), "0.7"),
        (Condition(geometry="column_spacing_mm", at_most=0.65), None),
        (Condition(geometry="slice_thickness_mm", at_most=1), "1.25"),
        (Condition(geometry="extent_mm", at_least=10), "9"),
        (Condition(geometry="orientation", one_of=("axial",)), None),
        (Condition(geometry="orientation", one_of=("coronal",)), "axial"),
        (Condition(geometry="obliqueness_deg", at_most=1), None),
        (Condition(geometry="form", one_of=("enhanced",)), "classic"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_each_test_and_each_subject(condition: Condition, found: str | None) -> None:
    one = series(
        ImageType=("ORIGINAL", "PRIMARY", "AXIAL"),
        SeriesDescription="Thorax Mip 5 mm",
        KVP="120",
        Exposure="see note",
        ManufacturerModelName="Drive",
    )
    said = failed(condition, one)
    assert (None if said is None else said.found) == found


def test_a_refusal_lists_every_condition_that_failed_with_wanted_and_found() -> None:
    conditions = (
        Condition(attribute="Modality", one_of=("MR",)),
        Condition(attribute="BodyPartExamined", one_of=("CHEST",)),
        Condition(geometry="slices", at_least=20, at_most=900),
    )
    (answer,) = select.judge([package(*conditions)], [series()])
    assert answer == Refused(
        "lung",
        "1.1",
        0,
        failed=(FailedCondition("Modality", "one of MR", "CT"), FailedCondition("slices", "at least 20; at most 900", "10")),
    )


@pytest.mark.parametrize("keyword", ["PatientAge", "PatientSex", "PatientID", "PatientWeight", "StudyDate", "ReferringPhysicianName"])
def test_a_value_of_the_patient_is_never_written_down(keyword: str) -> None:
    one = series(**{keyword: "secret"})
    prefer = (Preference(attribute=keyword, order="values", values=("x",)),)
    (refused,) = select.judge([package(Condition(attribute=keyword, one_of=("M",)), prefer=prefer)], [one])
    (accepted,) = select.judge([package(prefer=prefer)], [one])
    assert "secret" not in repr((refused, accepted))
    assert isinstance(refused, Refused)
    assert refused.failed[0].found == "outside"


FREE_TEXT = (
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "StationName",
    "ContrastBolusAgent",
    "ImageComments",
    "KVP",
    "ImageType",
)


@pytest.mark.parametrize("keyword", FREE_TEXT)
def test_of_free_text_only_the_packages_own_words_are_written(keyword: str) -> None:
    """Anyone may type a name there; what is no number and no code is free text too, whatever the attribute."""
    one = series(**{keyword: "ZZPHI Anne Marie"})
    prefer = (
        Preference(attribute=keyword, order="values", values=("lung", "anne")),
        Preference(attribute=keyword, order="values", values=("lung",)),
        Preference(attribute=keyword, order="smallest"),
    )
    conditions = (
        Condition(attribute=keyword, one_of=("Thorax",)),
        Condition(attribute=keyword, none_of=("zzphi anne marie",)),
        Condition(attribute=keyword, contains_none=("scout", "anne")),
        Condition(attribute=keyword, at_least=1),
    )
    (refused,) = select.judge([package(*conditions, prefer=prefer)], [one])
    (accepted,) = select.judge([package(prefer=prefer)], [one])
    assert isinstance(refused, Refused)
    assert isinstance(accepted, Accepted)
    if is_private(conditions[0]):
        assert {found.found for found in refused.failed} | {text for _, text in accepted.because} == {"outside"}
    else:
        assert [found.found for found in refused.failed] == ["other text", "zzphi anne marie", "anne", "other text"]
        assert [text for _, text in accepted.because] == ["anne", "other text", "other text"]
    assert accepted.rank[:2] == (1.0, 1.0)  # asked all the same
    assert "ZZPHI" not in repr((refused, accepted))
    assert "Marie" not in repr((refused, accepted))


@pytest.mark.parametrize(("age", "is_accepted"), [("018Y", True), ("017Y", False), ("006M", False), ("900W", False), ("940W", True)])
def test_an_age_is_compared_in_years(age: str, is_accepted: bool) -> None:
    assert (failed(Condition(attribute="PatientAge", at_least=18), series(PatientAge=age)) is None) is is_accepted


def test_a_condition_must_hold_for_every_instance_of_the_volume() -> None:
    one = series()
    odd = replace(one.headers.instances[4], attributes=(("Modality", ("PT",)),))
    mixed = replace(one.headers, instances=(*one.headers.instances[:4], odd, *one.headers.instances[5:]))
    said = failed(Condition(attribute="Modality", one_of=("CT",)), replace(one, headers=mixed))
    assert said == FailedCondition("Modality", "one of CT", "PT")


def test_only_the_instances_of_the_volume_are_asked() -> None:
    one = series()
    scout = instance_of(frame_at((0, 0, 0)), number=99, attributes=(("Modality", ("OT",)),))
    mixed = replace(one, headers=replace(one.headers, instances=(*one.headers.instances, scout)))
    assert failed(Condition(attribute="Modality", one_of=("CT",)), mixed) is None


def test_a_radiograph_has_no_orientation_and_no_spacing_between_slices() -> None:
    one = series()
    radiograph = replace(volume_of(one), form=Form.PROJECTION, lps_from_index=None, spacing_mm=(0.0, 0.0, 0.0), shape=(1, 512, 400))
    for subject in ("orientation", "obliqueness_deg", "slice_spacing_mm", "row_spacing_mm"):
        said = failed(Condition(geometry=subject, at_least=0), replace(one, volumes=(radiograph,)))
        assert said is not None
        assert said.found == "absent"


def test_what_is_no_volume_is_refused_with_its_reason_and_the_others_of_the_series_stand() -> None:
    short = IncompleteVolume(attribute="TriggerTime", slices=3, wanted=10)
    one = series()
    answers = select.judge([package()], [replace(one, volumes=(short, volume_of(one))), series("1.0", volumes=(SliceGap(1, 2, 1),))])
    assert answers[0] == Refused("lung", "1.0", 0, reason=SliceGap(1, 2, 1))
    assert answers[1] == Refused("lung", "1.1", 0, reason=short)
    assert isinstance(answers[2], Accepted)
    assert (answers[2].volume, answers[2].chosen) == (1, True)


def test_the_best_series_of_a_study_is_chosen_and_the_others_stay_accepted() -> None:
    prefer = (
        Preference(geometry="slice_spacing_mm", order="smallest"),
        Preference(attribute="ConvolutionKernel", order="values", values=("b6", "B3")),
    )
    study = [
        series("1.1", spacing_mm=5.0),
        series("1.2", spacing_mm=1.0),
        series("1.3", spacing_mm=1.0, ConvolutionKernel="B60f"),
        series("1.4", spacing_mm=1.0, ConvolutionKernel=None),
        series("1.5", spacing_mm=1.0, ConvolutionKernel="other"),
    ]
    answers = select.judge([package(prefer=prefer, series_per_study=2)], study)
    accepted = {answer.series_instance_uid: answer for answer in answers if isinstance(answer, Accepted)}
    assert [uid for uid, answer in accepted.items() if answer.chosen] == ["1.2", "1.3"]
    assert sorted(accepted, key=lambda uid: accepted[uid].rank) == ["1.3", "1.2", "1.5", "1.4", "1.1"]
    assert accepted["1.3"].because == (("slice_spacing_mm", "1"), ("ConvolutionKernel", "B60f"))


def test_largest_comes_first_where_it_is_wanted_and_what_is_no_number_last() -> None:
    prefer = (Preference(attribute="KVP", order="largest"),)
    answers = select.judge([package(prefer=prefer)], [series("1.1", KVP="80"), series("1.2", KVP="n/a"), series("1.3", KVP="120")])
    assert [answer.series_instance_uid for answer in answers if isinstance(answer, Accepted) and answer.chosen] == ["1.3"]


def test_the_worst_value_within_a_volume_is_its_rank() -> None:
    steady, mixed = series("1.1", Exposure="50"), series("1.2", Exposure="20")
    odd = replace(mixed.headers.instances[4], attributes=(("Exposure", ("90",)),))
    mixed = replace(mixed, headers=replace(mixed.headers, instances=(odd, *mixed.headers.instances[:4], *mixed.headers.instances[5:])))
    answers = select.judge([package(prefer=(Preference(attribute="Exposure", order="smallest"),))], [steady, mixed])
    assert [answer.series_instance_uid for answer in answers if isinstance(answer, Accepted) and answer.chosen] == ["1.1"]


def test_equal_ranks_are_settled_by_more_slices_then_by_uid() -> None:
    answers = select.judge([package()], [series("1.3", slices=12), series("1.1"), series("1.2", slices=12)])
    assert [answer.series_instance_uid for answer in answers if isinstance(answer, Accepted) and answer.chosen] == ["1.2"]


def test_every_package_is_asked_about_every_volume_in_whatever_order_they_come() -> None:
    packages = [package(name="lung"), package(Condition(attribute="Modality", one_of=("MR",)), name="brain")]
    study = [series(derive_uid(str(number)), spacing_mm=1.0 + number) for number in range(5)]
    shuffled = list(study)
    random.Random(1).shuffle(shuffled)
    answers = select.judge(packages, study)
    assert select.judge(packages, shuffled) == answers
    assert [answer.package for answer in answers] == ["lung"] * 5 + ["brain"] * 5


def test_a_package_out_of_service_says_so_to_what_it_would_have_taken_and_the_others_go_on() -> None:
    ct_only = Condition(attribute="Modality", one_of=("CT",))
    study = [series("1.1"), series("1.2", Modality="MR"), series("1.3", volumes=(SliceGap(1, 2, 1),))]
    out = OutOfService("ExampleNotMet")
    broken, good = package(ct_only, name="broken"), package(ct_only, name="good")
    answers = select.judge([broken, good], study, {"broken": out})
    said = [(answer.reason, len(answer.failed)) for answer in answers[:3] if isinstance(answer, Refused)]
    assert said == [(out, 0), (None, 1), (SliceGap(1, 2, 1), 0)]
    assert answers[3:] == select.judge([good], study)
    assert isinstance(answers[3], Accepted)
