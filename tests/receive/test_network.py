"""Cases N1 to N4, X1 and U1: what senders and scanners do on the wire (research/cases.md)."""

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.sender import (
    COMMAND,
    CT_IMAGE,
    DATA,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LAST,
    Aborted,
    RawAssociation,
    encode_command,
    encode_store_request,
    fragment,
    pdata,
    wrap_pdata,
)
from tests.peers.waiting import wait_until

from .receiving import CONTEXTS, Running, make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way", "line")

JPEG_2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with receiving(tmp_path) as running:
        yield running


def command(sop_instance_uid: str, message_id: int = 1) -> bytes:
    return encode_store_request(CT_IMAGE, sop_instance_uid, message_id)


# -- N1: fragments of two messages --------------------------------------------------------------------------------------

ONE, TWO = make_data_set("2.25.1", pixels=b"\1\1" * 5000), make_data_set("2.25.2", pixels=b"\2\2" * 5000)

OUT_OF_ORDER = {
    "a command within a data set": [
        pdata(1, COMMAND | LAST, command("2.25.1")), pdata(1, DATA, ONE[:5000]),
        pdata(1, COMMAND | LAST, command("2.25.2", 2)), pdata(1, DATA, TWO[:5000]), pdata(1, DATA | LAST, TWO[5000:]),
    ],
    "the same within one PDU": [
        wrap_pdata(
            fragment(1, COMMAND | LAST, command("2.25.1")) + fragment(1, DATA, ONE[:500])
            + fragment(1, COMMAND | LAST, command("2.25.2", 2)) + fragment(1, DATA | LAST, TWO)
        ),
    ],
    "data without a command": [pdata(1, DATA | LAST, ONE)],
    "the data set on another context": [pdata(1, COMMAND | LAST, command("2.25.1")), pdata(3, DATA | LAST, ONE)],
    "a request on a context that was rejected": [pdata(5, COMMAND | LAST, command("2.25.1")), pdata(5, DATA | LAST, ONE)],
    "an empty fragment": [wrap_pdata(struct.pack(">IB", 1, 1))],
    "a command that never ends": [pdata(1, COMMAND, b"\0" * 10_000), pdata(1, COMMAND, b"\0" * 10_000)],
    "a command that is none": [pdata(1, COMMAND | LAST, b"\1" * 100)],
    "a command of an unknown kind": [pdata(1, COMMAND | LAST, encode_command(((0x0100, b"\x77\x77"), (0x0800, b"\1\1"))))],
}  # fmt: skip


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_messages_are_never_mixed(running: Running, name: str) -> None:
    contexts = (*CONTEXTS, ("1.2.840.10008.5.1.4.1.1.66.4", (EXPLICIT_LITTLE,)))
    with running.associate(contexts) as association:
        for pdu in OUT_OF_ORDER[name]:
            association.connection.sendall(pdu)
        with pytest.raises(Aborted) as aborted:
            association.read_answer()
        assert aborted.value.by_pdu
    wait_until(lambda: running.receipts.ended, limit_s=5, what="the end of the association")
    assert running.stored() == {}
    assert running.parts() == []
    with running.associate() as association:  # and a new association with both succeeds
        assert association.store(ONE, CT_IMAGE, "2.25.1").status == 0
        assert association.store(TWO, CT_IMAGE, "2.25.2", message_id=2).status == 0
        association.release()
    assert running.stored() == {"2.25.1": ONE, "2.25.2": TWO}


@pytest.mark.parametrize("ending", [RawAssociation.abort, lambda association: association.connection.close()], ids=["abort", "vanish"])
def test_a_sender_that_gives_up_half_way_leaves_nothing(running: Running, ending: Callable[[RawAssociation], None]) -> None:
    association = running.associate()
    association.connection.sendall(pdata(1, COMMAND | LAST, command("2.25.1")) + pdata(1, DATA, ONE[:5000]))
    wait_until(running.parts, limit_s=5, what="the instance is on its way in")
    ending(association)
    wait_until(lambda: running.receipts.ended, limit_s=5, what="the end of the association")
    assert running.parts() == []
    assert running.stored() == {}
    assert running.events.fields[-1]["aborted"] is True


# -- N2: everything that a workstation knows ---------------------------------------------------------------------------


def test_128_contexts_with_20_transfer_syntaxes_each_are_all_answered(running: Running) -> None:
    unknown = [f"1.2.840.10008.1.2.4.{number}" for number in range(300, 319)]
    others = [(f"1.2.840.10008.5.1.4.1.1.9999.{number}", [EXPLICIT_LITTLE, *unknown]) for number in range(126)]
    contexts = [(CT_IMAGE, [IMPLICIT_LITTLE, *unknown]), *others, (CT_IMAGE, [JPEG_2000, *unknown])]
    with running.associate(contexts) as association:
        assert len(association.answered) == 128
        assert {result for context_id, result in association.answered.items() if context_id not in (1, 255)} == {3}
        assert association.accepted == {1: IMPLICIT_LITTLE, 255: JPEG_2000}
        compressed = make_data_set("2.25.9")
        assert association.store(compressed, CT_IMAGE, "2.25.9", context_id=255).status == 0
        association.release()
    assert running.receipts.receipts[0].instance.transfer_syntax_uid == JPEG_2000


# -- N3: silence -------------------------------------------------------------------------------------------------------


