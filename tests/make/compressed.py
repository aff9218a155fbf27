"""The same instance in another transfer syntax."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gdcm
import numpy as np
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from .series import write_dataset

_ENCODERS = {uid.RLELossless: "pydicom", uid.JPEGLSLossless: "pyjpegls", uid.JPEG2000Lossless: "pylibjpeg"}
_JPEG = {uid.JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14, uid.JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1}

LOSSLESS = (*_ENCODERS, *_JPEG)
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian)


def transcode(dataset: Dataset, transfer_syntax: uid.UID) -> Dataset:
    """A copy of an uncompressed instance with the same UID, whose pixels are those of the original."""
    if transfer_syntax in _JPEG:
        return _transcode_with_gdcm(dataset, transfer_syntax)
    changed = copy.deepcopy(dataset)
    if transfer_syntax in _ENCODERS:
        changed.compress(transfer_syntax, encoding_plugin=_ENCODERS[transfer_syntax], generate_instance_uid=False)
    elif transfer_syntax == uid.ExplicitVRBigEndian:
        changed.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").byteswap().tobytes()
    changed.file_meta.TransferSyntaxUID = transfer_syntax
    return changed


def fragment(dataset: Dataset, *, fragments_per_frame: Sequence[int] | int, has_table: bool = False) -> Dataset:
    """A copy of a compressed instance, each frame cut into so many fragments."""
    changed = copy.deepcopy(dataset)
    count = int(dataset.get("NumberOfFrames", 1))
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
    cuts = [fragments_per_frame] * count if isinstance(fragments_per_frame, int) else fragments_per_frame
    parts = [part for frame, cut in zip(frames, cuts, strict=True) for part in _cut(frame, cut)]
    if has_table:
        assert isinstance(fragments_per_frame, int)
        changed.PixelData = encapsulate(frames, fragments_per_frame=fragments_per_frame, has_bot=True)
    else:
        changed.PixelData = encapsulate(parts, has_bot=False)
    return changed


def _cut(frame: bytes, parts: int) -> list[bytes]:
    size = -(-len(frame) // parts)
    size += size % 2
    return [frame[start : start + size] for start in range(0, len(frame), size)]


def _transcode_with_gdcm(dataset: Dataset, transfer_syntax: uid.UID) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.dcm", Path(folder) / "after.dcm"
        before.write_bytes(write_dataset(dataset))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(before))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(_JPEG[transfer_syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(after))
        assert writer.Write()
        changed = dcmread(after)
        assert changed.PixelData
        return changed
