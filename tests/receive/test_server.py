"""receive to spool: 0x0000 is answered only for bytes that are there as they came; everything else is refused and the node lives on."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.sender import COMMAND, CT_IMAGE, EXPLICIT_LITTLE, LAST, MR_IMAGE, Aborted, Rejected, encode_store_request, pdata
from tests.peers.waiting import wait_until
from tests.places import REPOSITORY

from .receiving import CONTEXTS, PEERS, Running, make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way", "line")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with receiving(tmp_path) as running:
        yield running


def test_an_acknowledged_instance_lies_in_the_spool_byte_for_byte(running: Running) -> None:
    data_set = make_data_set("2.25.7", pixels=bytes(range(256)) * 1000)
    with running.associate() as association:
        answer = association.store(data_set, CT_IMAGE, "2.25.7", message_id=11)
        association.release()
    assert (answer.status, answer.message_id, answer.sop_instance_uid) == (0, 11, "2.25.7")
    (receipt,) = running.receipts.receipts
    assert receipt.instance.digest == hashlib.sha256(data_set).hexdigest()
    assert (receipt.calling.text, receipt.called.text) == ("MODALITY", "NODE")
    assert running.stored() == {"2.25.7": data_set}


def test_the_end_of_an_association_is_told_after_its_last_receipt(running: Running) -> None:
    with running.associate() as association:
        association.store(make_data_set(), CT_IMAGE, "2.25.7")
        association.release()
    running.receiver.stop(grace_s=2.0)
    assert running.receipts.ended == [running.receipts.receipts[0].association]
    assert running.receipts.ended[0].startswith("receiver:")
    assert running.receipts.broken == []
    assert running.events.names == ["AssociationAccepted", "AssociationEnded"]
    assert running.events.fields[1]["stored"] == 1


@pytest.mark.parametrize("how", ["abort", "close"])
def test_an_association_that_breaks_off_is_told_as_broken(running: Running, how: str) -> None:
    """Its sender has more to send: quiet time must not end the series at once."""
    with running.associate() as association:
        association.store(make_data_set(), CT_IMAGE, "2.25.7")
        association.abort() if how == "abort" else association.connection.close()
    wait_until(lambda: running.receipts.ended, limit_s=10, what="the end is not told")
    assert running.receipts.broken == running.receipts.ended


@pytest.mark.parametrize(
    ("data_set", "status"),
    [
        pytest.param(make_data_set(sop_class_uid=None), 0xC000, id="class absent"),
        pytest.param(make_data_set(None), 0xC000, id="instance absent"),
        pytest.param(make_data_set("2.25.8"), 0xC000, id="instance differs"),
        pytest.param(make_data_set(sop_class_uid=MR_IMAGE), 0xA900, id="class differs"),
        pytest.param(make_data_set(series_instance_uid=""), 0xC000, id="series empty"),
        pytest.param(b"GET / HTTP/1.1\r\n", 0xC000, id="no data set at all"),
    ],
)
def test_an_instance_is_never_filed_under_a_guessed_identity(running: Running, data_set: bytes, status: int) -> None:
    with running.associate() as association:
        refused = association.store(data_set, CT_IMAGE, "2.25.7")
        taken = association.store(make_data_set(), CT_IMAGE, "2.25.7", message_id=2)  # the association lives
        association.release()
    assert refused.status == status
    assert refused.sop_instance_uid == "2.25.7"
    assert 0 < len(refused.comment) <= 64
    assert taken.status == 0
    assert list(running.stored()) == ["2.25.7"]
    assert running.receipts.refusals == [("MODALITY", status, refused.comment)]
    assert running.parts() == []


def test_a_uid_of_more_than_64_characters_is_refused_and_the_association_lives(running: Running) -> None:
    long = "1.2." + "3" * 63
    with running.associate() as association:
        assert association.store(make_data_set(long), CT_IMAGE, long).status == 0xC000
        assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
        association.release()
    assert running.parts() == []


def test_the_same_bytes_twice_are_one_instance_and_other_bytes_are_set_aside(running: Running) -> None:
    first, other = make_data_set(pixels=b"\1\2" * 16), make_data_set(pixels=b"\3\4" * 16)
    with running.associate() as association:
        statuses = [association.store(content, CT_IMAGE, "2.25.7").status for content in (first, first, other, first)]
        association.release()
    assert statuses == [0, 0, 0, 0]
    assert sorted(running.stored().values()) == sorted([first, other])  # both are durable
    assert [receipt.instance.digest for receipt in running.receipts.receipts] == [hashlib.sha256(first).hexdigest()]
    assert running.events.names.count("InstanceConflict") == 1


def test_above_the_high_water_mark_instances_are_refused_for_now(tmp_path: Path) -> None:
    with receiving(tmp_path, disk_high_water_percent=0.000001) as running, running.associate() as association:
        assert association.store(make_data_set(pixels=b"\0" * 100_000), CT_IMAGE, "2.25.7").status == 0xA700
        assert association.echo(context_id=3).status == 0
        association.release()
        assert running.stored() == {}


def test_an_object_beyond_the_limit_is_refused_and_what_never_ends_is_aborted(tmp_path: Path) -> None:
    with receiving(tmp_path, largest_object_mb=1) as running:
        with running.associate() as association:
            assert association.store(make_data_set(pixels=b"\0" * 1_100_000), CT_IMAGE, "2.25.7").status == 0xC000
            assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
            association.release()
        with running.associate() as association:
            association.connection.sendall(pdata(1, COMMAND | LAST, encode_store_request(CT_IMAGE, "2.25.8", 1)))
            with pytest.raises(Aborted):
                association.flood(pdata(1, 0, b"\0" * 100_000), 1000)
        running.receiver.stop(grace_s=2.0)
        assert list(running.stored()) == ["2.25.7"]
        assert running.parts() == []


def test_the_administrator_reads_the_status_that_an_object_beyond_the_limit_gets() -> None:
    """C000, as the test above sees it; A700 would have the sender try again for ever."""
    comment = (REPOSITORY / "config" / "node.toml").read_text(encoding="utf-8").split("\n# largest_object_mb =")[0].rsplit("\n\n", 1)[1]
    rows = [line for line in (REPOSITORY / "docs" / "operation.md").read_text(encoding="utf-8").splitlines() if "largest_object_mb" in line]
    assert len(rows) == 1
    for text in (comment, rows[0]):
        assert "C000" in text
        assert "A700" not in text


def test_a_receipt_that_cannot_be_written_is_no_acknowledgement(running: Running) -> None:
    running.receipts.close()  # what a database that went away looks like from here
    with running.associate() as association:
        assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0xA700
        association.release()
    assert running.events.names.count("Broken") == 1


def test_a_disk_that_takes_nothing_is_answered_and_survived(tmp_path: Path) -> None:
    with receiving(tmp_path) as running:
        running.spool_folder.rmdir()
        running.spool_folder.write_bytes(b"")  # a file where the folder was: every write fails
        with running.associate() as association:
            assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0xA700
            running.spool_folder.unlink()
            running.spool_folder.mkdir()
            assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
            association.release()


def test_a_known_caller_that_may_not_send_may_only_ask_whether_the_node_is_there(running: Running) -> None:
    with running.associate(calling="VIEWER") as association:
        assert association.accepted == {3: "1.2.840.10008.1.2"}
        assert association.echo(context_id=3).status == 0
        association.release()


@pytest.mark.parametrize(
    ("titles", "codes"),
    [
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"called": "node"}, (1, 1, 7)),
        ({"called": "OTHER"}, (1, 1, 7)),
    ],
)
def test_strangers_are_rejected_with_a_reason(running: Running, titles: dict[str, str], codes: tuple[int, int, int]) -> None:
    with pytest.raises(Rejected) as rejection:
        running.associate(**titles)
    assert rejection.value.codes == codes
    assert running.events.names == ["AssociationRefused"]


def test_one_association_more_than_configured_is_rejected_for_now_and_its_slot_comes_back(tmp_path: Path) -> None:
    with receiving(tmp_path, associations=2) as running, running.associate() as first, running.associate():
        with pytest.raises(Rejected) as rejection:
            running.associate()
        assert rejection.value.codes == (2, 3, 2)
        first.release()

        def one_more() -> bool:
            try:
                running.associate().release()
            except Rejected:
                return False
            return True

        wait_until(one_more, limit_s=5, what="the slot of a released association")


def test_a_caller_that_cannot_be_judged_is_rejected_for_now_and_takes_no_slot(tmp_path: Path) -> None:
    """The library would go on accepting after an exception, and each such call would cost a slot for ever."""
    odd = PEERS["modality"].model_copy(update={"ae_title": "ODD", "addresses": (1.5,)})
    with receiving(tmp_path, peers={**PEERS, "odd": odd}, associations=1) as running:
        for _ in range(3):
            with pytest.raises(Rejected) as rejection:
                running.associate(calling="ODD")
            assert rejection.value.codes == (2, 3, 1)
        with running.associate() as association:
            with pytest.raises(Rejected) as rejection:
                running.associate()
            assert rejection.value.codes == (2, 3, 2)  # a slot given back twice would let it in
            assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
            association.release()
        running.receiver.stop(grace_s=2.0)
        assert running.events.names.count("Broken") == 3
        assert list(running.stored()) == ["2.25.7"]


@pytest.mark.parametrize("host", ["pacs..local", "pacs." + "x" * 64, "\0", "no-such-host.invalid"])
def test_a_host_name_that_none_can_resolve_is_that_of_a_stranger(tmp_path: Path, host: str) -> None:
    lost = PEERS["modality"].model_copy(update={"ae_title": "LOST", "host": host})
    with receiving(tmp_path, peers={**PEERS, "lost": lost}) as running:
        with pytest.raises(Rejected) as rejection:
            running.associate(calling="LOST")
        assert rejection.value.codes == (1, 1, 3)
        assert running.events.names == ["AssociationRefused"]


def test_a_stopping_receiver_finishes_the_message_and_takes_no_other(tmp_path: Path) -> None:
    data_set = make_data_set(pixels=b"\5\6" * 50_000)
    with receiving(tmp_path) as running, running.associate() as busy, running.associate() as idle:
        busy.connection.sendall(pdata(1, COMMAND | LAST, encode_store_request(CT_IMAGE, "2.25.7", 1)) + pdata(1, 0, data_set[:1000]))
        wait_until(running.parts, limit_s=5, what="the instance is on its way in")
        stopping = threading.Thread(target=running.receiver.stop, args=(10.0,))
        stopping.start()
        with pytest.raises(Exception, match=r"A-ABORT|closed"):
            idle.read_pdu()
        with pytest.raises(OSError):  # noqa: PT011  (refused or reset, as the moment has it)
            running.associate(timeout_s=1.0)
        busy.connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            busy.read_pdu()  # nobody aborts it
        busy.connection.settimeout(10)
        busy.connection.sendall(pdata(1, LAST, data_set[1000:]))
        assert busy.read_answer().status == 0
        stopping.join(timeout=10)
        assert not stopping.is_alive()
        assert running.stored() == {"2.25.7": data_set}


def test_contexts_offer_what_codecs_decode(running: Running) -> None:
    with running.associate(
        ((CT_IMAGE, ("1.2.840.10008.1.2.4.90", EXPLICIT_LITTLE)), *CONTEXTS, ("1.2.840.10008.5.1.4.1.1.66.4", (EXPLICIT_LITTLE,)))
    ) as it:
        assert it.accepted[1] == EXPLICIT_LITTLE  # ours of those proposed, not theirs
        assert it.answered[7] == 3  # a segmentation is no image: abstract syntax not supported
        it.release()
