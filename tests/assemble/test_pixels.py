"""Which bytes belong to which frame (PS3.5 A.4, case P2)."""

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dicom_node.assemble.pixels import FrameSpans, find_frames, group_fragments
from dicom_node.values.reasons import CannotDecode

from .made import frame_at, instance_of

# Five fragments of ten bytes; each has an item head of eight before it.
FRAGMENTS = tuple((8 + 18 * index, 10) for index in range(5))


@pytest.mark.parametrize(
    ("table", "frames", "begins", "lengths"),
    [
        pytest.param([], 1, [0], [5], id="one frame has them all"),
        pytest.param([], 5, [], [1] * 5, id="one each"),
        pytest.param([0, 18, 36, 72], 4, [], [1, 1, 2, 1], id="the table decides"),
        pytest.param([], 4, [0, 1, 2, 4], [1, 1, 2, 1], id="codestreams decide where there is no table"),
        pytest.param([0, 18, 36, 70], 4, [0, 1, 3, 4], [1, 2, 1, 1], id="a table that points between items is passed over"),
        pytest.param([0], 4, [0, 1, 2, 4], [1, 1, 2, 1], id="a table of another length is passed over"),
        pytest.param([18, 0, 36, 72], 4, [0, 1, 2, 4], [1, 1, 2, 1], id="a table that goes back is passed over"),
        pytest.param([], 4, [0, 1, 2], None, id="fewer codestreams than frames"),
        pytest.param([], 3, [0, 1, 2, 4], None, id="more codestreams than frames"),
        pytest.param([], 2, [1, 3], None, id="the first fragment begins nothing"),
        pytest.param([], 6, [0, 1, 2, 3, 4], None, id="fewer fragments than frames"),
    ],
)
def test_fragments_of_each_frame_or_none_never_shifted(
    table: Sequence[int], frames: int, begins: Sequence[int], lengths: Sequence[int] | None
) -> None:
    grouped = group_fragments(FRAGMENTS, table, frames, [index in begins for index in range(5)])
    assert (None if grouped is None else [len(frame) for frame in grouped]) == lengths
    assert grouped is None or [span for frame in grouped for span in frame] == list(FRAGMENTS)


def encapsulated(fragments: Sequence[bytes]) -> bytes:
    """Pixel Data in explicit VR with an empty table."""
    items = b"".join(b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in (b"", *fragments))
    return b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def frames_of(content: bytes, frames: int) -> list[bytes] | object:
    made = instance_of([frame_at((0, 0, number), number=number) for number in range(1, frames + 1)], number=1)
    instance = replace(made.instance, transfer_syntax_uid="1.2.840.10008.1.2.4.80", length=len(content))
    found = find_frames(io.BytesIO(content), replace(made, instance=instance))
    return [found.read(number) for number in range(1, frames + 1)] if isinstance(found, FrameSpans) else found


def test_bytes_that_look_like_a_start_inside_a_frame_begin_nothing() -> None:
    """The second fragment goes on with a frame that has not ended, though it happens to look like a start."""
    fragments = [b"\xff\xd8\xff\x01", b"\xff\xd8\xff\x02\xff\xd9", b"\xff\xd8\xff\x03\xff\xd9\x00\x00"]
    assert frames_of(encapsulated(fragments), 2) == [fragments[0] + fragments[1], fragments[2]]


def test_items_that_are_none_are_damage() -> None:
    damaged = encapsulated([b"\xff\xd8\xff\xd9"]).replace(b"\xfe\xff\x00\xe0", b"\x12\x34\x56\x78")
    assert isinstance(frames_of(damaged, 1), CannotDecode)
