"""Delivered means acknowledged: what the node says of each object is what the peer holds."""

import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic

import pytest
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import split_dataset
from pynetdicom.sop_class import LabelMapSegmentationStorage  # type: ignore[attr-defined]

from dicom_node.config import DeliverSection
from dicom_node.deliver import Answers, Outcome, Sent, send
from dicom_node.errors import Again, AssociationRejected, NoPresentationContext, PeerUnreachable, TitleUnknown
from dicom_node.values import PeerName
from tests.deliver.objects import LIMITS, peer_at, write_result
from tests.deliver.odd_peers import deaf_peer, full_peer, relay, talkative_peer
from tests.peers.archive import Archive, digest_of_data_set
from tests.peers.node import answers_echo
from tests.peers.ports import find_free_port
from tests.peers.tools import need_program
from tests.peers.waiting import wait_until

PACS = PeerName("pacs")
IMPATIENT = DeliverSection(connect_timeout_s=0.5, response_timeout_s=0.5)


@pytest.fixture
def result(tmp_path: Path) -> tuple[Path, Path]:
    return write_result(tmp_path / "result")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as running:
        yield running


def _send(files: tuple[Path, ...], port: int, limits: DeliverSection = LIMITS) -> tuple[Sent, ...]:
    return _answers(files, port, limits).sent


def _answers(files: tuple[Path, ...], port: int, limits: DeliverSection = LIMITS, also: Sequence[str] = ()) -> Answers:
    return send(files, destination=PACS, peer=peer_at(port), our_title="NODE", limits=limits, also=also)


def test_both_objects_go_in_their_order_with_the_bytes_that_lie_on_disk(archive: Archive, result: tuple[Path, Path]) -> None:
    sent = _send(result, archive.port)
    assert [(one.file, one.outcome, one.status, one.error) for one in sent] == [(file, Outcome.DONE, 0, None) for file in result]
    assert [stored.digest for stored in archive.record] == [digest_of_data_set(file) for file in result]
    assert [stored.sop_class_uid for stored in archive.record] == [SegmentationStorage, Comprehensive3DSRStorage]
    assert {stored.calling for stored in archive.record} == {"NODE"}


