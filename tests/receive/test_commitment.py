"""Storage commitment reports that a peer brings on an association of its own: taken, or refused with a word, and never made up."""

import contextlib
import struct
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from dicom_node.receive.commitment import parse_report
from dicom_node.values import CommitmentReport, Held, Holding, Proof
from tests.peers.sender import COMMAND, DATA, EXPLICIT_LITTLE, LAST, Aborted, RawAssociation, encode_command, pdata

from .receiving import Running, receiving

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with receiving(tmp_path) as running:
        running.commitments.asked["1.2.3"] = "pacs"
        yield running


def _report(
    transaction_uid: str | None = "1.2.3", *, held: tuple[str, ...] = (), failed: tuple[tuple[str, int | None], ...] = ()
) -> Dataset:
    report = Dataset()
    if transaction_uid is not None:
        report.TransactionUID = transaction_uid
    report.ReferencedSOPSequence = [_item(uid) for uid in held]
    if failed:
        report.FailedSOPSequence = [_item(uid, FailureReason=reason) for uid, reason in failed]
    return report


def _item(uid: str, **more: object) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    for keyword, value in more.items():
        if value is not None:
            setattr(item, keyword, value)
    return item


def _associate(running: Running, *, calling: str = "PACS", role: bool = True) -> Association:
    entity = AE(ae_title=calling)
    roles: list[Any] = [build_role(StorageCommitmentPushModel, scp_role=True)] if role else []
    contexts = [build_context(StorageCommitmentPushModel), build_context(CTImageStorage), build_context(Verification)]
    return entity.associate("127.0.0.1", running.port, contexts=contexts, ae_title="NODE", ext_neg=roles)


