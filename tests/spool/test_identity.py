"""By which UIDs an instance is filed, where its header is longer than what is read of it first."""

import struct
from pathlib import Path

from dicom_node.spool import Spool
from dicom_node.values import AETitle
from tests.receive.receiving import encode_element, make_data_set

ITEM, ITEM_END = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0" + bytes(4)
SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
CT_IMAGE, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


def test_a_sequence_that_goes_on_behind_the_first_bytes_lends_nobody_its_own_uids(tmp_path: Path) -> None:
    """Studies Containing Other Referenced Instances, of undefined length, over the end of what is read first.

    An image filed under the study that it refers to would be missing in its own, and be mixed into the other.
    """
    others = _open(0x1200) + b"".join(_refer_to(f"2.25.77{number:03d}") for number in range(400)) + SEQUENCE_END
    plain = make_data_set("2.25.7")
    at = plain.index(b"\x10\x00\x10\x00PN")  # behind group 0008
    names = {"sop_class_uid": CT_IMAGE, "sop_instance_uid": "2.25.7", "transfer_syntax_uid": EXPLICIT}
    incoming = Spool(tmp_path).begin(**names, calling=AETitle("A"), called=AETitle("B"), source="")
    incoming.write(plain[:at] + others + plain[at:])
    identity = incoming.read_identity()
    incoming.drop()
    assert (identity.study_instance_uid, identity.series_instance_uid) == ("2.25.2", "2.25.3")


def _refer_to(study: str) -> bytes:
    """An item with a series of another study, in which an empty sequence stands before that series' UID."""
    instances = _open(0x114A) + SEQUENCE_END
    series = ITEM + instances + encode_element(0x0020, 0x000E, b"UI", b"2.25.666") + ITEM_END
    return ITEM + _open(0x1115) + series + SEQUENCE_END + encode_element(0x0020, 0x000D, b"UI", study.encode()) + ITEM_END


def _open(number: int) -> bytes:
    """The beginning of a sequence of group 0008 that says no length."""
    return struct.pack("<HH", 0x0008, number) + b"SQ\0\0\xff\xff\xff\xff"
