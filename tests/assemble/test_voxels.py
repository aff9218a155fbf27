"""What the voxels of a volume are. Sources: research/cases.md P1 to P3, G2, V2; standards.md section 8."""

import copy
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openjpeg.utils import encode_array
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from dicom_node import assemble
from dicom_node.errors import SpoolFailed
from dicom_node.values import Form, Geometry, Reason, Volume
from dicom_node.values.reasons import (
    CannotDecode,
    NoPixels,
    PixelSignMismatch,
    PixelsTooLarge,
    PixelsTruncated,
    TransferSyntaxNotSupported,
)
from tests.make import AXIAL, BALL_CENTRE_LPS, CORONAL, MARKER_CENTRE_LPS, MARKER_HU, OBLIQUE, SAGITTAL, base_anatomy, make_series
from tests.make.anatomy import BALL_HU
from tests.make.assembled import headers_of, image_geometry, one_geometry, series_headers
from tests.make.compressed import LOSSLESS, NATIVE, fragment, transcode
from tests.make.series import ref_of_file, write_dataset

SMALL: dict[str, Any] = {"shape": (4, 32, 48), "spacing_mm": (15.0, 3.0, 2.0)}


def read(datasets: list[Dataset], root: Path) -> Volume:
    """The only volume of made instances."""
    headers = series_headers(datasets, root)
    volume = assemble.read_volume(root, headers, one_geometry(headers))
    assert isinstance(volume, Volume), volume
    return volume


def refused(datasets: list[Dataset], root: Path) -> Reason:
    headers = series_headers(datasets, root)
    reason = assemble.read_volume(root, headers, one_geometry(headers))
    assert isinstance(reason, Reason), "it was read"
    return reason


def centre_lps(volume: Volume, value: float) -> np.ndarray[Any, Any]:
    """The centre of mass of the voxels of one value, in LPS mm."""
    index = np.argwhere(volume.voxels == value).mean(axis=0)
    return np.asarray((np.array(volume.geometry.lps_from_index) @ (*index, 1.0))[:3])


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({"orientation": AXIAL}, id="axial"),
        pytest.param({"orientation": CORONAL}, id="coronal (V2)"),
        pytest.param({"orientation": SAGITTAL}, id="sagittal (V2)"),
        pytest.param({"orientation": (1, 0, 0, 0, -1, 0)}, id="column cosine 0,-1,0 (G2)"),
        pytest.param({"orientation": (-1, 0, 0, 0, -1, 0)}, id="prone (G2)"),
        pytest.param({"orientation": OBLIQUE}, id="oblique"),
        pytest.param({"spacing_mm": (3.0, 1.0, 1.0), "shape": (40, 80, 100)}, id="anisotropic"),
        pytest.param({"spacing_mm": (2.0, 1.0, 2.5), "shape": (60, 90, 50)}, id="pixels not square"),
        pytest.param({"enhanced": True}, id="enhanced"),
        pytest.param({"modality": "MR", "rescale": (1.0, -1000.0), "orientation": SAGITTAL}, id="MR"),
    ],
)
def test_ball_and_marker_lie_where_they_were_put(layout: dict[str, Any], tmp_path: Path) -> None:
    volume = read(make_series(base_anatomy, **({"shape": (60, 72, 72), "spacing_mm": (1.6, 1.6, 1.6)} | layout)), tmp_path)
    # A voxel's half is what sampling may cost; a mirrored or swapped axis costs centimetres.
    np.testing.assert_allclose(centre_lps(volume, BALL_HU), BALL_CENTRE_LPS, atol=0.8)
    np.testing.assert_allclose(centre_lps(volume, MARKER_HU), MARKER_CENTRE_LPS, atol=1.2)


