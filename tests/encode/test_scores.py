"""The parametric map holds every score at its place, says what it is, and is what highdicom makes of the same."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.inputs import read_inputs
from dicom_node.values import SCORE_STEPS, Analysed, ObjectKind, Role, ScoreMap
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.reference import find_differences, make_map_with_highdicom
from tests.encode.results import PROFILE, content_of, finding, geometry_of, opened, read_headers, result_of
from tests.encode.test_compare import changed
from tests.encode.test_objects import new_complaints
from tests.encode.test_seg import ORIENTATIONS
from tests.make import base_anatomy, make_series

SCORES = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.SCORES))


def with_scores(result: Analysed, factors: Sequence[float] = (1.5, 2.0, 1.25), start: Sequence[float] = (0.5, 1.0, 0.25)) -> Analysed:
    """A result with a map whose voxels are so many of the source's, and whose first one lies at `start` of its index."""
    affine = np.array(result.geometry.lps_from_index)
    shape = [
        max(1, int((extent - 1 - first) / factor) + 1) for extent, first, factor in zip(result.geometry.shape, start, factors, strict=True)
    ]
    scores = np.random.default_rng(7).integers(0, SCORE_STEPS + 1, shape).astype(np.uint16)
    scores.flat[:2] = 0, SCORE_STEPS
    scores.setflags(write=False)
    own = affine @ np.array([[factors[0], 0, 0, start[0]], [0, factors[1], 0, start[1]], [0, 0, factors[2], start[2]], [0, 0, 0, 1]])
    rows = tuple(tuple(float(value) for value in row) for row in own)
    return dataclasses.replace(result, scores=ScoreMap("heat", scores, rows))  # type: ignore[arg-type]


def scored(case: Case) -> Case:
    return dataclasses.replace(case, result=with_scores(case.result))


def map_of(case: Case, language: str = "en") -> Dataset:
    objects = encode.encode(case.result, case.headers, dataclasses.replace(SCORES, language=language))
    assert encode.compare(objects, case.result) is None
    return opened(objects, Role.SCORES)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    spacing_mm=st.tuples(st.floats(0.5, 6), st.floats(0.3, 2), st.floats(0.3, 2)),
    factors=st.tuples(st.floats(0.4, 3), st.floats(0.5, 3), st.floats(0.5, 3)),
    start=st.tuples(st.floats(-0.4, 1), st.floats(-0.4, 1), st.floats(-0.4, 1)),
    enhanced=st.booleans(),
)
def test_every_score_lies_at_its_place_and_the_object_is_that_of_highdicom(
    tmp_path_factory: pytest.TempPathFactory,
    orientation: str,
    spacing_mm: tuple[float, float, float],
    factors: tuple[float, float, float],
    start: tuple[float, float, float],
    enhanced: bool,
) -> None:
    shape, axes = (5, 8, 9), ORIENTATIONS[orientation]
    datasets = make_series(base_anatomy, enhanced=enhanced, shape=shape, spacing_mm=spacing_mm, orientation=axes)
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    plain = result_of(headers, geometry_of(datasets, shape, spacing_mm, axes), finding(1, (1, 2, 3), np.ones((1, 2, 2), dtype=bool)))
    result = with_scores(plain, factors, start)
    objects = encode.encode(result, headers, SCORES)
    assert encode.compare(objects, result) is None
    written = opened(objects, Role.SCORES)
    held = result.scores
    assert held is not None
    volume = hd.pm.ParametricMap.from_dataset(written).get_volume(apply_real_world_transform=True)  # by its own reading of place and value
    index = np.stack(np.meshgrid(*[np.arange(n) for n in held.scores.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    places = index @ np.array(held.lps_from_index)[:3, :3].T + np.array(held.lps_from_index)[:3, 3]
    there = np.rint(volume.map_reference_to_indices(places)).astype(int)
    assert np.allclose(volume.map_indices_to_reference(there), places, atol=1e-3)
    assert np.allclose(volume.array[tuple(there.T)], held.scores.reshape(-1) / SCORE_STEPS, atol=1e-7)

    nearest = [min(max(round(round(start[0] + factors[0] * number, 6)), 0), shape[0] - 1) for number in range(len(held.scores))]
    inputs = read_inputs(result, headers, SCORES)
    assert find_differences(content_of(objects, Role.SCORES), make_map_with_highdicom(inputs, nearest), inputs) == []


def test_the_map_says_what_its_values_are(case: Case) -> None:
    written = map_of(scored(case))
    assert (written.SOPClassUID, written.Modality) == ("1.2.840.10008.5.1.4.1.1.30", "OT")
    assert written.SeriesDescription == "AI lung nodules RESEARCH - scores"
    assert (written.ContentQualification, written.BitsAllocated, written.PixelRepresentation) == ("RESEARCH", 16, 0)
    assert written.FrameOfReferenceUID == case.datasets[0].FrameOfReferenceUID
    (mapping,) = written.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.RealWorldValueSlope == 1 / SCORE_STEPS
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodeValue == "SCORE"
    assert "stage heat of ct-lung-nodule 1.2.3" in written.DerivationDescription


def test_sentences_are_in_the_destinations_language_and_codes_are_the_same(case: Case) -> None:
    english, french = map_of(scored(case)), map_of(scored(case), "fr")
    assert "l'étape heat de ct-lung-nodule" in french.DerivationDescription
    first, second = (one.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0] for one in (english, french))
    codes = [one.QuantityDefinitionSequence[0].ConceptCodeSequence[0] for one in (first, second)]
    assert [code.CodeValue for code in codes] == ["SCORE", "SCORE"]
    assert [code.CodeMeaning for code in codes] == ["Score of the algorithm (0 to 1)", "Score de l'algorithme (0 à 1)"]
    assert second.LUTExplanation == "Score de l'algorithme (0 à 1)"
    assert english.PixelData == french.PixelData


def test_nothing_found_has_scores_too(case: Case) -> None:
    nothing = dataclasses.replace(with_scores(case.result), findings=())
    objects = encode.encode(nothing, case.headers, SCORES)
    assert [one.kind for one in objects] == [ObjectKind.REPORT_3D, ObjectKind.SCORES]
    assert encode.compare(objects, nothing) is None


def test_of_a_result_without_scores_there_is_no_map(case: Case) -> None:
    assert ObjectKind.SCORES not in [one.kind for one in encode.encode(case.result, case.headers, SCORES)]


def test_other_objects_are_the_same_with_scores_and_without(case: Case) -> None:
    """Two destinations may get a result, only one of them its scores."""
    with_them, without = (encode.encode(result, case.headers, SCORES) for result in (with_scores(case.result), case.result))
    assert [one.content for one in with_them[:-1]] == [one.content for one in without]


@pytest.mark.parametrize("slices", [1, 8])
@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], modality: str, enhanced: bool, slices: int) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    result = with_scores(two_findings(headers, datasets), (SHAPE[0] / slices + 0.01, 2.0, 2.0))
    objects = encode.encode(result, headers, SCORES)
    assert opened(objects, Role.SCORES).NumberOfFrames == slices - (slices == 8)
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def other_value(written: Dataset) -> None:
    pixels = bytearray(written.PixelData)
    pixels[20] ^= 1
    written.PixelData = bytes(pixels)