def _send(association: Association, report: Dataset, kind: int = 1) -> int:
    status, _ = association.send_n_event_report(report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    return int(status.Status)


@pytest.mark.parametrize("calling", ["PACS", "PACS_SC"])
@pytest.mark.parametrize("role", [True, False])
def test_a_report_is_taken_on_an_association_of_its_own(running: Running, calling: str, role: bool) -> None:
    """Case D1: under the title that was sent to, or under a further one."""
    association = _associate(running, calling=calling, role=role)
    assert _send(association, _report(held=("1.1",), failed=(("1.2", 0x0112),)), 2) == 0x0000
    assert _send(association, _report(held=("1.1",))) == 0x0000
    association.release()
    assert [len(report.holdings) for report in running.commitments.reports] == [2, 1]
    assert running.events.names.count("ProofGiven") == 3


def test_who_only_reports_may_do_nothing_else(running: Running) -> None:
    association = _associate(running, calling="PACS_SC")
    assert sorted(str(context.abstract_syntax) for context in association.accepted_contexts) == [Verification, StorageCommitmentPushModel]
    assert association.send_c_echo().Status == 0x0000
    association.release()


def test_a_title_that_is_not_configured_is_refused_and_said_so(running: Running) -> None:
    association = _associate(running, calling="OTHER_SC")
    assert association.is_rejected
    assert "AssociationRefused" in running.events.names


def test_a_peer_that_is_not_asked_for_commitment_may_not_report(running: Running) -> None:
    association = _associate(running, calling="MODALITY")
    assert StorageCommitmentPushModel not in [context.abstract_syntax for context in association.accepted_contexts]
    association.release()


def test_an_unknown_transaction_confirms_nothing_and_is_logged(running: Running) -> None:
    running.commitments.asked["9.9"] = "another"
    association = _associate(running)
    assert [_send(association, _report(uid, held=("1.1",))) for uid in ("1.2.4", "9.9", None)] == [0x0115] * 3
    association.release()
    assert running.commitments.reports == []
    assert running.events.names.count("CommitmentUnknown") == 3


def test_a_report_that_cannot_be_recorded_is_not_acknowledged(running: Running) -> None:
    running.commitments.breaks = True
    association = _associate(running)
    assert _send(association, _report(held=("1.1",))) == 0x0110
    running.commitments.breaks = False
    assert _send(association, _report(held=("1.1",))) == 0x0000
    association.release()


def _raw(running: Running, *, calling: str = "PACS", sop_class: str = StorageCommitmentPushModel) -> RawAssociation:
    return RawAssociation(running.port, [(sop_class, [EXPLICIT_LITTLE])], calling=calling)


def _request_command(message_id: int) -> bytes:
    """N-EVENT-REPORT-RQ (PS3.7 table 10.3-1)."""
    number = struct.Struct("<H").pack
    return encode_command(
        (
            (0x0002, StorageCommitmentPushModel.encode() + b"\0" * (len(StorageCommitmentPushModel) % 2)),
            (0x0100, number(0x0100)),
            (0x0110, number(message_id)),
            (0x0800, number(0x0001)),
            (0x1000, StorageCommitmentPushModelInstance.encode() + b"\0" * (len(StorageCommitmentPushModelInstance) % 2)),
            (0x1002, number(1)),
        )
    )


def test_a_report_in_many_fragments_is_one_report(running: Running) -> None:
    content = encode(_report(held=("1.1", "1.2")), False, True) or b""
    with _raw(running) as association:
        association.connection.sendall(pdata(1, COMMAND | LAST, _request_command(1)))
        for at in range(0, len(content), 20):
            association.connection.sendall(pdata(1, DATA | (LAST if at + 20 >= len(content) else 0), content[at : at + 20]))
        assert association.read_answer().status == 0x0000
        association.release()
    assert [len(report.holdings) for report in running.commitments.reports] == [2]


def test_reports_that_nobody_waits_for_cost_no_thread_each(running: Running) -> None:
    """The library serves each in a thread of its own; here they wait in line, and a line that is too long is an abort."""
    content = encode(_report(held=("1.1",)), False, True) or b""
    running.commitments.gate.clear()
    before = threading.active_count()
    with _raw(running) as association:
        with contextlib.suppress(OSError):
            for number in range(1, 201):
                association.connection.sendall(pdata(1, COMMAND | LAST, _request_command(number)) + pdata(1, DATA | LAST, content))
        with pytest.raises(Aborted):
            association.read_answer()
        assert threading.active_count() - before < 10
        running.commitments.gate.set()


def test_a_report_that_does_not_end_is_aborted(running: Running) -> None:
    with _raw(running) as association:
        association.connection.sendall(pdata(1, COMMAND | LAST, _request_command(1)))
        with contextlib.suppress(OSError):
            for _ in range(40):
                association.connection.sendall(pdata(1, DATA, b"\0" * 60_000))
        with pytest.raises(Aborted):
            association.read_answer()
    assert running.commitments.reports == []


def test_a_report_on_a_context_for_something_else_is_refused(running: Running) -> None:
    with _raw(running, calling="MODALITY", sop_class=Verification) as association:
        content = encode(_report(held=("1.1",)), False, True) or b""
        association.connection.sendall(pdata(1, COMMAND | LAST, _request_command(1)) + pdata(1, DATA | LAST, content))
        assert association.read_answer().status == 0x0122
        association.release()
    assert running.commitments.reports == []


def test_what_is_in_a_report() -> None:
    report = _report(held=("1.1", "1.2"), failed=(("1.2", 0x0119), ("1.3", 0x0112), ("1.4", 0x0213), ("1.5", None), ("1.6", 0xC123)))
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        found = parse_report(_request(encode(report, syntax.is_implicit_VR, True)), syntax)
        held = {"1.1": Held.YES, "1.2": Held.NEVER, "1.3": Held.NO, "1.4": Held.NOT_NOW, "1.5": Held.NOT_NOW, "1.6": Held.NEVER}
        assert found is not None
        assert {one.sop_instance_uid: one.held for one in found.holdings} == held
    assert parse_report(_request(encode(_report(), True, True)), ImplicitVRLittleEndian) == CommitmentReport("1.2.3", ())
    assert Holding("1.1", Held.YES, Proof.COMMITMENT) in found.holdings


_WHOLE = encode(_report(held=("1.1", "1.2"), failed=(("1.3", 0x0112),)), False, True) or b""


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what it finds odd
@pytest.mark.parametrize("content", [None, b"", b"\0" * 7, b"rubbish" * 20, *(_WHOLE[:length] for length in range(1, len(_WHOLE), 7))])
def test_what_cannot_be_read_confirms_nothing_that_was_not_said(content: bytes | None) -> None:
    found = parse_report(_request(content), ExplicitVRLittleEndian)
    assert found is None or {one.sop_instance_uid for one in found.holdings if one.held is Held.YES} <= {"1.1", "1.2"}


def _request(content: bytes | None) -> N_EVENT_REPORT:
    request = N_EVENT_REPORT()
    if content is not None:
        request.EventInformation = BytesIO(content)
    return request
