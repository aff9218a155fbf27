"""Real files that are odd (../shared/data/odd): the values that their README states, or a typed reason. Skipped where they are absent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node import assemble
from dicom_node.values import Geometry, Reason, SeriesHeaders, Volume
from dicom_node.values.reasons import (
    CannotDecode,
    ColourImage,
    DuplicatePosition,
    IncompleteVolume,
    Localizer,
    MissingAttribute,
    MixedOrientation,
    Mosaic,
    NoPixels,
    NotAnImage,
    PixelSignMismatch,
    PixelsTruncated,
    SliceGap,
    Tilted,
    TransferSyntaxNotSupported,
)
from tests.make.assembled import headers_of_files, image_geometry

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def odd(shared_data: Path) -> Path:
    return shared_data / "odd"


def series_at(path: Path, root: Path, *, sop_class_uid: str | None = None) -> SeriesHeaders:
    return headers_of_files(sorted(path.iterdir()) if path.is_dir() else [path], root, sop_class_uid=sop_class_uid)


def image_at(path: Path, root: Path) -> Volume | Reason:
    """The pixels of one file, whatever its class and place."""
    headers = series_at(path, root, sop_class_uid=CT_IMAGE)
    if headers.unreadable:
        return headers.unreadable[0][1]
    return assemble.read_volume(root, headers, image_geometry(headers.instances[0]))


def stored_at(path: Path, root: Path) -> Any:
    """The stored values: rescale undone, padding left as it is."""
    headers = series_at(path, root, sop_class_uid=CT_IMAGE)
    headers = replace(headers, instances=tuple(replace(one, pixel_padding_value=None) for one in headers.instances))
    volume = assemble.read_volume(root, headers, image_geometry(headers.instances[0]))
    assert isinstance(volume, Volume), volume
    frame = headers.instances[0].frames[0]
    return (volume.voxels.astype(float) - frame.rescale_intercept) / frame.rescale_slope


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("geometry/ct_tilt_not_declared", Tilted(angle_deg=14.0)),
        ("geometry/ct_tilt_spacing_changes", Tilted(angle_deg=18.5)),
        ("geometry/ct_gap", SliceGap(after_mm=28.107, gap_mm=10.0, spacing_mm=5.0)),
        ("geometry/ct_same_position", DuplicatePosition(position_mm=61.5, count=2)),
        ("geometry/mr_two_orientations", MixedOrientation(orientations=2)),
        ("geometry/rgb_numbers_run_backwards", NotAnImage("Secondary Capture Image Storage")),
        ("geometry/ct_localizer_phantom.dcm", Localizer()),
        ("mr_flavours/ge_time_points", DuplicatePosition(position_mm=-116.027, count=2)),
        ("mr_flavours/siemens_mosaic.dcm", Mosaic()),
        ("mr_flavours/uih_mosaic.dcm", Mosaic()),
        ("enhanced/MOVEKNEE.dcm", DuplicatePosition(position_mm=3.0, count=19)),
        ("enhanced/emri_small.dcm", MissingAttribute("ImagePositionPatient")),
    ],
)
def test_what_is_no_volume_says_why(odd: Path, tmp_path: Path, name: str, reason: Reason) -> None:
    assert assemble.find_volumes(series_at(odd / name, tmp_path)) == (reason,)


def test_colour_overlays_passed_off_as_an_image_class_are_colour(odd: Path, tmp_path: Path) -> None:
    headers = series_at(odd / "geometry/rgb_numbers_run_backwards", tmp_path, sop_class_uid=CT_IMAGE)
    assert assemble.find_volumes(headers) == (ColourImage(),)


@pytest.mark.parametrize(
    ("name", "shape", "spacing_mm"),
    [
        *[(f"mr_positions/{name}", (3, 256, 256), (4.8, 1.0156, 1.0156)) for name in ("HFS", "HFP", "HFDL", "HFDR")],
        ("mr_flavours/hitachi", (3, 64, 64), (4.0, 2.34375, 2.34375)),
        ("mr_flavours/hyperfine.dcm", (8, 138, 112), (5.0, 1.61, 1.59)),
        ("mr_flavours/philips_classic", (2, 240, 240), (0.6, 1.0417, 1.0417)),
        ("mr_flavours/siemens_enhanced_xa10.dcm", (6, 64, 64), (2.4, 3.375, 3.375)),
        ("enhanced/bruker_4_frames.dcm", (4, 128, 256), (1.0, 0.2, 0.1)),
        ("enhanced/legacy_converted_ct.dcm", (3, 38, 24), (2.5, 0.7, 0.7)),
        ("pet/slopes_per_slice", (4, 28, 64), (0.5, 4.0, 6.4)),
    ],
)
def test_what_is_a_volume_has_its_size_and_spacing(
    odd: Path, tmp_path: Path, name: str, shape: tuple[int, ...], spacing_mm: tuple[float, ...]
) -> None:
    headers = series_at(odd / name, tmp_path)
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry), geometry
    assert geometry.shape == shape
    assert geometry.spacing_mm == pytest.approx(spacing_mm, abs=1e-3)
    assert isinstance(assemble.read_volume(tmp_path, headers, geometry), Volume)


def test_four_lies_of_one_man_have_one_frame_of_positions(odd: Path, tmp_path: Path) -> None:
    """Geometry from orientation and position alone: x from -4.8 to 4.8 in all, whatever Patient Position says."""
    for name in ("HFS", "HFP", "HFDL", "HFDR"):
        (geometry,) = assemble.find_volumes(series_at(odd / "mr_positions" / name, tmp_path))
        assert isinstance(geometry, Geometry)
        matrix = np.array(geometry.lps_from_index)
        assert sorted([matrix[0, 3], matrix[0, 3] + 2 * matrix[0, 0]]) == pytest.approx([-4.8, 4.8], abs=0.2)


@pytest.mark.parametrize(
    ("name", "keyword", "values", "slices", "spacing_mm"),
    [
        ("mr_flavours/philips_two_b_values", "DiffusionBValue", ("0", "1000"), 2, 2.0),
        ("mr_flavours/philips_two_echoes", "EchoTime", ("7.001", "10"), 2, 4.0),
        ("mr_flavours/philips_phantom_two_times", "TemporalPositionIdentifier", ("1", "2"), 2, 8.0),
        ("enhanced/philips_fmri_32_frames.dcm", "TemporalPositionIndex", ("1", "2", "3", "4"), 8, 3.3125),
    ],
)
def test_several_volumes_are_split_by_what_differs(
    odd: Path, tmp_path: Path, name: str, keyword: str, values: tuple[str, ...], slices: int, spacing_mm: float
) -> None:
    volumes = assemble.find_volumes(series_at(odd / name, tmp_path))
    assert all(isinstance(volume, Geometry) for volume in volumes), volumes
    assert [volume.volume_of for volume in volumes if isinstance(volume, Geometry)] == [(keyword, value) for value in values]
    for volume in volumes:
        assert isinstance(volume, Geometry)
        assert volume.shape[0] == slices
        assert volume.spacing_mm[0] == pytest.approx(spacing_mm, abs=1e-3)


def test_the_echo_that_lacks_a_slice_is_incomplete(odd: Path, tmp_path: Path) -> None:
    volumes = assemble.find_volumes(series_at(odd / "mr_flavours/siemens_phantom_echoes", tmp_path))
    assert isinstance(volumes[0], Geometry)
    assert volumes[1:] == (IncompleteVolume(attribute="EchoTime", slices=1, wanted=2),)


def test_a_legacy_conversion_is_the_same_volume_as_its_source(odd: Path, tmp_path: Path) -> None:
    found = []
    for name in ("legacy_converted_ct.dcm", "legacy_converted_ct_source"):
        headers = series_at(odd / "enhanced" / name, tmp_path)
        (geometry,) = assemble.find_volumes(headers)
        assert isinstance(geometry, Geometry)
        volume = assemble.read_volume(tmp_path, headers, geometry)
        assert isinstance(volume, Volume)
        found.append(volume)
    np.testing.assert_array_equal(found[0].voxels, found[1].voxels)
    np.testing.assert_allclose(np.array(found[0].geometry.lps_from_index), np.array(found[1].geometry.lps_from_index), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("transfer_syntaxes/ct_jpeg_p1_8bit.dcm", 30, 168),
        ("transfer_syntaxes/ct_jpeg_lossless_p14.dcm", -2000, 2402),
        ("transfer_syntaxes/ct_jpegls_near.dcm", -2001, 2401),
        ("transfer_syntaxes/MR_small.dcm", 127, 2145),
        ("transfer_syntaxes/MR_small_implicit.dcm", 127, 2145),
        ("transfer_syntaxes/MR_small_bigendian.dcm", 127, 2145),
        ("transfer_syntaxes/MR_small_RLE.dcm", 127, 2145),
        ("transfer_syntaxes/MR_small_jp2klossless.dcm", 127, 2145),
        ("transfer_syntaxes/MR_small_jpeg_ls_lossless.dcm", 127, 2145),
        ("transfer_syntaxes/JPEG-LL.dcm", 0, 278),
        ("transfer_syntaxes/JPEGLSNearLossless_16.dcm", 0, 65535),
        ("transfer_syntaxes/JPEG2000.dcm", -30, 245),
        ("transfer_syntaxes/image_dfl.dcm", 0, 255),
        ("transfer_syntaxes/emri_small_RLE.dcm", 0, 467),
        ("transfer_syntaxes/emri_small_jpeg_ls_lossless.dcm", 0, 467),
        ("transfer_syntaxes/ect_fragments_no_table_jpegls.dcm", 0, 1196),
        ("transfer_syntaxes/ect_table_jpegls.dcm", 0, 1196),
        ("transfer_syntaxes/ct1_rle_fragments.dcm", -2000, 2278),
        ("transfer_syntaxes/ct1_jpegls_fragments_table.dcm", -2000, 2278),
        ("transfer_syntaxes/knee_j2k_19_frames.dcm", 0, 4170),
        ("transfer_syntaxes/J2K_pixelrep_mismatch.dcm", -2000, 1896),
        ("transfer_syntaxes/TOSHIBA_J2K_SIZ0_PixRep1.dcm", -2048, 1717),
        ("transfer_syntaxes/ELSCINT1_JP2vsJ2K.dcm", 0, 4095),
        ("enhanced/emri_small.dcm", 0, 467),
        ("mr_flavours/toshiba_1.dcm", 0, 12436),
        ("mr_flavours/siemens_enhanced_xa10.dcm", 0, 1199),
        ("pet/pet_slope_9.dcm", 0, 1327),
        ("pet/pet_ge_0_23.dcm", 0, 32767),
        ("photometric/CR-MONO1-10-chest.dcm", 0, 979),
        ("photometric/RG3_J2KI.dcm", 0, 1023),
        ("photometric/12bitSigned_0x0F0F.dcm", -2048, 2047),
        ("photometric/JLSL_16_15_1_1F.dcm", -16384, 16383),
        ("broken/MR_small_padded.dcm", 127, 2145),
        ("broken/explicit_VR-UN.dcm", -1024, 1186),
        ("broken/meta_bad.dcm", 128, 2191),
        ("broken/emri_small_jpeg_2k_lossless_too_short.dcm", 0, 467),
        ("broken/sequence_never_closed.dcm", 0, 819),
        ("objects/six_overlays.dcm", 0, 4095),
    ],
)
def test_stored_values_are_those_that_the_readme_states(odd: Path, tmp_path: Path, name: str, lowest: int, highest: int) -> None:
    stored = stored_at(odd / name, tmp_path)
    assert (stored.min(), stored.max()) == pytest.approx((lowest, highest), abs=1e-3)


def test_all_lossless_forms_of_one_slice_are_equal(odd: Path, tmp_path: Path) -> None:
    reference = stored_at(odd / "transfer_syntaxes/MR_small.dcm", tmp_path)
    assert reference.mean() == pytest.approx(518.88, abs=0.01)
    for name in ("implicit", "bigendian", "RLE", "jp2klossless", "jpeg_ls_lossless"):
        np.testing.assert_array_equal(stored_at(odd / f"transfer_syntaxes/MR_small_{name}.dcm", tmp_path), reference)
    frames = stored_at(odd / "enhanced/emri_small.dcm", tmp_path)
    for name in ("transfer_syntaxes/emri_small_RLE.dcm", "transfer_syntaxes/emri_small_jpeg_ls_lossless.dcm"):
        np.testing.assert_array_equal(stored_at(odd / name, tmp_path), frames)
    one, two = (stored_at(odd / f"transfer_syntaxes/ct1_{name}.dcm", tmp_path) for name in ("rle_fragments", "jpegls_fragments_table"))
    np.testing.assert_array_equal(one, two)
    assert one.mean() == pytest.approx(152.70, abs=0.01)


def test_bits_above_the_stored_ones_are_no_sign(odd: Path, tmp_path: Path) -> None:
    stored = stored_at(odd / "photometric/12bitSigned_0x0F0F.dcm", tmp_path)
    assert np.isin([-241, -1], stored).all()


def test_each_slice_has_its_own_slope(odd: Path, tmp_path: Path) -> None:
    headers = series_at(odd / "pet/slopes_per_slice", tmp_path)
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry)
    volume = assemble.read_volume(tmp_path, headers, geometry)
    assert isinstance(volume, Volume)
    pairs = sorted({(frame.rescale_slope, frame.rescale_intercept) for one in headers.instances for frame in one.frames})
    assert len(pairs) == 4
    # The pixels are noise that reaches 0, so the smallest value of a slice is its intercept.
    np.testing.assert_allclose(sorted(volume.voxels.min(axis=(1, 2))), sorted(intercept for _, intercept in pairs), rtol=1e-4)


@pytest.mark.parametrize(("name", "highest"), [("pet_slope_9.dcm", 12106.6), ("pet_ge_0_23.dcm", 7685.2)])
def test_activity_is_stored_value_times_slope(odd: Path, tmp_path: Path, name: str, highest: float) -> None:
    volume = image_at(odd / "pet" / name, tmp_path)
    assert isinstance(volume, Volume)
    assert volume.voxels.max() == pytest.approx(highest, abs=0.1)


def test_a_velocity_map_whose_pixels_are_zero(odd: Path, tmp_path: Path) -> None:
    volume = image_at(odd / "photometric/decimal_rescale.dcm", tmp_path)
    assert isinstance(volume, Volume)
    assert (volume.voxels == -4096).all()


def test_a_radiograph_in_monochrome1_is_turned_over(odd: Path, tmp_path: Path) -> None:
    headers = series_at(odd / "photometric/CR-MONO1-10-chest.dcm", tmp_path)
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry)
    volume = assemble.read_volume(tmp_path, headers, geometry)
    assert isinstance(volume, Volume)
    assert (volume.voxels.min(), volume.voxels.max()) == (1023 - 979, 1023)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("transfer_syntaxes/TOSHIBA_J2K_SIZ1_PixRep0.dcm", PixelSignMismatch),
        ("transfer_syntaxes/ct_jpeg_p2_4_12bit.dcm", CannotDecode),
        ("transfer_syntaxes/JPGExtended.dcm", CannotDecode),
        ("transfer_syntaxes/ect_fragments_no_table_jpeg12.dcm", CannotDecode),
        ("transfer_syntaxes/JPEG2000-embedded-sequence-delimiter.dcm", CannotDecode),
        ("transfer_syntaxes/ct_jpeg_p6_8_spectral.dcm", TransferSyntaxNotSupported),
        ("transfer_syntaxes/ct_jpeg_p10_12_progressive.dcm", TransferSyntaxNotSupported),
        ("transfer_syntaxes/seg_deflated_frames.dcm", TransferSyntaxNotSupported),
        ("broken/MR_truncated.dcm", PixelsTruncated),
        ("broken/jpeg_extended_wrong_scan_header.dcm", CannotDecode),
        ("broken/private_block_01_UN.dcm", NoPixels),
        ("photometric/parametric_map_float.dcm", Reason),
        ("broken/claims_3gb.dcm", Reason),
    ],
)
def test_what_has_no_values_says_why(odd: Path, tmp_path: Path, name: str, reason: type[Reason]) -> None:
    assert isinstance(image_at(odd / name, tmp_path), reason)


def test_no_odd_file_raises_or_warns(odd: Path, tmp_path: Path) -> None:
    """Volumes and pixels of every file that can be filed at all, passed off as CT."""
    outcomes = []
    for folder in ("geometry", "mr_flavours", "enhanced", "pet", "photometric", "transfer_syntaxes", "broken", "objects"):
        for path in sorted(path for path in (odd / folder).rglob("*") if path.is_file()):
            if path.read_bytes()[128:132] == b"DICM" and path.name not in {"no_preamble.dcm", "meta_missing_tsyntax.dcm"}:
                headers = series_at(path, tmp_path, sop_class_uid=CT_IMAGE)
                outcomes += assemble.find_volumes(headers)
                outcomes += [assemble.read_volume(tmp_path, headers, image_geometry(one)) for one in headers.instances]
    assert len(outcomes) > 150
    assert all(isinstance(outcome, (Geometry, Volume, Reason)) for outcome in outcomes)