def mirror_frames(written: Dataset) -> None:
    frames = list(written.PerFrameFunctionalGroupsSequence)
    for frame, other in zip(frames, [frame.PlanePositionSequence for frame in frames][::-1], strict=True):
        frame.PlanePositionSequence = other


def swap_spacing(written: Dataset) -> None:
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = list(reversed(measures.PixelSpacing))


def shift_a_frame(written: Dataset) -> None:
    plane = written.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    plane.ImagePositionPatient = [plane.ImagePositionPatient[0] + 1.25, *plane.ImagePositionPatient[1:]]


def double_a_frame(written: Dataset) -> None:
    frames = written.PerFrameFunctionalGroupsSequence
    frames[0].PlanePositionSequence = frames[1].PlanePositionSequence


def other_source(written: Dataset) -> None:
    frames = written.PerFrameFunctionalGroupsSequence
    frames[0].DerivationImageSequence = frames[-1].DerivationImageSequence


def mapping_of(written: Dataset) -> Dataset:
    mapping: Dataset = written.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    return mapping


def other_slope(written: Dataset) -> None:
    mapping_of(written).RealWorldValueSlope = 1 / 65536


def other_intercept(written: Dataset) -> None:
    mapping_of(written).RealWorldValueIntercept = 1e-5


def other_unit(written: Dataset) -> None:
    mapping_of(written).MeasurementUnitsCodeSequence[0].CodeValue = "%"


def other_quantity(written: Dataset) -> None:
    mapping_of(written).QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue = "PROBABILITY"


def part_of_the_values(written: Dataset) -> None:
    mapping_of(written).RealWorldValueLastValueMapped = 65534


def other_frame_of_reference(written: Dataset) -> None:
    written.FrameOfReferenceUID = "2.25.1"


def signed(written: Dataset) -> None:
    written.PixelRepresentation = 1


@pytest.mark.parametrize(
    "change",
    [
        *(other_value, mirror_frames, swap_spacing, shift_a_frame, double_a_frame, other_source, other_slope, other_intercept, other_unit),
        *(other_quantity, part_of_the_values, other_frame_of_reference, signed),
    ],
)
def test_a_fault_is_seen(case: Case, change: Callable[[Dataset], None]) -> None:
    here = scored(case)
    objects = changed(encode.encode(here.result, here.headers, SCORES), Role.SCORES, change)
    assert isinstance(encode.compare(objects, here.result), ReportMismatch)


def test_a_map_of_another_result_is_seen(case: Case) -> None:
    here = scored(case)
    objects = encode.encode(here.result, here.headers, SCORES)
    assert isinstance(encode.compare(objects, case.result), ReportMismatch)
    assert isinstance(encode.compare(objects, with_scores(case.result, (1.0, 1.0, 1.0))), ReportMismatch)