def test_silent_associations_are_aborted_and_their_sockets_closed(tmp_path: Path) -> None:
    with receiving(tmp_path, associations=3, network_timeout_s=0.5) as running:
        silent = [running.associate() for _ in range(3)]
        for number, association in enumerate(silent):
            assert association.store(make_data_set(f"2.25.{number}"), CT_IMAGE, f"2.25.{number}").status == 0
        silent[1].connection.sendall(pdata(1, COMMAND | LAST, command("2.25.50"))[:20])  # half a PDU, then nothing
        for association in silent:
            with pytest.raises(Aborted) as aborted:
                association.read_pdu()
            assert aborted.value.by_pdu
            assert association.connection.recv(1) == b""  # closed by the node
            association.connection.close()
        wait_until(lambda: len(running.receipts.ended) == 3, limit_s=5, what="the ends of the associations")
        # two had nothing more to send: quiet time may decide; the one that stopped amid a PDU had
        assert [name.rpartition(".")[2] for name in running.receipts.broken] == ["2"]
        with running.associate() as association:
            assert association.echo(context_id=3).status == 0
            association.release()
        assert len(running.stored()) == 3
        assert established_sockets(running.port) == 0


def established_sockets(port: int) -> int:
    """Connections of the listening side that the kernel still counts as open (state 01 in /proc/net/tcp)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


# -- N4: several requests at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, (8, 8)])
@pytest.mark.parametrize("packed", [False, True], ids=["a PDU for each fragment", "ends and beginnings share PDUs"])
def test_requests_written_before_the_first_answer_are_answered_in_order(
    running: Running, window: tuple[int, int] | None, packed: bool
) -> None:
    contents = {f"2.25.{number}": make_data_set(f"2.25.{number}", pixels=bytes([number]) * 30_000) for number in range(1, 9)}
    with running.associate(window=window) as association:
        assert 0x53 not in association.items  # no window is offered: one operation at a time
        parts: list[bytes] = []
        for number, (uid, content) in enumerate(contents.items(), start=1):
            parts += [fragment(1, COMMAND | LAST, command(uid, number)), fragment(1, DATA, content[:20_000])]
            parts += [fragment(1, DATA | LAST, content[20_000:])]
        pdus = [wrap_pdata(part) for part in parts]
        if packed:  # the last fragment of one and the command of the next in one PDU
            pdus = [wrap_pdata(b"".join(parts[start : start + 4])) for start in range(0, len(parts), 4)]
        association.connection.sendall(b"".join(pdus))
        answers = [association.read_answer() for _ in contents]
        association.release()
    assert [(answer.message_id, answer.status) for answer in answers] == [(number, 0) for number in range(1, 9)]
    assert running.stored() == contents


# -- X1: no DICOM at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x0bMSH|^~\\&|A|B\r\x1c\r",
        struct.pack(">BxI", 1, 0xFFFFFFF0) + b"\0" * 1000,
        struct.pack(">BxI", 4, 0xFFFFFFF0),
        struct.pack(">BxI", 1, 10) + b"\xff" * 10,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 200,  # a TLS greeting
    ],
    ids=["HTTP", "HL7", "request of 4 GB", "data of 4 GB", "broken request", "TLS"],
)
def test_what_is_no_dicom_is_aborted_and_closed_at_once(running: Running, greeting: bytes) -> None:
    with running.connect(timeout_s=5) as connection:
        connection.sendall(greeting)
        received = b""
        while block := connection.recv(4096):  # ends by the node's closing, or by the time limit
            received += block
    assert received[:1] == b"\7"  # A-ABORT
    with running.associate() as association:
        assert association.echo(context_id=3).status == 0
        association.release()


def test_a_length_of_4_gb_within_an_association_takes_no_memory(running: Running) -> None:
    before = resident_bytes()
    with running.associate() as association:
        association.connection.sendall(struct.pack(">BxI", 4, 0xFFFFFFF0))
        with pytest.raises(Aborted):
            association.flood(b"\0" * 1_000_000, 200)
    assert resident_bytes() - before < 50_000_000


def test_a_large_object_takes_no_memory(running: Running) -> None:
    block = b"\7" * 100_000
    head = make_data_set("2.25.1", pixels=b"")
    assert head[-4:] == b"\0\0\0\0"
    head = head[:-4] + struct.pack("<I", 100_000 * 1500)  # 150 MB
    before = resident_bytes()
    with running.associate() as association:
        association.connection.sendall(pdata(1, COMMAND | LAST, command("2.25.1")) + pdata(1, DATA, head))
        for number in range(1500):
            association.connection.sendall(pdata(1, DATA | (LAST if number == 1499 else 0), block))
        assert resident_bytes() - before < 50_000_000
        assert association.read_answer().status == 0
        association.release()
    assert running.receipts.receipts[0].instance.length == len(head) + 150_000_000
    assert resident_bytes() - before < 50_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- U1: the same instance from two sides at the same moment -----------------------------------------------------------


def test_the_same_instance_twice_at_once_is_one_file_each_time(running: Running) -> None:
    rounds = 60
    contents = [make_data_set(f"2.25.{number}", pixels=struct.pack("<I", number) * 8) for number in range(rounds)]
    together = threading.Barrier(2)
    statuses: list[int] = []

    def send() -> None:
        with running.associate() as association:
            for number, content in enumerate(contents):
                together.wait(timeout=20)
                statuses.append(association.store(content, CT_IMAGE, f"2.25.{number}", message_id=number).status)
            association.release()

    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(timeout=60)
    assert statuses == [0] * rounds * 2
    assert running.stored() == {f"2.25.{number}": content for number, content in enumerate(contents)}
    assert running.parts() == []
    with running.associate() as association:
        assert association.store(make_data_set("2.25.0", pixels=b"\x55" * 32), CT_IMAGE, "2.25.0").status == 0
        association.release()
    assert len(running.receipts.conflicts) == 1
    first = next(receipt for receipt in running.receipts.receipts if receipt.instance.sop_instance_uid == "2.25.0")
    with running.spool.open(first.instance) as file:
        assert file.read() == contents[0]
