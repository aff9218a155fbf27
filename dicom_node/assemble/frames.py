"""The stored values of an instance's frames, from its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.values import FrameHeaders, InstanceHeaders, Reason

from .codecs import Stored, decode_frame
from .pixels import find_frames


def read_frames(root: Path, headers: InstanceHeaders, frames: Sequence[FrameHeaders]) -> Iterator[tuple[FrameHeaders, Stored | Reason]]:
    """The stored values of the wanted frames of one instance, one at a time; a reason is the last. Raises SpoolFailed."""
    try:
        with (root / headers.instance.file).open("rb") as file:
            found = find_frames(file, headers)
            for frame in frames:
                stored = found if isinstance(found, Reason) else decode_frame(found.read(frame.frame_number), headers)
                yield frame, stored
    except OSError as cause:
        raise SpoolFailed(errno=cause.errno or 0) from cause
