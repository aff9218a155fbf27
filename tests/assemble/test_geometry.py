"""Where the voxels of a series lie, or why nobody can say. Sources: research/cases.md G1 to G6, P4, I2; standards.md section 8."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dicom_node import assemble
from dicom_node.values import Form, Geometry, Reason
from dicom_node.values.reasons import (
    CannotDecode,
    ColourImage,
    DuplicatePosition,
    IllegalValue,
    IncompleteVolume,
    Localizer,
    MissingAttribute,
    MixedFrameOfReference,
    MixedGrid,
    MixedOrientation,
    MixedPatient,
    Mosaic,
    SliceGap,
    Tilted,
    TooFew,
    UnevenSpacing,
)
from tests.make.series import AXIAL, CORONAL, OBLIQUE, SAGITTAL, Orientation

from .made import axial_series, frame_at, instance_of, series_of

EVEN = tuple(2.0 * index - 30.0 for index in range(40))


def only(headers: Any) -> Geometry | Reason:
    (volume,) = assemble.find_volumes(headers)
    return volume


def place(geometry: Geometry | Reason) -> Geometry:
    assert isinstance(geometry, Geometry), geometry
    return geometry


# -- properties ---------------------------------------------------------------------------------------------------------


@st.composite
def orientations(draw: st.DrawFn) -> Orientation:
    """Any rotation, from a quaternion."""
    parts = np.array(draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(x * x for x in q) > 0.1)))
    w, x, y, z = parts / np.linalg.norm(parts)
    row = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    column = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    return tuple(float(value) for value in (*row, *column))  # type: ignore[return-value]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Orientation, float, int]:
    return draw(orientations()), draw(st.floats(0.3, 12.0)), draw(st.integers(2, 12))


def stack_series(orientation: Orientation, spacing_mm: float, slices: int, *, order: list[int] | None = None, salt: str = "") -> Any:
    normal = np.cross(orientation[:3], orientation[3:])
    places = [np.array([11.0, -7.0, 3.0]) + normal * spacing_mm * index for index in range(slices)]
    numbers = order or list(range(slices))
    return series_of(
        [
            instance_of(frame_at(place, orientation=orientation), number=number, salt=salt)
            for number, place in zip(numbers, places, strict=True)
        ]
    )


@given(stacks(), st.integers(0, 10_000))
@example((AXIAL, 2.0, 5), 1)
@settings(max_examples=60)
def test_any_order_of_arrival_and_any_instance_numbers_give_one_geometry(stack: tuple[Orientation, float, int], seed: int) -> None:
    orientation, spacing_mm, slices = stack
    order = list(range(slices))
    random.Random(seed).shuffle(order)
    first = place(only(stack_series(orientation, spacing_mm, slices)))
    other = place(only(stack_series(orientation, spacing_mm, slices, order=order, salt="other UIDs")))
    assert other.lps_from_index == first.lps_from_index
    assert other.shape == first.shape == (slices, 16, 20)
    assert other.spacing_mm == first.spacing_mm


@given(stacks(), st.tuples(st.floats(-20, 20), st.floats(-50, 50), st.floats(-50, 50)))
@settings(max_examples=60)
def test_index_to_lps_and_back_is_the_identity(stack: tuple[Orientation, float, int], index: tuple[float, float, float]) -> None:
    geometry = place(only(stack_series(*stack)))
    matrix = np.array(geometry.lps_from_index)
    lps = matrix @ (*index, 1.0)
    np.testing.assert_allclose(np.linalg.solve(matrix, lps)[:3], index, atol=1e-6)


@given(stacks())
@settings(max_examples=60)
def test_each_slice_lies_at_its_own_position_and_rows_and_columns_run_as_the_header_says(stack: tuple[Orientation, float, int]) -> None:
    orientation, spacing_mm, _ = stack
    headers = stack_series(*stack)
    geometry = place(only(headers))
    matrix = np.array(geometry.lps_from_index)
    positions = {one.instance.sop_instance_uid: one.frames[0].image_position_patient for one in headers.instances}
    for index, frame in enumerate(geometry.frames):
        np.testing.assert_allclose((matrix @ (index, 0, 0, 1))[:3], positions[frame.sop_instance_uid], atol=1e-6)
    np.testing.assert_allclose(matrix[:3, 1], 0.7 * np.array(orientation[3:]), atol=1e-6)
    np.testing.assert_allclose(matrix[:3, 2], 0.6 * np.array(orientation[:3]), atol=1e-6)
    assert geometry.spacing_mm == pytest.approx((spacing_mm, 0.7, 0.6), abs=1e-6)


# -- traps of standards.md section 8 ------------------------------------------------------------------------------------


def test_sorted_by_instance_number() -> None:
    """Numbers that fall while positions rise change nothing."""
    rising, falling = place(only(axial_series(EVEN))), place(only(axial_series(EVEN[::-1])))
    assert falling.lps_from_index == rising.lps_from_index
    assert np.array(falling.lps_from_index)[2, 0] == 2.0


def test_same_position_twice_resent_with_new_uids() -> None:
    assert only(axial_series((*EVEN, EVEN[7]))) == DuplicatePosition(position_mm=EVEN[7], count=2)


def test_series_mixes_thin_and_thick() -> None:
    thin = [instance_of(frame_at((0, 0, 1.25 * index), slice_thickness_mm=1.25), number=index) for index in range(40)]
    thick = [instance_of(frame_at((0, 0, 5.0 * index), slice_thickness_mm=5.0), number=100 + index) for index in range(10)]
    assert only(series_of(thin + thick)) == MixedGrid(attribute="SliceThickness")


def test_series_mixes_two_orientations() -> None:
    axial = [instance_of(frame_at((0, 0, 2.0 * index)), number=index) for index in range(5)]
    coronal = [instance_of(frame_at((0, 2.0 * index, 0), orientation=CORONAL), number=10 + index) for index in range(5)]
    assert only(series_of(axial + coronal)) == MixedOrientation(orientations=2)


def test_slice_thickness_used_as_spacing() -> None:
    """Overlapping slices: 5 mm thick, 2 mm apart."""
    geometry = place(only(axial_series(EVEN, slice_thickness_mm=5.0)))
    assert (geometry.spacing_mm[0], geometry.slice_thickness_mm) == (2.0, 5.0)


def test_row_and_column_spacing_swapped() -> None:
    geometry = place(only(axial_series(EVEN, pixel_spacing_mm=(0.9, 0.4))))
    assert geometry.spacing_mm[1:] == (0.9, 0.4)
    assert np.array(geometry.lps_from_index)[:2, 1:3].tolist() == [[0.0, 0.4], [0.9, 0.0]]


def test_mixed_patients_in_one_series() -> None:
    series = axial_series(EVEN)
    other = replace(series.instances[3], patient_identity="somebody else")
    assert isinstance(only(series_of([*series.instances[:3], other, *series.instances[4:]])), MixedPatient)


# -- cases.md -----------------------------------------------------------------------------------------------------------


def test_g1_slices_doubled_missing_shifted_or_spaced_anew_each_has_its_own_reason() -> None:
    doubled = (EVEN[0], *EVEN)
    missing = EVEN[:20] + EVEN[21:]
    two_blocks = EVEN[:20] + tuple(z + 182.0 for z in EVEN[20:])
    spaced_anew = tuple(2.5 * index for index in range(15)) + tuple(35.0 + 7.5 * index for index in range(1, 25))
    assert only(axial_series(doubled)) == DuplicatePosition(position_mm=-30.0, count=2)
    assert only(axial_series(missing)) == SliceGap(after_mm=8.0, gap_mm=4.0, spacing_mm=2.0)
    assert only(axial_series(two_blocks)) == SliceGap(after_mm=8.0, gap_mm=184.0, spacing_mm=2.0)
    assert only(axial_series(spaced_anew)) == UnevenSpacing(smallest_mm=2.5, largest_mm=7.5)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, -1, 0)], ids=["column cosine 0,-1,0", "prone"])
def test_g2_rows_that_run_the_other_way_have_a_normal_of_their_own(orientation: Orientation) -> None:
    geometry = place(only(series_of([instance_of(frame_at((0, 0, z), orientation=orientation), number=int(z)) for z in (1, 3, 5)])))
    normal_z = float(np.cross(orientation[:3], orientation[3:])[2])
    matrix = np.array(geometry.lps_from_index)
    assert matrix[2, 0] == 2.0 * normal_z
    assert matrix[2, 3] == (1.0 if normal_z > 0 else 5.0)


def test_g3_rounded_positions_and_cosines_are_no_fault() -> None:
    """Positions to 3 digits with 1 to 2 micrometres of jitter, cosines to 5 digits, 0.9 mm apart."""
    jitter = random.Random(3)
    orientation: Orientation = tuple(round(value, 5) for value in OBLIQUE)  # type: ignore[assignment]
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    instances = [
        instance_of(
            frame_at(
                [round(float(v) + jitter.choice([-0.002, -0.001, 0.001, 0.002]), 3) for v in normal * 0.9 * index], orientation=orientation
            ),
            number=index,
        )
        for index in range(300)
    ]
    geometry = place(only(series_of(instances)))
    assert geometry.spacing_mm[0] == pytest.approx(0.9, abs=1e-4)


def phases(keyword: str, values: list[str], *, counts: list[int] | None = None) -> Any:
    """One volume of the same ten places for each value."""
    numbers = iter(range(1000))
    counts = counts or [10] * len(values)
    return series_of(
        [
            instance_of(frame_at((0, 0, 3.0 * index), dimensions=((keyword, value),) if keyword else ()), number=next(numbers))
            for value, count in zip(values, counts, strict=True)
            for index in range(count)
        ]
    )


def test_g4_four_enhanced_objects_with_a_phase_each_and_the_last_one_short() -> None:
    """In-Stack Position Number counts on from file to file; plane position decides."""
    objects = [
        instance_of(
            [
                frame_at((0, 0, 2.0 * index), number=index + 1, dimensions=(("TemporalPositionIndex", str(phase)), ("StackID", "1")))
                for index in range(count)
            ],
            number=phase,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2.1",
        )
        for phase, count in ((1, 12), (2, 12), (3, 12), (4, 6))
    ]
    volumes = assemble.find_volumes(series_of(objects))
    assert [volume.volume_of for volume in volumes if isinstance(volume, Geometry)] == [
        ("TemporalPositionIndex", str(n)) for n in (1, 2, 3)
    ]
    assert all(volume.form is Form.ENHANCED and volume.shape[0] == 12 for volume in volumes if isinstance(volume, Geometry))
    assert volumes[3] == IncompleteVolume(attribute="TemporalPositionIndex", slices=6, wanted=12)
    for volume in volumes[:3]:
        assert len({frame.sop_instance_uid for frame in place(volume).frames}) == 1


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("NominalPercentageOfCardiacPhase", ["0", "40", "75"]),
        ("ScanOptions", ["TP0MS", "TP400MS", "TP75MS"]),
        ("TriggerTime", ["10", "300.5", "1000"]),
    ],
)
def test_g5_phases_are_split_by_the_attribute_that_differs(keyword: str, values: list[str]) -> None:
    volumes = assemble.find_volumes(phases(keyword, values))
    assert [place(volume).volume_of for volume in volumes] == [(keyword, value) for value in values]
    assert all(place(volume).shape[0] == 10 for volume in volumes)
    frames = [frame for volume in volumes for frame in place(volume).frames]
    assert len(set(frames)) == 30


def test_g5_phases_that_nothing_tells_apart_repeat_their_positions() -> None:
    assert only(phases("", ["", "", ""])) == DuplicatePosition(position_mm=0.0, count=3)


def test_g5_a_trigger_time_that_drifts_from_slice_to_slice_names_no_volume() -> None:
    instances = [
        instance_of(frame_at((0, 0, 3.0 * index), dimensions=(("TriggerTime", str(phase * 100 + index)),)), number=10 * phase + index)
        for phase in range(3)
        for index in range(10)
    ]
    assert only(series_of(instances)) == DuplicatePosition(position_mm=0.0, count=3)


def test_two_attributes_together_tell_volumes_apart() -> None:
    instances = [
        instance_of(frame_at((0, 0, 3.0 * index), dimensions=(("DiffusionBValue", b), ("EchoTime", echo))), number=index, salt=b + echo)
        for b in ("0", "1000")
        for echo in ("50", "90")
        for index in range(5)
    ]
    volumes = [place(volume) for volume in assemble.find_volumes(series_of(instances))]
    assert [volume.volume_of for volume in volumes] == [
        ("DiffusionBValue+EchoTime", f"{b}+{e}") for b in ("0", "1000") for e in ("50", "90")
    ]


def test_two_acquisitions_that_overlap_are_two_volumes_though_one_is_shorter() -> None:
    def acquisition(number: int, first: int, count: int) -> list[Any]:
        dimensions = (("AcquisitionNumber", str(number)),)
        return [
            instance_of(frame_at((0, 0, 2.0 * index), dimensions=dimensions), number=index, salt=str(number))
            for index in range(first, first + count)
        ]

    volumes = [place(volume) for volume in assemble.find_volumes(series_of(acquisition(1, 0, 30) + acquisition(2, 25, 20)))]
    assert [(volume.volume_of, volume.shape[0]) for volume in volumes] == [
        (("AcquisitionNumber", "1"), 30),
        (("AcquisitionNumber", "2"), 20),
    ]


def test_g6_one_instance_is_no_volume() -> None:
    assert only(axial_series((0.0,))) == TooFew(slices=1, wanted=2)


@pytest.mark.parametrize(
    ("keyword", "changes"),
    [
        ("ImageOrientationPatient", {"orientation": (0, 0, 0, 0, 0, 0)}),
        ("ImageOrientationPatient", {"orientation": (1, 0, 0, 1, 0, 0)}),
        ("ImagePositionPatient", {"image_position_patient": (0.0, 0.0, math.inf)}),
        ("PixelSpacing", {"pixel_spacing_mm": (0.0, 0.7)}),
        ("RescaleSlope", {"rescale_slope": 0.0}),
        ("RescaleIntercept", {"rescale_intercept": math.nan}),
    ],
)
def test_p4_a_number_that_cannot_be_names_attribute_and_instance(keyword: str, changes: dict[str, Any]) -> None:
    instances = [instance_of(frame_at((0, 0, z)), number=int(z)) for z in (1, 2, 3)]
    odd = instance_of(frame_at((0, 0, 4), **changes), number=4)
    assert only(series_of([*instances, odd])) == IllegalValue(attribute=keyword, instance_number=4)


@pytest.mark.parametrize(
    ("keyword", "changes"),
    [
        ("Modality", {"attributes": (("Modality", ("MR",)),)}),
        ("Modality", {"attributes": ()}),
        ("SOPClassUID", {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}),
    ],
)
def test_one_slice_of_another_kind_is_no_slice_of_the_stack(keyword: str, changes: dict[str, Any]) -> None:
    """Its numbers mean something else, wherever it lies."""
    others = axial_series([z for z in EVEN if z != EVEN[20]]).instances
    fitting, odd = (instance_of(frame_at((-80.0, -60.0, EVEN[20])), number=99, **more) for more in ({}, changes))
    assert isinstance(only(series_of([*others, fitting])), Geometry)
    assert only(series_of([*others, odd])) == MixedGrid(attribute=keyword)


@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope"])
def test_rescale_stands_in_all_images_of_a_volume_or_in_none(keyword: str) -> None:
    """Where it may be absent (MR), stored values and rescaled ones are not one scale."""
    scale = (("Modality", ("MR",)), (keyword, ("2",)))
    instances = [instance_of(frame_at((0, 0, 2.0 * z)), number=z, attributes=scale) for z in range(10)]
    odd = replace(instances[4], attributes=scale[:1])
    assert isinstance(only(series_of(instances)), Geometry)
    assert only(series_of([*instances[:4], odd, *instances[5:]])) == MixedGrid(attribute=keyword)
    without = [replace(one, attributes=scale[:1]) for one in instances]
    assert isinstance(only(series_of(without)), Geometry)


def test_i2_two_patient_ids_inside_one_series() -> None:
    series = axial_series(EVEN)
    instances = [replace(one, patient_identity=f"issuer {index % 2}") for index, one in enumerate(series.instances)]
    assert isinstance(only(series_of(instances)), MixedPatient)


# -- every other reason -------------------------------------------------------------------------------------------------


def test_a_tilted_gantry_is_seen_from_the_positions_whether_declared_or_not() -> None:
    tilted = [instance_of(frame_at((0, 1.21 * index, 4.85 * index)), number=index) for index in range(10)]
    assert only(series_of(tilted)) == Tilted(angle_deg=14.0)


def test_a_lean_of_a_tenth_of_a_degree_is_taken_and_lies_where_the_headers_say() -> None:
    leaning = [instance_of(frame_at((0, 0.001 * index, 2.0 * index)), number=index) for index in range(10)]
    assert np.array(place(only(series_of(leaning))).lps_from_index)[1, 0] == pytest.approx(0.001)


def test_slices_that_jump_sideways_are_no_grid() -> None:
    jumping = [instance_of(frame_at((30.0 * (index % 2), 0, 2.0 * index)), number=index) for index in range(10)]
    assert only(series_of(jumping)) == MixedGrid(attribute="ImagePositionPatient")


def test_positions_printed_to_one_decimal_are_even() -> None:
    """0.625 mm apart, so that steps are 0.6 and 0.7."""
    geometry = place(only(axial_series([round(0.625 * index, 1) for index in range(41)])))
    assert geometry.spacing_mm[0] == pytest.approx(0.625)


def test_the_same_place_printed_with_other_digits_is_the_same_place() -> None:
    assert only(axial_series((*EVEN, EVEN[7] + 0.001))) == DuplicatePosition(position_mm=EVEN[7], count=2)


def test_small_changes_of_spacing_that_add_up_are_uneven() -> None:
    positions = [0.0]
    for index in range(60):
        positions.append(positions[-1] + (1.0 if index < 30 else 1.09))
    assert isinstance(only(axial_series(positions)), UnevenSpacing)


def test_a_slice_out_of_its_place_is_uneven() -> None:
    assert only(axial_series((0, 2, 4, 6.6, 8, 10))) == UnevenSpacing(smallest_mm=1.4, largest_mm=2.6)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_what_places_a_slice_may_not_be_missing(keyword: str) -> None:
    fields = {
        "ImagePositionPatient": "image_position_patient",
        "ImageOrientationPatient": "orientation",
        "PixelSpacing": "pixel_spacing_mm",
    }
    instances = [instance_of(frame_at((0, 0, z)), number=int(z)) for z in (1, 2, 3)]
    odd = instance_of(frame_at((0, 0, 4), **{fields[keyword]: None}), number=4)
    assert only(series_of([*instances, odd])) == MissingAttribute(attribute=keyword)


@pytest.mark.parametrize(
    ("attribute", "changes"),
    [("Rows", {"rows": 17}), ("Columns", {"columns": 21}), ("PhotometricInterpretation", {"photometric_interpretation": "MONOCHROME1"})],
)
def test_a_slice_with_another_grid(attribute: str, changes: dict[str, Any]) -> None:
    series = axial_series(EVEN)
    odd = replace(series.instances[5], **changes)
    assert only(series_of([*series.instances[:5], odd, *series.instances[6:]])) == MixedGrid(attribute=attribute)


def test_a_slice_with_another_pixel_spacing() -> None:
    instances = [instance_of(frame_at((0, 0, z)), number=int(z)) for z in (1, 2, 3)]
    odd = instance_of(frame_at((0, 0, 4), pixel_spacing_mm=(0.7, 0.61)), number=4)
    assert only(series_of([*instances, odd])) == MixedGrid(attribute="PixelSpacing")


def test_two_frames_of_reference() -> None:
    instances = [instance_of(frame_at((0, 0, z)), number=int(z), frame_of_reference_uid=f"1.{z % 2}") for z in (2, 4, 5)]
    assert only(series_of(instances)) == MixedFrameOfReference(count=2)


def test_a_frame_of_reference_for_each_image_says_nothing_and_is_tolerated_by_name() -> None:
    instances = [instance_of(frame_at((0, 0, z)), number=z, frame_of_reference_uid=f"1.{z}") for z in range(1, 6)]
    geometry = place(only(series_of(instances)))
    assert (geometry.shape[0], geometry.tolerated) == (5, ("frame-of-reference-per-slice",))


def test_a_localizer_alone() -> None:
    assert only(axial_series((0.0, 5.0), image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))) == Localizer()


def test_a_localizer_among_slices_is_left_out_and_said_so() -> None:
    scout = instance_of(frame_at((0, -99, 0), orientation=SAGITTAL, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), number=99, rows=512)
    geometry = place(only(series_of([*axial_series(EVEN).instances, scout])))
    assert geometry.tolerated == ("localizer-left-out",)
    assert geometry.shape == (40, 16, 20)


@pytest.mark.parametrize("word", ["MOSAIC", "VFRAME"])
def test_tiles_are_no_slices(word: str) -> None:
    assert only(axial_series(EVEN, image_type=("ORIGINAL", "PRIMARY", "M", word))) == Mosaic()


@pytest.mark.parametrize(
    "changes", [{"samples_per_pixel": 3, "photometric_interpretation": "RGB"}, {"photometric_interpretation": "PALETTE COLOR"}]
)
def test_colour_is_no_grey_value(changes: dict[str, Any]) -> None:
    assert only(series_of([instance_of(frame_at((0, 0, z)), number=int(z), **changes) for z in (1, 2, 3)])) == ColourImage()


def test_an_unreadable_instance_is_the_outcome_never_a_silent_part() -> None:
    damaged = CannotDecode("RLE Lossless", 3)
    assert only(series_of(axial_series(EVEN).instances, unreadable=(("1.9", TooFew(1, 2)), ("1.2", damaged)))) == damaged


def test_nothing_is_no_volume() -> None:
    assert only(series_of([])) == TooFew(slices=0, wanted=2)


def test_radiographs_have_a_plane_each_and_no_place() -> None:
    imager = (("ImagerPixelSpacing", ("0.2", "0.1")), ("EstimatedRadiographicMagnificationFactor", ("2",)))
    images = [
        instance_of(frame_at(None, orientation=None, pixel_spacing_mm=(0.15, 0.14)), number=1, sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1"),
        instance_of(
            frame_at(None, orientation=None, pixel_spacing_mm=None),
            number=2,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2",
            attributes=imager,
        ),
        instance_of(frame_at(None, orientation=None, pixel_spacing_mm=None), number=3, sop_class_uid="1.2.840.10008.5.1.4.1.1.1"),
    ]
    series = series_of(images)
    volumes = {place(volume).frames[0].sop_instance_uid: place(volume) for volume in assemble.find_volumes(series)}
    found = [volumes[image.instance.sop_instance_uid] for image in images]
    assert [volume.spacing_mm for volume in found] == [(0.0, 0.15, 0.14), (0.0, 0.1, 0.05), (0.0, 0.0, 0.0)]
    assert all(volume.form is Form.PROJECTION and volume.lps_from_index is None and volume.shape == (1, 16, 20) for volume in found)


def test_a_radiograph_among_slices_is_no_grid() -> None:
    radiograph = instance_of(frame_at(None, orientation=None), number=99, sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1")
    assert only(series_of([*axial_series(EVEN).instances, radiograph])) == MixedGrid(attribute="SOPClassUID")
