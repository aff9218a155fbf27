"""Groups made in bulk are the groups that highdicom makes one by one, element by element."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from dicom_node import encode
from dicom_node.encode.groups import found_group
from dicom_node.encode.inputs import Inputs, read_inputs
from dicom_node.encode.meanings import translate
from dicom_node.encode.source import Source, read_source
from dicom_node.encode.words import Words
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, CodedConcept, Finding, FrameRef, Laterality, Measurement, Role, SeriesHeaders
from tests.encode.conftest import Case
from tests.encode.reference import find_differences, make_report_with_highdicom
from tests.encode.results import PROFILE, VOLUME, content_of, finding, geometry_of, raw_items, raw_value, read_headers, result_of
from tests.make import base_anatomy, make_series

MASS = CodedConcept("4147007", "SCT", "Mass")
UNIT = CodedConcept("mm", "UCUM", "millimeter")
MEASURED = (
    Measurement(VOLUME, 1.0, UNIT, 1),
    Measurement(VOLUME, 1.0, UNIT, 1, derivation=CodedConcept("373098007", "SCT", "Mean")),
    Measurement(CodedConcept("103339001", "SCT", "Long Axis"), 1.0, UNIT, 1, method="largest of all directions"),
)

findings_of_any_form = st.builds(
    lambda type_, side, score, measured, values, name: finding(
        1,
        (2, 3, 6),
        np.ones((1, 2, 2), dtype=bool),
        type=type_,
        laterality=side,
        site=None if side is Laterality.RIGHT else finding(1, (0, 0, 0), np.ones((1, 1, 1), dtype=bool)).site,
        score=score,
        measurements=tuple(dataclasses.replace(one, value=value) for one, value in zip(measured, values, strict=False)),
        tracking_identifier=name,
    ),
    st.sampled_from([MASS, VOLUME]),
    st.sampled_from([None, Laterality.LEFT, Laterality.RIGHT]),
    st.none() | st.floats(0, 1),
    st.lists(st.sampled_from(MEASURED), max_size=4),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=4, max_size=4),
    st.sampled_from(["Nodule 1", "Nodule é", "x"]),
)


def source_of(headers: SeriesHeaders) -> Source:
    return read_source(headers.instances)


def reference_groups(result: Analysed, headers: SeriesHeaders) -> list[bytes]:
    """What highdicom makes, as pydicom writes it with defined lengths."""
    source = source_of(headers)
    inputs = Inputs(result, {one.instance.sop_instance_uid: one for one in headers.instances}, source, PROFILE, None)
    words = Words(source.is_recoded)
    groups = []
    for one in result.findings:
        (group,) = found_group(one, inputs)
        translate(group, inputs.language)
        words.fit(group)
        written = DicomBytesIO()
        written.is_little_endian, written.is_implicit_VR = True, False
        write_dataset(written, group, words.encoding)
        groups.append(written.getvalue())
    return groups


def groups_of(result: Analysed, headers: SeriesHeaders) -> list[bytes]:
    """The groups of a report, as they lie in its bytes."""
    content = raw_value(content_of(encode.encode(result, headers, PROFILE), Role.REPORT), Tag("ContentSequence"))
    measurements = raw_items(content)[-1]
    return raw_items(raw_value(measurements, Tag("ContentSequence"), start=0))


NO_SET = {"PatientName": b"M\xfcller", "SpecificCharacterSet": b""}  # cannot be decoded: our own text is ASCII then


@pytest.mark.parametrize(("raw", "is_recoded"), [(None, True), (NO_SET, False)], ids=["UTF-8", "ASCII"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(findings_of_any_form, min_size=1, max_size=8))
def test_bulk_groups_equal_those_of_highdicom(
    make_case: Callable[..., Case], raw: dict[str, bytes] | None, is_recoded: bool, drawn: list[Finding]
) -> None:
    case = make_case(raw=raw)
    assert source_of(case.headers).is_recoded is is_recoded
    numbered = tuple(
        dataclasses.replace(one, number=number, tracking_uid=f"2.25.{number * 1000}", mask=dataclasses.replace(one.mask))
        for number, one in enumerate(drawn, 1)
    )
    result = dataclasses.replace(case.result, findings=numbered)
    made = groups_of(result, case.headers)
    wanted = reference_groups(result, case.headers)
    missing = len({concept.value for concept in result.looked_for} - {one.type.value for one in numbered})
    assert len(made) == len(wanted) + missing
    assert made[: len(wanted)] == wanted
    names = {one.tracking_identifier for one in numbered}
    spelt = "Nodule é" if is_recoded else "Nodule e"
    assert ("Nodule é" in names) == any(spelt.encode() in group for group in made)


@pytest.mark.parametrize("enhanced", [False, True], ids=["an instance for each slice", "some frames of one instance"])
@pytest.mark.parametrize("found", [0, 3])
@pytest.mark.parametrize("name", [b"Test", b"M\xfcller"], ids=["UTF-8", "ASCII"])
def test_a_report_is_the_one_that_highdicom_makes(tmp_path: Path, enhanced: bool, found: int, name: bytes) -> None:
    """Library, evidence and groups without a region name every image, or its frames where not all are in the volume."""
    shape, spacing_mm = (5, 8, 8), (2.5, 0.7, 0.8)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path, {"PatientName": name, "SpecificCharacterSet": b""})
    frames = [FrameRef(str(datasets[0].SOPInstanceUID), number) for number in (2, 3, 4)] if enhanced else None
    findings = [finding(number, (0, 0, number), np.ones((2, 2, 1), dtype=bool), type=MASS) for number in range(1, found + 1)]
    geometry = geometry_of(datasets, (3, 8, 8) if enhanced else shape, spacing_mm, frames=frames)
    result = result_of(headers, geometry, *findings)
    assert {one.value for one in result.looked_for} == {"27925004"}  # and it was not detected
    inputs = read_inputs(result, headers, PROFILE)
    objects = encode.encode(result, headers, PROFILE)
    assert encode.compare(objects, result) is None
    reference = make_report_with_highdicom(inputs)
    Words(inputs.source.is_recoded).fit(reference)
    assert find_differences(content_of(objects, Role.REPORT), reference, inputs) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_in_every_group(case: Case, value: float) -> None:
    """In the second of two groups of one form too."""
    first, second = case.result.findings
    spoilt = dataclasses.replace(second.measurements[0], value=value)
    second = dataclasses.replace(second, measurements=(spoilt, *second.measurements[1:]))
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=(first, second)), case.headers, PROFILE)
