"""Values survive being written and read, as the same bytes each time, and nothing else is read."""

import dataclasses
import json
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicom_node.values import (
    AETitle,
    Analysed,
    CodedConcept,
    Finding,
    Form,
    FrameRef,
    Geometry,
    InstanceRef,
    Laterality,
    Mask,
    Measurement,
    NotAnalysed,
    PackageRef,
    Picture,
    Refused,
    Reservation,
    Stage,
    codec,
    reasons,
)

TEXT = st.text(max_size=12)
NUMBER = st.floats(allow_nan=False)
CODES = st.builds(CodedConcept, TEXT, TEXT, TEXT)
MASKS = st.builds(
    Mask,
    st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500)),
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)),
)
FINDINGS = st.builds(
    Finding, number=st.integers(1, 9), tracking_identifier=TEXT, tracking_uid=TEXT, label=TEXT, category=CODES, type=CODES,
    site=st.none() | CODES, laterality=st.none() | st.sampled_from(Laterality), mask=MASKS, centre_lps=st.tuples(NUMBER, NUMBER, NUMBER),
    measurements=st.lists(st.builds(Measurement, CODES, NUMBER, CODES, st.integers(0, 3), st.none() | CODES, st.none() | TEXT), max_size=2)
    .map(tuple), score=st.none() | NUMBER, colour_rgb=st.tuples(*[st.integers(0, 255)] * 3),
)  # fmt: skip
AFFINE = st.tuples(*[st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)] * 4)
GEOMETRIES = st.builds(
    Geometry, st.sampled_from(Form), st.lists(st.builds(FrameRef, TEXT, st.integers(1, 9)), max_size=3).map(tuple),
    st.tuples(*[st.integers(1, 99)] * 3), st.tuples(NUMBER, NUMBER, NUMBER), st.none() | NUMBER, st.none() | AFFINE, st.none() | TEXT,
)  # fmt: skip
PICTURES = st.builds(
    Picture,
    st.integers(0, 500),
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)),
    NUMBER,
    NUMBER,
    st.integers(1, 4),
)
PACKAGES = st.builds(PackageRef, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans())
ALL_REASONS = st.one_of(
    *[st.builds(kind) for kind in vars(reasons).values() if isinstance(kind, type) and issubclass(kind, reasons.Reason)]
)
RESULTS = st.builds(
    Analysed, key=TEXT, study_instance_uid=TEXT, series_instance_uid=TEXT, package=PACKAGES, geometry=GEOMETRIES,
    looked_for=st.lists(CODES, max_size=2).map(tuple), findings=st.lists(FINDINGS, max_size=2).map(tuple), threshold=st.none() | NUMBER,
    reservations=st.lists(st.sampled_from(Reservation), max_size=2).map(tuple),
    stages=st.lists(st.builds(Stage, TEXT, TEXT, NUMBER, st.just((("candidates", 3.0),))), max_size=2).map(tuple),
    predecessor_key=st.none() | TEXT, pictures=st.lists(PICTURES, max_size=2).map(tuple),
) | st.builds(NotAnalysed, TEXT, TEXT, TEXT, st.none() | PACKAGES, ALL_REASONS)  # fmt: skip


@settings(deadline=None)
@given(RESULTS | ALL_REASONS | GEOMETRIES | st.builds(Refused, TEXT, TEXT, st.integers(0, 3), reason=ALL_REASONS))
def test_a_value_is_read_back_as_it_was_written(value: object) -> None:
    content = codec.dump(value)
    assert _comparable(codec.load(content)) == _comparable(value)
    assert codec.dump(codec.load(content)) == content


@settings(deadline=None)
@given(RESULTS.filter(lambda result: isinstance(result, Analysed)))
def test_a_result_that_was_kept_before_there_were_pictures_is_read_as_one_without(result: Analysed) -> None:
    plain = json.loads(codec.dump(result))
    del plain["fields"]["pictures"]
    old = codec.load(json.dumps(plain).encode())
    assert _comparable(old) == _comparable(dataclasses.replace(result, pictures=()))


@settings(deadline=None)
@given(hnp.arrays(st.sampled_from([np.bool_, np.uint8, np.int16, np.float32, np.float64]), hnp.array_shapes(max_dims=3, max_side=4)))
def test_an_array_keeps_type_shape_and_values_and_cannot_be_written_to(array: npt.NDArray[Any]) -> None:
    read = codec.load(codec.dump(array))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    assert not read.flags.writeable


@pytest.mark.parametrize("value", [1, 1.0, -0.0, True, None, "x", b"\0\xff", (), ((1, 2.5), None), float("inf"), AETitle("A")])
def test_numbers_texts_and_tuples_keep_their_type(value: object) -> None:
    read = codec.load(codec.dump(value))
    assert repr(read) == repr(value)


def test_not_a_number_is_written() -> None:
    assert repr(codec.load(codec.dump(float("nan")))) == "nan"


def test_the_bytes_hang_on_the_values_alone() -> None:
    voxels = np.arange(24).reshape(2, 3, 4) % 3 == 0
    other = np.asfortranarray(voxels)
    assert codec.dump(Mask((0, 0, 0), voxels)) == codec.dump(Mask((0, 0, 0), other))


@dataclasses.dataclass(frozen=True)
class Mask2:
    origin: int


class Laterality2(StrEnum):
    LEFT = "L"


@pytest.mark.parametrize("value", [Mask2(1), Laterality2.LEFT, {"a": 1}, [1], {1}, object(), np.array(["x"]), np.float32(1)])
def test_what_is_not_of_the_vocabulary_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        codec.dump((value,))


@pytest.mark.parametrize(
    "plain",
    [
        {"class": "Popen", "fields": {}},
        {"class": "Path", "fields": {}},
        {"class": "Key", "fields": {"text": "a", "more": 1}},
        {"class": "Key", "fields": {}},
        {"class": "Laterality", "fields": {}},
        {"enum": "Laterality", "value": "X"},
        {"enum": "Key", "value": "X"},
        {"array": "object", "shape": [1], "content": ""},
        {"array": "bool", "shape": [1], "content": "AAAA"},
        {"array": "uint8", "shape": [3], "content": "eJwDAAAAAAE="},
        {"array": "uint8", "shape": [-1], "content": "eJwDAAAAAAE="},
        {"anything": 1},
    ],
)
def test_what_was_not_written_here_is_not_read(plain: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  every fault of foreign bytes is one
        codec.load(json.dumps(plain).encode())


def test_an_instance_is_read_back() -> None:
    instance = InstanceRef("1.2", "1.3", "1.4", "ab", "f", 132, 1000)
    assert codec.load(codec.dump((instance, instance))) == (instance, instance)


def _comparable(value: object) -> object:
    """A value with its arrays as what `==` can compare."""
    if isinstance(value, np.ndarray):
        return (value.dtype.name, value.shape, value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value), [_comparable(getattr(value, field.name)) for field in dataclasses.fields(value)])
    if isinstance(value, tuple):
        return [_comparable(part) for part in value]
    return (type(value), repr(value) if isinstance(value, float) else value)  # nan is not equal to itself
