"""What are the voxel values of a volume? Pixels are decoded here and nowhere else, frame by frame, into one array."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.values import Form, FrameHeaders, Geometry, InstanceHeaders, Reason, SeriesHeaders, Volume
from dicom_node.values.reasons import IllegalValue, PixelsTooLarge, TransferSyntaxNotSupported

from .codecs import Integers, Stored
from .frames import read_frames
from .planes import instance_number
from .syntaxes import READABLE, syntax_name

# Decoded as int16: 4096 slices of 512 x 512. What announces more is refused before anything is allocated.
PIXEL_LIMIT_BYTES = 2 << 30

# Where a CT says *no tissue* stands air: what most scanners write outside their field of view (HU).
_AIR_HU = -1024

# Of one instance, the wanted ones in their order; a reason is the last.
ReadFrames = Callable[[Path, InstanceHeaders, Sequence[FrameHeaders]], Iterator[tuple[FrameHeaders, Stored | Reason]]]
# An array of a shape and type, whatever its values.
TakeArray = Callable[[tuple[int, ...], type[np.generic]], npt.NDArray[Any]]
Voxels = npt.NDArray[np.int16] | npt.NDArray[np.float32]
_INT16 = np.iinfo(np.int16)


def read_volume(
    root: Path, headers: SeriesHeaders, geometry: Geometry, read: ReadFrames = read_frames, take: TakeArray = np.empty
) -> Volume | Reason:
    """The voxels of one volume, in modality units; or NoPixels, PixelsTruncated, PixelsTooLarge, CannotDecode,
    TransferSyntaxNotSupported, PixelSignMismatch, IllegalValue.

    `root` is the folder that `InstanceRef.file` is relative to; `read` gives the stored values of an instance's frames, `take` an array
    for all of them, whatever is in it. Each frame is rescaled by its own slope and intercept (PS3.3 C.11.1). Voxels are int16 where every
    slope and intercept is a whole number and every value fits, else float32. Pixels of Pixel Padding Value become air in CT (-1024 HU),
    elsewhere the smallest value of the rest, so that no filter mixes them into tissue; `is_padding` says where they were. MONOCHROME1 is
    turned over for projection images alone, so that more attenuation is a larger value in all of them; in a volume the values have a
    meaning that a display rule does not change.
    """
    wanted = {(frame.sop_instance_uid, frame.frame_number): index for index, frame in enumerate(geometry.frames)}
    sources = [one for one in headers.instances if any((one.instance.sop_instance_uid, f.frame_number) in wanted for f in one.frames)]
    refusal = _find_refusal(sources, geometry)
    if refusal is not None:
        return refusal
    used = [(one, [f for f in one.frames if (one.instance.sop_instance_uid, f.frame_number) in wanted]) for one in sources]
    is_whole = all(f.rescale_slope.is_integer() and f.rescale_intercept.is_integer() for _, frames in used for f in frames)
    voxels: Voxels = take(geometry.shape, np.int16 if is_whole else np.float32)
    unread, padded = set(range(len(voxels))), defaultdict[int, npt.NDArray[np.bool_]]()
    for one, frames in used:
        for frame, stored in read(root, one, frames):
            if isinstance(stored, Reason):
                return stored
            index = wanted[(one.instance.sop_instance_uid, frame.frame_number)]
            values = _rescale(_turn_over(stored.values, one, geometry.form), frame, is_whole=is_whole)
            if stored.is_padding is not None:
                padded[index] = stored.is_padding
                values[stored.is_padding] = 0
            if voxels.dtype == np.int16 and not _fits(values):
                voxels = voxels.astype(np.float32)
            voxels[index] = values
            unread.discard(index)
    assert not unread, "a slice without a frame would show what its memory held before"
    is_padding = _fill_padding(voxels, padded, is_ct=sources[0].attribute("Modality") == ("CT",))
    voxels.flags.writeable = False
    return Volume(geometry, voxels, is_padding)


def _find_refusal(sources: list[InstanceHeaders], geometry: Geometry) -> Reason | None:
    """What is known to fail before a byte of pixels is read or an array allocated."""
    for one in sources:
        if one.instance.transfer_syntax_uid not in READABLE:
            return TransferSyntaxNotSupported(syntax_name(one.instance.transfer_syntax_uid))
        if not 1 <= one.bits_stored <= one.bits_allocated:
            return IllegalValue(attribute="BitsStored", instance_number=instance_number(one))
        if (one.rows, one.columns) != geometry.shape[1:]:
            return IllegalValue(attribute="Rows", instance_number=instance_number(one))
    slices, rows, columns = geometry.shape
    wanted_bytes = slices * rows * columns * np.dtype(np.int16).itemsize
    if wanted_bytes > PIXEL_LIMIT_BYTES:
        return PixelsTooLarge(wanted_bytes=wanted_bytes, limit_bytes=PIXEL_LIMIT_BYTES)
    return None


def _turn_over(stored: Integers, headers: InstanceHeaders, form: Form) -> Integers:
    """Stored values of a MONOCHROME1 projection, mirrored within the range of Bits Stored."""
    if form is not Form.PROJECTION or headers.photometric_interpretation != "MONOCHROME1":
        return stored
    return -1 - stored if headers.pixel_representation == 1 else (1 << headers.bits_stored) - 1 - stored


def _rescale(stored: Integers, frame: FrameHeaders, *, is_whole: bool) -> Integers | npt.NDArray[np.float64]:
    """Modality values, an array of their own; int16 from 16 bits where they fit, which costs no wider copy."""
    if not is_whole:
        return stored.astype(np.float64) * frame.rescale_slope + frame.rescale_intercept
    slope, intercept = int(frame.rescale_slope), int(frame.rescale_intercept)
    if slope != 1 or not _INT16.min <= intercept <= _INT16.max:
        return stored.astype(np.float64) * slope + intercept
    if stored.dtype.itemsize == 2 and _INT16.min <= int(stored.min()) + intercept and int(stored.max()) + intercept <= _INT16.max:
        return (stored.view(np.uint16) + np.uint16(intercept & 0xFFFF)).view(np.int16)  # modulo 2^16, and the sum fits
    return stored.astype(np.int64) + intercept


def _fits(values: Integers | npt.NDArray[np.float64]) -> bool:
    return values.dtype == np.int16 or bool(_INT16.min <= values.min() and values.max() <= _INT16.max)


def _fill_padding(voxels: Voxels, padded: dict[int, npt.NDArray[np.bool_]], *, is_ct: bool) -> npt.NDArray[np.bool_] | None:
    """Write what stands for *no tissue* into the padded voxels, and say where they are; None where there is none."""
    if not padded:
        return None
    is_padding = np.zeros(voxels.shape, dtype=np.bool_)
    for index, where in padded.items():
        is_padding[index] = where
    if is_ct:
        voxels[is_padding] = _AIR_HU
    elif not is_padding.all():
        voxels[is_padding] = voxels.min(where=~is_padding, initial=voxels.max())
    is_padding.flags.writeable = False
    return is_padding