@given(st.permutations(range(6)))
@settings(max_examples=8, deadline=None)
def test_any_order_of_arrival_gives_the_same_voxels(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    root = tmp_path_factory.mktemp("order")
    made = make_series(base_anatomy, shape=(6, 16, 16), spacing_mm=(12.0, 6.0, 6.0))
    np.testing.assert_array_equal(read([made[index] for index in order], root).voxels, read(made, root).voxels)


def test_voxels_are_read_only_int16_where_values_are_whole(tmp_path: Path) -> None:
    volume = read(make_series(base_anatomy, **SMALL), tmp_path)
    assert volume.voxels.dtype == np.int16
    assert not volume.voxels.flags.writeable
    assert volume.is_padding is None


# -- transfer syntaxes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, {"signed": True, "rescale": (1.0, 0.0)}, {"bits_stored": 12}], ids=["unsigned", "signed", "12 bits"])
@pytest.mark.parametrize("transfer_syntax", [*NATIVE, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_every_lossless_syntax_gives_the_same_voxels(transfer_syntax: uid.UID, kind: dict[str, Any], tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, **kind)
    voxels = read([transcode(one, transfer_syntax) for one in made], tmp_path).voxels
    np.testing.assert_array_equal(voxels, read(made, tmp_path).voxels)
    assert np.unique(voxels).size > 2


def test_a_series_of_several_syntaxes_is_one_volume(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL)
    mixed = [made[0], *(transcode(one, syntax) for one, syntax in zip(made[1:], LOSSLESS[:3], strict=True))]
    np.testing.assert_array_equal(read(mixed, tmp_path).voxels, read(made, tmp_path).voxels)


def encode(dataset: Dataset, frames: list[bytes], transfer_syntax: uid.UID) -> Dataset:
    changed = copy.deepcopy(dataset)
    changed.PixelData = encapsulate(frames, has_bot=False)
    changed["PixelData"].VR, changed["PixelData"].is_undefined_length = "OB", True
    changed.file_meta.TransferSyntaxUID = transfer_syntax
    return changed


def test_p1_signed_13_bit_ct_coded_as_unsigned_13_bit_jpeg_2000(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, signed=True, bits_stored=13, rescale=(1.0, 0.0))
    coded = []
    for one in made:
        words = np.frombuffer(one.PixelData, "<u2").reshape(one.Rows, one.Columns) & 0x1FFF
        coded.append(encode(one, [encode_array(words, bits_stored=13, photometric_interpretation=0)], uid.JPEG2000Lossless))
    np.testing.assert_array_equal(read(coded, tmp_path).voxels, read(made, tmp_path).voxels)


def test_p1_jpeg_ls_with_12_of_16_bits_signed(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, signed=True, bits_stored=12, rescale=(1.0, 0.0))
    coded = [transcode(one, uid.JPEGLSLossless) for one in made]
    voxels = read(coded, tmp_path).voxels
    assert voxels.min() == -1000
    np.testing.assert_array_equal(voxels, read(made, tmp_path).voxels)


def test_p1_a_signed_codestream_with_negative_values_under_an_unsigned_header_is_undecided(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL)
    values = np.full((32, 48), -5, dtype=np.int16)
    coded = encode(made[1], [encode_array(values, photometric_interpretation=0)], uid.JPEG2000Lossless)
    assert refused([made[0], coded, *made[2:]], tmp_path) == PixelSignMismatch(instance_number=2)


@pytest.mark.parametrize("transfer_syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("has_table", [False, True], ids=["no table", "table"])
def test_p2_a_frame_in_many_fragments(transfer_syntax: uid.UID, has_table: bool, tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL)
    cut = [fragment(transcode(one, transfer_syntax), fragments_per_frame=4, has_table=has_table) for one in made]
    np.testing.assert_array_equal(read(cut, tmp_path).voxels, read(made, tmp_path).voxels)


@pytest.mark.parametrize("transfer_syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless], ids=lambda syntax: syntax.name)
def test_p2_four_frames_without_table_and_two_fragments_in_frame_3(transfer_syntax: uid.UID, tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, enhanced=True)
    cut = fragment(transcode(made[0], transfer_syntax), fragments_per_frame=[1, 1, 2, 1])
    np.testing.assert_array_equal(read([cut], tmp_path).voxels, read(made, tmp_path).voxels)


def test_p2_as_many_fragments_as_frames_but_not_one_each_is_refused_never_shifted(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, enhanced=True)
    cut = fragment(transcode(made[0], uid.JPEGLSLossless), fragments_per_frame=[1, 1, 2, 1])
    items = split_items(cut.PixelData)[:-1]
    cut.PixelData = encapsulate(items, has_bot=False)
    assert refused([cut], tmp_path) == CannotDecode("JPEG-LS Lossless Image Compression", 1)


def split_items(pixel_data: bytes) -> list[bytes]:
    """The fragments, without the table."""
    stream, items = io.BytesIO(pixel_data), []
    while stream.read(4) == b"\xfe\xff\x00\xe0":
        items.append(stream.read(int.from_bytes(stream.read(4), "little")))
    return items[1:]


def test_a_missing_sequence_delimiter_is_tolerated(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL)
    headers = series_headers([transcode(one, uid.RLELossless) for one in made], tmp_path)
    path = tmp_path / headers.instances[0].instance.file
    path.write_bytes(path.read_bytes()[:-8])
    refs = [replace(one.instance, length=one.instance.length - 8 * (index == 0)) for index, one in enumerate(headers.instances)]
    shorter = headers_of(refs, tmp_path)
    volume = assemble.read_volume(tmp_path, shorter, one_geometry(shorter))
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.voxels, read(made, tmp_path).voxels)


# -- values -------------------------------------------------------------------------------------------------------------


def test_p3_rescale_of_the_first_slice_used_for_all_whole_intercepts(tmp_path: Path) -> None:
    """Intercept -1024 on even slices, 0 on odd ones, stored values to match."""

    def shift(dataset: Dataset, index: int) -> None:
        if index % 2:
            stored = np.frombuffer(dataset.PixelData, "<i2") - 1024
            dataset.PixelData, dataset.RescaleIntercept = stored.astype("<i2").tobytes(), "0"

    made = make_series(base_anatomy, **SMALL, signed=True)
    changed = make_series(base_anatomy, **SMALL, signed=True, change=shift)
    np.testing.assert_array_equal(read(changed, tmp_path).voxels, read(made, tmp_path).voxels)


def test_p3_slopes_from_slice_to_slice_as_in_pet(tmp_path: Path) -> None:
    def scale(dataset: Dataset, index: int) -> None:
        slope = (1 + index) * 7e-9  # to 2.8e-8
        values = (np.frombuffer(dataset.PixelData, "<u2").astype(float) + 1.0) * 1e-7
        dataset.PixelData = np.rint(values / slope).astype("<u2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.10g}", "0"

    constant = read(make_series(base_anatomy, **SMALL), tmp_path).voxels
    volume = read(make_series(base_anatomy, **SMALL, change=scale), tmp_path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, (constant + 1025.0) * 1e-7, rtol=0, atol=1.5e-8)


def test_signed_data_read_as_unsigned_and_rubbish_above_12_bits(tmp_path: Path) -> None:
    def soil(dataset: Dataset, index: int) -> None:
        words = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = ((words & 0x0FFF) | (0x5000 + 0x1000 * index)).astype("<u2").tobytes()

    for kind in ({"signed": True, "rescale": (1.0, 0.0)}, {}):
        made = make_series(base_anatomy, **SMALL, bits_stored=12, **kind)
        soiled = make_series(base_anatomy, **SMALL, bits_stored=12, **kind, change=soil)
        np.testing.assert_array_equal(read(soiled, tmp_path).voxels, read(made, tmp_path).voxels)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        pytest.param({"signed": True, "rescale": (1.0, 0.0)}, -2000, id="-2000, signed"),
        pytest.param({"rescale": (1.0, -1024.0)}, 63536, id="63536, unsigned"),
        pytest.param({"rescale": (1.0, -1024.0), "bits_stored": 12}, 63536, id="63536 above the 12 stored bits"),
    ],
)
def test_pixel_padding_read_as_air_and_smoothed_into_lung(kind: dict[str, Any], written: int, tmp_path: Path) -> None:
    def pad(dataset: Dataset, index: int) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).copy()
        pixels[:3] = written & 0xFFFF
        dataset.PixelData = pixels.tobytes()
        dataset.add_new(0x00280120, "SS" if written < 0 else "US", written)

    volume = read(make_series(base_anatomy, **SMALL, **kind, change=pad), tmp_path)
    assert volume.voxels.dtype == np.int16
    assert volume.is_padding is not None
    assert volume.is_padding[:, :3].all()
    assert not volume.is_padding[:, 3:].any()
    assert (volume.voxels[:, :3] == -1024).all()
    np.testing.assert_array_equal(volume.voxels[:, 3:], read(make_series(base_anatomy, **SMALL, **kind), tmp_path).voxels[:, 3:])


def test_a_padding_range_in_mr_takes_the_smallest_value_of_the_rest(tmp_path: Path) -> None:
    def pad(dataset: Dataset, index: int) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).copy()
        pixels[:2], pixels[2] = 5000, 5003
        dataset.PixelData, dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = pixels.tobytes(), 5000, 5003

    volume = read(make_series(base_anatomy, **SMALL, modality="MR", rescale=(1.0, -1000.0), change=pad), tmp_path)
    assert volume.is_padding is not None
    assert volume.is_padding.sum() == 4 * 3 * 48
    assert (volume.voxels[volume.is_padding] == -1000).all()


def test_values_beyond_int16_are_float(tmp_path: Path) -> None:
    def brighten(dataset: Dataset, index: int) -> None:
        if index == 2:
            pixels = np.frombuffer(dataset.PixelData, "<u2").copy()
            pixels[7] = 65535
            dataset.PixelData = pixels.tobytes()

    volume = read(make_series(base_anatomy, **SMALL, change=brighten), tmp_path)
    assert (volume.voxels.dtype, volume.voxels.max()) == (np.float32, 65535 - 1024)
    made = read(make_series(base_anatomy, **SMALL), tmp_path).voxels
    np.testing.assert_array_equal(volume.voxels[[0, 1, 3]], made[[0, 1, 3]])


def test_monochrome1_is_turned_over_for_radiographs_alone(tmp_path: Path) -> None:
    def invert(dataset: Dataset, index: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    kind: dict[str, Any] = {**SMALL, "bits_stored": 12, "rescale": (1.0, 0.0)}
    made = make_series(base_anatomy, **kind)
    display = make_series(base_anatomy, **kind, change=invert)
    plain = read(made, tmp_path).voxels
    np.testing.assert_array_equal(read(display, tmp_path).voxels, plain)
    headers = series_headers(display, tmp_path)
    geometry = replace(one_geometry(headers), form=Form.PROJECTION, lps_from_index=None)
    turned = assemble.read_volume(tmp_path, headers, geometry)
    assert isinstance(turned, Volume)
    np.testing.assert_array_equal(turned.voxels, 4095 - plain)


# -- what cannot be read ------------------------------------------------------------------------------------------------


def cut_file(datasets: list[Dataset], root: Path, drop_bytes: int) -> Reason | Volume:
    """The reason, where the last bytes of the second instance never came."""
    refs = [ref_of_file(write_dataset(one)[: -drop_bytes if index == 1 else None], root) for index, one in enumerate(datasets)]
    headers = headers_of(refs, root)
    return assemble.read_volume(root, headers, one_geometry(headers))


def test_truncated_pixels(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL)
    assert cut_file(made, tmp_path, 100) == PixelsTruncated(wanted_bytes=32 * 48 * 2, found_bytes=32 * 48 * 2 - 100)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_truncated_compressed_pixels(transfer_syntax: uid.UID, tmp_path: Path) -> None:
    made = [transcode(one, transfer_syntax) for one in make_series(base_anatomy, **SMALL)]
    assert isinstance(cut_file(made, tmp_path, 60), PixelsTruncated)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("damage", ["empty", "rubbish", "half", "another size"])
def test_damaged_codestreams_are_a_reason(transfer_syntax: uid.UID, damage: str, tmp_path: Path) -> None:
    made = [transcode(one, transfer_syntax) for one in make_series(base_anatomy, **SMALL)]
    (codestream,) = split_items(made[1].PixelData)
    other = transcode(make_series(base_anatomy, shape=(1, 64, 48))[0], transfer_syntax)
    content = {
        "empty": b"\0\0",
        "rubbish": b"\x12\x34" * 50,
        "half": codestream[: len(codestream) // 4],
        "another size": split_items(other.PixelData)[0],
    }
    made[1].PixelData = encapsulate([content[damage]], has_bot=False)
    assert refused(made, tmp_path) == CannotDecode(transfer_syntax.name, 2)


def test_twelve_bits_of_jpeg_extended_have_no_decoder(tmp_path: Path) -> None:
    made = make_series(base_anatomy, **SMALL, bits_stored=12)
    start_of_frame = b"\xff\xd8\xff\xc1\x00\x0b\x0c\x00\x20\x00\x30\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9"
    made[2] = encode(made[2], [start_of_frame], uid.JPEGExtended12Bit)
    assert refused(made, tmp_path) == CannotDecode(uid.JPEGExtended12Bit.name, 3)


def test_a_syntax_without_decoder_is_named(tmp_path: Path) -> None:
    headers = series_headers(make_series(base_anatomy, **SMALL), tmp_path)
    geometry = one_geometry(headers)
    video = replace(headers.instances[0], instance=replace(headers.instances[0].instance, transfer_syntax_uid=uid.MPEG2MPML))
    other = replace(headers, instances=(video, *headers.instances[1:]))
    assert assemble.read_volume(tmp_path, other, geometry) == TransferSyntaxNotSupported(uid.MPEG2MPML.name)


def test_more_voxels_than_the_limit_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    headers = series_headers(make_series(base_anatomy, **SMALL), tmp_path)
    huge = tuple(replace(one, rows=60000, columns=60000) for one in headers.instances)
    geometry = replace(one_geometry(headers), shape=(4, 60000, 60000))
    reason = assemble.read_volume(tmp_path, replace(headers, instances=huge), geometry)
    assert reason == PixelsTooLarge(wanted_bytes=4 * 60000 * 60000 * 2, limit_bytes=assemble.PIXEL_LIMIT_BYTES)


def test_a_deflate_bomb_is_inflated_no_further_than_its_header_announces(tmp_path: Path) -> None:
    bomb = make_series(base_anatomy, **SMALL)
    bomb[0].PixelData = bytes(64 << 20)
    bomb[0].file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    assert refused(bomb, tmp_path) == CannotDecode(uid.DeflatedExplicitVRLittleEndian.name)


def test_a_jpeg_2000_codestream_that_claims_another_size_is_not_given_to_the_decoder(tmp_path: Path) -> None:
    made = [transcode(one, uid.JPEG2000Lossless) for one in make_series(base_anatomy, **SMALL)]
    (codestream,) = split_items(made[0].PixelData)
    claims = bytearray(codestream)
    claims[8:16] = (1 << 30).to_bytes(4, "big") * 2
    made[0].PixelData = encapsulate([bytes(claims)], has_bot=False)
    assert refused(made, tmp_path) == CannotDecode(uid.JPEG2000Lossless.name, 1)


def test_bytes_that_are_no_pixel_data_where_pixel_data_should_be(tmp_path: Path) -> None:
    headers = series_headers(make_series(base_anatomy, **SMALL), tmp_path)
    wrong = replace(headers, instances=tuple(replace(one, data_set=one.data_set[:-40]) for one in headers.instances))
    assert assemble.read_volume(tmp_path, wrong, one_geometry(headers)) == NoPixels()


def test_a_file_that_is_gone_is_an_error_of_the_disk(tmp_path: Path) -> None:
    headers = series_headers(make_series(base_anatomy, **SMALL), tmp_path)
    (tmp_path / headers.instances[0].instance.file).unlink()
    with pytest.raises(SpoolFailed):
        assemble.read_volume(tmp_path, headers, one_geometry(headers))


def test_only_the_wanted_frames_of_a_multi_frame_object_are_decoded(tmp_path: Path) -> None:
    """A damaged frame of another volume costs this one nothing."""
    made = make_series(base_anatomy, **SMALL, enhanced=True)
    coded = transcode(made[0], uid.JPEGLSLossless)
    frames = split_items(coded.PixelData)
    coded.PixelData = encapsulate([frames[0], b"\0\0", *frames[2:]], has_bot=False)
    headers = series_headers([coded], tmp_path)
    whole = one_geometry(headers)
    geometry: Geometry = replace(whole, frames=(whole.frames[0], *whole.frames[2:]), shape=(3, 32, 48))
    volume = assemble.read_volume(tmp_path, headers, geometry)
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.voxels, read(made, tmp_path).voxels[[0, 2, 3]])
    assert isinstance(assemble.read_volume(tmp_path, headers, image_geometry(headers.instances[0])), CannotDecode)
