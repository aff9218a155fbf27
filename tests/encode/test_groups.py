"""Groups made in bulk are the groups that highdicom makes one by one, element by element."""

import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node import encode
from dicom_node.encode.groups import found_group
from dicom_node.encode.inputs import Inputs
from dicom_node.encode.source import read_source
from dicom_node.encode.words import Words
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, CodedConcept, Finding, Laterality, Measurement, Role, SeriesHeaders
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, VOLUME, finding, opened

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


def reference_groups(result: Analysed, headers: SeriesHeaders) -> list[dict[str, Any]]:
    """What highdicom makes, written and read, as DICOM JSON."""
    instances = {one.instance.sop_instance_uid: one for one in headers.instances}
    source = read_source(list(instances.values()))
    inputs = Inputs(result, instances, source, PROFILE, None)
    words = Words(source.is_recoded)
    groups = []
    for one in result.findings:
        (group,) = found_group(one, inputs)
        words.fit(group)
        group.SpecificCharacterSet = words.encoding
        written = io.BytesIO()
        pydicom.dcmwrite(written, group, implicit_vr=False, little_endian=True)
        read = pydicom.dcmread(io.BytesIO(written.getvalue()), force=True).to_json_dict()
        del read["00080005"]
        groups.append(read)
    return groups


def groups_of(result: Analysed, headers: SeriesHeaders) -> list[dict[str, Any]]:
    report = opened(encode.encode(result, headers, PROFILE), Role.REPORT)
    return [group.to_json_dict() for group in report.ContentSequence[-1].ContentSequence]


@pytest.mark.parametrize("patient", [None, "ISO_IR 100"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(findings_of_any_form, min_size=1, max_size=8))
def test_bulk_groups_equal_those_of_highdicom(make_case: Callable[..., Case], patient: str | None, drawn: list[Finding]) -> None:
    case = make_case(name=str(patient), change=(lambda one, _: setattr(one, "SpecificCharacterSet", patient)) if patient else None)
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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_in_every_group(case: Case, value: float) -> None:
    """In the second of two groups of one form too."""
    first, second = case.result.findings
    spoilt = dataclasses.replace(second.measurements[0], value=value)
    second = dataclasses.replace(second, measurements=(spoilt, *second.measurements[1:]))
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=(first, second)), case.headers, PROFILE)