def test_a_warning_is_delivered_and_kept(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[SegmentationStorage] = [0xB000]
    first, second = _send(result, archive.port)
    assert (first.outcome, first.status) == (Outcome.WARNED, 0xB000)
    assert second.outcome is Outcome.DONE


def test_a_report_waits_for_a_segmentation_that_has_to_be_tried_again(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[SegmentationStorage] = [0xA700]
    first, second = _send(result, archive.port)
    assert (first.outcome, first.status) == (Outcome.RETRY_LATER, 0xA700)
    assert (second.outcome, second.status, second.error) == (Outcome.RETRY_LATER, None, None)
    assert [stored.status for stored in archive.record] == [0xA700]


def test_case_d2_only_the_object_that_was_not_taken_is_tried_again(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[Comprehensive3DSRStorage] = [0xA700]
    todo: tuple[Path, ...] = result
    while todo:
        todo = tuple(one.file for one in _send(todo, archive.port) if one.outcome is Outcome.RETRY_LATER)
    uids = [str(dcmread(file).SOPInstanceUID) for file in result]
    assert [len(archive.stores_of(uid)) for uid in uids] == [1, 2]
    assert len(archive.files()) == 2


def test_a_refused_segmentation_does_not_hold_the_report_back(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[SegmentationStorage] = [0xC000]
    first, second = _send(result, archive.port)
    assert (first.outcome, first.status) == (Outcome.NEVER, 0xC000)
    assert second.outcome is Outcome.DONE


def test_where_the_peer_does_not_take_a_class_nothing_is_sent(tmp_path: Path, result: tuple[Path, Path]) -> None:
    """The report names the segmentation; what takes its place comes first."""
    with Archive(tmp_path / "archive", classes=[Comprehensive3DSRStorage]) as archive:
        answers = _answers(result, archive.port)
        assert archive.record == []
    first, second = answers.sent
    assert (first.outcome, first.status, first.error) == (Outcome.NEVER, None, NoPresentationContext(PACS, SegmentationStorage))
    assert (second.outcome, second.status, second.error) == (Outcome.RETRY_LATER, None, None)
    assert answers.refused == {SegmentationStorage: None}
    assert (answers.accepted, answers.not_accepted) == ({Comprehensive3DSRStorage}, {SegmentationStorage})


def test_a_class_that_is_refused_by_its_status_holds_back_what_comes_after(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[SegmentationStorage] = [0x0122]
    answers = _answers(result, archive.port)
    first, second = answers.sent
    assert (first.outcome, first.status, first.is_class_refused) == (Outcome.NEVER, 0x0122, True)
    assert (second.outcome, second.status, second.is_class_refused) == (Outcome.RETRY_LATER, None, False)
    assert answers.refused == {SegmentationStorage: 0x0122}
    assert answers.accepted == {SegmentationStorage, Comprehensive3DSRStorage}
    assert len(archive.record) == 1


def test_a_report_whose_class_is_refused_by_its_status_comes_after_what_was_taken(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.stores[Comprehensive3DSRStorage] = [0x0122]
    answers = _answers(result, archive.port)
    assert [one.outcome for one in answers.sent] == [Outcome.DONE, Outcome.NEVER]
    assert (answers.stored, answers.refused) == ({SegmentationStorage}, {Comprehensive3DSRStorage: 0x0122})


def test_a_peer_is_asked_about_other_classes_beside_those_of_the_objects(tmp_path: Path, result: tuple[Path, Path]) -> None:
    """In the same association, by one context each, in whichever transfer syntax it likes."""
    here = [SegmentationStorage, Comprehensive3DSRStorage, SecondaryCaptureImageStorage]
    also = [SegmentationStorage, SecondaryCaptureImageStorage, EncapsulatedPDFStorage, SecondaryCaptureImageStorage]
    for syntaxes in ([ExplicitVRLittleEndian], [ImplicitVRLittleEndian]):
        with Archive(tmp_path / str(syntaxes[0]), classes=here, transfer_syntaxes=syntaxes) as archive:
            answers = _answers(result, archive.port, also=also)
            assert len(archive.record) == 2
        assert (answers.accepted, answers.not_accepted) == (set(here), {EncapsulatedPDFStorage})
        assert answers.refused == {}


def test_no_more_contexts_are_proposed_than_an_association_has(archive: Archive, result: tuple[Path, Path]) -> None:
    answers = _answers(result, archive.port, also=[f"1.2.3.{number}" for number in range(300)])
    assert [one.outcome for one in answers.sent] == [Outcome.DONE] * 2
    assert len(answers.accepted | answers.not_accepted) == 128 - 2  # each of the files' classes has two


def test_a_label_map_is_proposed_by_its_own_class(tmp_path: Path, archive: Archive) -> None:
    """Who takes segmentations may not take these."""
    files = write_result(tmp_path / "labels", segmentation=LabelMapSegmentationStorage)
    assert [one.outcome for one in _send(files, archive.port)] == [Outcome.DONE] * 2
    assert archive.record[0].sop_class_uid == LabelMapSegmentationStorage
    with Archive(tmp_path / "older", classes=[SegmentationStorage, Comprehensive3DSRStorage]) as older:
        answers = _answers(files, older.port)
    assert answers.refused == {LabelMapSegmentationStorage: None}


def test_a_peer_that_takes_none_of_the_classes_gets_nothing(tmp_path: Path, result: tuple[Path, Path]) -> None:
    with Archive(tmp_path / "archive", classes=["1.2.840.10008.5.1.4.1.1.1"]) as archive:
        sent = _send(result, archive.port)
    assert [type(one.error) for one in sent] == [NoPresentationContext] * 2
    assert [one.outcome for one in sent] == [Outcome.NEVER] * 2


@pytest.mark.parametrize("size", [64, 65, 900])
def test_a_peer_that_is_configured_so_gets_the_same_bytes_deflated(tmp_path: Path, size: int) -> None:
    """Where it accepts that, and nobody else: the data set inflates to the bytes that lie on disk."""
    files = write_result(tmp_path / "result", size=size)
    with Archive(tmp_path / "archive", transfer_syntaxes=[DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian]) as archive:
        for deflate, syntax in ((True, DeflatedExplicitVRLittleEndian), (False, ExplicitVRLittleEndian)):
            sent = send(files, destination=PACS, peer=peer_at(archive.port, deflate=deflate), our_title="NODE", limits=LIMITS).sent
            assert [one.outcome for one in sent] == [Outcome.DONE] * 2
            assert [stored.transfer_syntax_uid for stored in archive.record[-2:]] == [syntax] * 2
            if not deflate:
                continue
            for file in files:
                kept = archive.folder / f"{dcmread(file).SOPInstanceUID}.dcm"
                (_, offset), (_, own_offset) = split_dataset(kept), split_dataset(file)
                data_set = kept.read_bytes()[offset:]
                assert len(data_set) % 2 == 0
                assert len(data_set) < file.stat().st_size
                assert zlib.decompress(data_set, wbits=-zlib.MAX_WBITS) == file.read_bytes()[own_offset:]


def test_a_peer_that_does_not_take_deflated_objects_gets_them_as_they_are(tmp_path: Path, result: tuple[Path, Path]) -> None:
    with Archive(tmp_path / "archive", transfer_syntaxes=[ExplicitVRLittleEndian]) as archive:
        sent = send(result, destination=PACS, peer=peer_at(archive.port, deflate=True), our_title="NODE", limits=LIMITS).sent
    assert [one.outcome for one in sent] == [Outcome.DONE] * 2
    assert [stored.digest for stored in archive.record] == [digest_of_data_set(file) for file in result]


def test_dcmtk_reads_what_it_got_deflated(tmp_path: Path, result: tuple[Path, Path]) -> None:
    port, folder = find_free_port(), tmp_path / "files"
    folder.mkdir()
    command = [need_program("storescp"), "-aet", "PACS", "+xd", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as storescp:
        try:
            wait_until(lambda: answers_echo(port, called="PACS"), limit_s=30, what="storescp does not answer")
            sent = send(result, destination=PACS, peer=peer_at(port, deflate=True), our_title="NODE", limits=LIMITS).sent
        finally:
            storescp.kill()
    assert [one.outcome for one in sent] == [Outcome.DONE] * 2
    for file in result:
        (kept,) = folder.glob(f"*{dcmread(file).SOPInstanceUID}")
        assert dcmread(kept).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
        plain = tmp_path / "plain.dcm"
        subprocess.run([need_program("dcmconv"), "+te", str(kept), str(plain)], check=True)
        assert dcmread(plain) == dcmread(file)


def test_a_peer_with_implicit_vr_alone_gets_the_same_values(tmp_path: Path, result: tuple[Path, Path]) -> None:
    with Archive(tmp_path / "archive", transfer_syntaxes=[ImplicitVRLittleEndian]) as archive:
        assert [one.outcome for one in _send(result, archive.port)] == [Outcome.DONE] * 2
        for file in result:
            kept = dcmread(archive.folder / f"{dcmread(file).SOPInstanceUID}.dcm")
            assert kept.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
            assert {str(e.tag): e.value for e in kept if not e.tag.is_private} == {
                str(e.tag): e.value for e in dcmread(file) if not e.tag.is_private
            }


@pytest.mark.parametrize(("announced", "largest"), [(0, 131_072), (1024, 1024), (16_384, 16_384), (131_072, 131_072), (4_000_000, 131_072)])
def test_case_d3_no_pdu_is_larger_than_the_peer_says(tmp_path: Path, announced: int, largest: int) -> None:
    files = write_result(tmp_path / "result", size=512)  # half a megabyte each
    with Archive(tmp_path / "archive", pdu_bytes=announced) as archive:
        assert [one.outcome for one in _send(files, archive.port)] == [Outcome.DONE] * 2
        assert archive.largest_pdu_bytes == largest
        assert [stored.digest for stored in archive.record] == [digest_of_data_set(file) for file in files]


@pytest.mark.parametrize("titles", [b"\0" * 32, b" " * 32, b"\\" * 32, b"\xff\xfe" * 16, bytes(range(32))])
def test_case_d4_rubbish_in_the_reserved_titles_of_the_answer_does_no_harm(
    archive: Archive, result: tuple[Path, Path], titles: bytes
) -> None:
    with relay(archive.port, titles=titles) as port:
        assert [one.outcome for one in _send(result, port)] == [Outcome.DONE] * 2


@pytest.mark.parametrize("reason", [3, 7])
def test_a_peer_that_does_not_know_a_title_says_so(archive: Archive, result: tuple[Path, Path], reason: int) -> None:
    archive.answers.reject = (1, 1, reason)
    with pytest.raises(TitleUnknown) as caught:
        _send(result, archive.port)
    assert (caught.value.reason, caught.value.again) == (reason, Again.LATER)
    assert archive.record == []


@pytest.mark.parametrize("answer", [(1, 1, 1), (2, 1, 3), (2, 3, 2)])
def test_a_rejection_is_told_with_its_three_numbers(archive: Archive, result: tuple[Path, Path], answer: tuple[int, int, int]) -> None:
    archive.answers.reject = answer
    with pytest.raises(AssociationRejected) as caught:
        _send(result, archive.port)
    assert (caught.value.result, caught.value.source, caught.value.reason) == answer
    assert archive.record == []


def test_a_peer_that_is_not_there_is_unreachable_and_may_be_later(result: tuple[Path, Path]) -> None:
    with pytest.raises(PeerUnreachable) as caught:
        _send(result, find_free_port())
    assert caught.value.again is Again.LATER


@pytest.mark.parametrize("host", ["no-such-host.invalid", "pacs..local", "pacs." + "x" * 64])
def test_a_name_that_nobody_knows_is_unreachable(result: tuple[Path, Path], host: str) -> None:
    peer = peer_at(104).model_copy(update={"host": host})
    with pytest.raises(PeerUnreachable):
        send(result, destination=PACS, peer=peer, our_title="NODE", limits=LIMITS)


@pytest.mark.parametrize("kind", [deaf_peer, full_peer])
def test_case_c1_a_peer_that_swallows_packets_costs_seconds(result: tuple[Path, Path], kind: type) -> None:
    with kind() as port:
        start = monotonic()
        with pytest.raises(PeerUnreachable):
            _send(result, port, IMPATIENT)
        assert monotonic() - start < 5


def test_a_peer_that_never_answers_a_store_is_left(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.is_silent = True
    first, second = _send(result, archive.port, IMPATIENT)
    assert (first.outcome, first.status, first.error) == (Outcome.RETRY_LATER, None, PeerUnreachable(PACS))
    assert (second.outcome, second.error) == (Outcome.RETRY_LATER, None)


STRAY = {
    "the answer before, once more": {"message_id": 1},
    "an answer to nothing": {"message_id": 99},
    "an answer for another object": {"sop_instance_uid": "2.25.99"},
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
def test_an_answer_counts_for_the_request_that_it_names_alone(result: tuple[Path, Path], stray: dict[str, object]) -> None:
    """A PACS that answers twice does not hold the second object for that."""

    def answer(request: C_STORE, say: Callable[..., None]) -> int:
        if request.MessageID == 1:
            return 0x0000
        say(0x0000, **stray)
        return 0xA700

    with talkative_peer(answer) as port:
        first, second = _send(result, port)
    assert (first.outcome, first.status) == (Outcome.DONE, 0x0000)
    assert (second.outcome, second.status) == (Outcome.RETRY_LATER, 0xA700)


def test_answers_that_do_not_count_do_not_prolong_the_wait(result: tuple[Path, Path]) -> None:
    over = threading.Event()

    def answer(request: C_STORE, say: Callable[..., None]) -> int:
        while not over.wait(0.2):
            say(0x0000, message_id=99)
        return 0x0000

    with talkative_peer(answer) as port:
        start = monotonic()
        first, second = _send(result, port, IMPATIENT)
        took_s = monotonic() - start
        over.set()
    assert (first.outcome, first.status, first.error) == (Outcome.RETRY_LATER, None, PeerUnreachable(PACS))
    assert (second.status, second.error) == (None, None)
    assert took_s < 5


def test_a_peer_that_stops_reading_is_left(archive: Archive, tmp_path: Path) -> None:
    files = write_result(tmp_path / "large", size=2500)  # 12 megabytes: more than the sockets hold
    with relay(archive.port, read_bytes=100_000) as port:
        start = monotonic()
        first, second = _send(files, port, IMPATIENT)
        assert monotonic() - start < 10
    assert (first.outcome, first.error) == (Outcome.RETRY_LATER, PeerUnreachable(PACS))
    assert second.outcome is Outcome.RETRY_LATER


def test_a_line_that_breaks_keeps_what_was_acknowledged_before(archive: Archive, tmp_path: Path) -> None:
    files = write_result(tmp_path / "result", size=512)
    with relay(archive.port, cut_bytes=700_000) as port:  # in the middle of the second object
        first, second = _send(files, port)
    assert (first.outcome, first.status) == (Outcome.DONE, 0)
    assert (second.outcome, second.error) == (Outcome.RETRY_LATER, PeerUnreachable(PACS))
    assert len(archive.record) == 1


def test_a_slow_line_is_not_a_dead_one(archive: Archive, tmp_path: Path) -> None:
    """The limit holds for each step, so that the size of an object does not count against it."""
    files = write_result(tmp_path / "result", size=900)  # 1.6 megabytes each
    limits = DeliverSection(connect_timeout_s=5.0, response_timeout_s=0.8)
    with relay(archive.port, pause_s=0.015) as port:
        start = monotonic()
        assert [one.outcome for one in _send(files, port, limits)] == [Outcome.DONE] * 2
        assert monotonic() - start > 2 * limits.response_timeout_s
