"""The walk over elements never raises, whatever the bytes; the identity is read no further than it stands."""

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.errors import UnacceptableInstance
from dicom_node.spool import Identity, is_uid, parse_identity
from dicom_node.spool.elements import End, Syntax, walk, walk_items
from tests.receive.receiving import make_data_set

EXPLICIT = "1.2.840.10008.1.2.1"
IDENTITY = Identity("1.2.840.10008.5.1.4.1.1.2", "2.25.7", "2.25.2", "2.25.3")
SYNTAXES = st.builds(Syntax, explicit=st.booleans(), little=st.booleans())


@given(data=st.binary(max_size=300), syntax=SYNTAXES)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_walked_without_an_exception(data: bytes, syntax: Syntax) -> None:
    found = walk(data, syntax)
    assert 0 <= found.position <= len(data) or found.end is not End.REACHED
    for element in found.elements.values():
        assert 0 <= element.start <= element.end <= len(data)
        walk_items(data, element, syntax)


@given(at=st.integers(0, 400), byte=st.integers(0, 255), syntax=SYNTAXES)
@settings(max_examples=200, deadline=None)
def test_any_damage_to_a_header_is_a_value_or_a_refusal(at: int, byte: int, syntax: Syntax) -> None:
    damaged = bytearray(make_data_set())
    damaged[at % len(damaged)] = byte
    found = walk(bytes(damaged), syntax)
    for element in found.elements.values():
        assert 0 <= element.start <= element.end <= len(damaged)
        walk_items(bytes(damaged), element, syntax)
    with contextlib.suppress(UnacceptableInstance):
        assert all(map(is_uid, dataclasses.astuple(parse_identity(bytes(damaged), EXPLICIT))))


def test_sequences_within_sequences_end_at_a_limit() -> None:
    opening = b"\x29\0\x10\0SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    assert walk(opening * 100_000, Syntax(explicit=True, little=True)).end is End.BROKEN


def test_the_identity_needs_no_byte_beyond_the_series() -> None:
    data_set = make_data_set()
    end = data_set.index(b"2.25.3") + 6
    assert parse_identity(data_set[:end], EXPLICIT) == IDENTITY
    assert parse_identity(memoryview(data_set[:end] + b"rubbish that is no element"), EXPLICIT) == IDENTITY
    with pytest.raises(UnacceptableInstance) as refusal:
        parse_identity(data_set[: end - 1], EXPLICIT)
    assert refusal.value.comment == "data set breaks off before SeriesInstanceUID"


@pytest.mark.parametrize("uid", ["1." + "2" * 63, "1.2 3", "1.2\\1.3x\x01"])
def test_a_uid_that_is_none_is_refused_without_telling_it(uid: str) -> None:
    with pytest.raises(UnacceptableInstance) as refusal:
        parse_identity(make_data_set(uid), EXPLICIT)
    assert "1.2" not in refusal.value.comment
    assert len(refusal.value.comment) <= 64
