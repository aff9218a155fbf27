"""A C-STORE request is read, and answered, as pynetdicom does; what is unusual is left to it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.receive.command import StoreCommand, encode_answer, parse_store
from dicom_node.receive.receipt import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from tests.peers.sender import CT_IMAGE, encode_command, encode_store_request

USUAL = {
    0x0002: CT_IMAGE.encode() + b"\0",
    0x0100: b"\x01\0",
    0x0110: struct.pack("<H", 7),
    0x0700: struct.pack("<H", 2),
    0x0800: b"\x01\0",
    0x1000: b"1.2.34",
}


def command(**changes: bytes | None) -> memoryview:
    """The usual command with other values by their element's number, or without one."""
    values = USUAL | {int(name[1:], 16): value for name, value in changes.items()}
    return memoryview(encode_command([(tag, value) for tag, value in sorted(values.items()) if value is not None]))


USUAL_COMMAND = bytes(command())


def request_of(found: StoreCommand) -> tuple[str, str, int, int]:
    """What a sender would write for it."""
    return found.sop_class_uid, found.sop_instance_uid, found.message_id, found.priority


def test_the_usual_request_is_read() -> None:
    assert parse_store(command()) == StoreCommand(CT_IMAGE, "1.2.34", 7, 2)
    assert parse_store(memoryview(encode_store_request(CT_IMAGE, "1.2.3", 1))) == StoreCommand(CT_IMAGE, "1.2.3", 1, 0)
    moved = command(x1030=b"WORKSTATION1", x1031=struct.pack("<H", 9))
    assert parse_store(moved) == StoreCommand(CT_IMAGE, "1.2.34", 7, 2, "WORKSTATION1")


@pytest.mark.parametrize(
    "changes",
    [
        {"x0002": None},
        {"x0002": b""},
        {"x0002": b"1.2 "},
        {"x1000": None},
        {"x1000": b"1.2.a\0"},
        {"x1000": b"1" * 66},
        {"x1000": b"1.2\\1"},
        {"x0100": b"\x30\0"},  # C-ECHO
        {"x0110": None},
        {"x0110": b"\1\0\0\0"},
        {"x0700": None},
        {"x0700": b"\3\0"},
        {"x0800": b"\x01\x01"},  # no data set
        {"x0900": b"\0\0"},
        {"x1030": b"                "},
        {"x1030": b"A\\B "},
        {"x1031": b"\1"},
    ],
)
def test_what_is_unusual_is_left_to_pynetdicom(changes: dict[str, bytes | None]) -> None:
    assert parse_store(command(**changes)) is None


def test_a_command_that_is_cut_or_out_of_order_is_left_too() -> None:
    whole = command()
    assert all(parse_store(whole[:size]) is None for size in range(len(whole)))
    assert parse_store(memoryview(bytes(whole) + b"\0")) is None
    elements = encode_command([(0x0110, USUAL[0x0110]), (0x0100, USUAL[0x0100])])
    assert parse_store(memoryview(elements)) is None


@given(st.binary(max_size=200))
def test_anything_is_read_or_left(content: bytes) -> None:
    found = parse_store(memoryview(content))
    assert found is None or parse_store(memoryview(encode_store_request(*request_of(found)))) == found


@given(st.integers(0, len(USUAL_COMMAND) - 1), st.integers(0, 255))
def test_a_damaged_command_is_read_as_it_stands_or_left(at: int, byte: int) -> None:
    damaged = bytearray(USUAL_COMMAND)
    damaged[at] = byte
    found = parse_store(memoryview(damaged))
    assert found is None or parse_store(memoryview(encode_store_request(*request_of(found)))) == found


@pytest.mark.parametrize(
    ("status", "comment"), [(SUCCESS, ""), (OUT_OF_RESOURCES, "disk above its high-water mark"), (CANNOT_UNDERSTAND, "odd")]
)
@pytest.mark.parametrize("uid", ["1.2.34", "1.2.345"])
def test_the_answer_is_pynetdicoms_byte_for_byte(status: int, comment: str, uid: str) -> None:
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = 7
    answer.AffectedSOPClassUID = CT_IMAGE
    answer.AffectedSOPInstanceUID = uid
    answer.Status = status
    if comment:
        answer.ErrorComment = comment
    message = C_STORE_RSP()
    message.primitive_to_message(answer)
    (pdata,) = message.encode_msg(5, 16_382)
    ((context_id, value),) = pdata.presentation_data_value_list
    expected = struct.pack(">BxIIB", 4, len(value) + 5, len(value) + 1, context_id) + value
    assert encode_answer(5, StoreCommand(CT_IMAGE, uid, 7, 0), status, comment) == expected
