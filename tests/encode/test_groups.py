"""Groups made in bulk are the groups that highdicom makes one by one, element by element."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from dicom_node import encode
from dicom_node.encode.groups import found_group
from dicom_node.encode.inputs import Inputs
from dicom_node.encode.source import Source, read_source
from dicom_node.encode.words import Words
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, CodedConcept, Finding, Laterality, Measurement, Role, SeriesHeaders
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, VOLUME, content_of, finding, raw_items, raw_value

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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_in_every_group(case: Case, value: float) -> None:
    """In the second of two groups of one form too."""
    first, second = case.result.findings
    spoilt = dataclasses.replace(second.measurements[0], value=value)
    second = dataclasses.replace(second, measurements=(spoilt, *second.measurements[1:]))
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=(first, second)), case.headers, PROFILE)
