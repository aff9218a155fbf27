"""What a person withdraws, at a destination that is told in the form that it can show, whatever is on its way at that moment."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.uid import BasicTextSRStorage, EncapsulatedPDFStorage, SecondaryCaptureImageStorage

from dicom_node import journal, pipeline
from dicom_node.journal.engine import status_table
from dicom_node.journal.tables import deliveries, results, studies
from dicom_node.sending import WithdrawalMade
from dicom_node.values import AssembledSeries, NotAnalysed, PeerName, Proof, derive_withdrawal_key
from dicom_node.values.reasons import WITHDRAWALS, NotForCare, ResultWrong, TooFew, Withdrawal, WrongPatient
from dicom_node.values.records import ResultRecord
from tests.encode.conftest import make_case
from tests.encode.results import named, walk
from tests.journal.conftest import book, url
from tests.promises.test_withdrawal import predecessors
from tests.test_stepping_down import REPORT, SEG, Site, site

__all__ = ["book", "make_case", "site", "url"]  # fixtures

NOTE = "1.2.840.10008.5.1.4.1.1.88.59"
TEXT, PICTURE, PAGE = str(BasicTextSRStorage), str(SecondaryCaptureImageStorage), str(EncapsulatedPDFStorage)
OLD, NEW, NEWEST = "ab" * 32, "cd" * 32, "ef" * 32
WITH_NOTES = 'objects = ["segmentation", "report-3d"]\nrejection_notes = true'
WITHOUT = 'objects = ["segmentation", "report-3d"]'


def withdraw(here: Site, reason: Withdrawal | None = None, package: str = "") -> tuple[WithdrawalMade, ...]:
    study = here.case.result.study_instance_uid
    made = pipeline.withdraw(study, package, reason or ResultWrong(), "withdraw", "cli:somebody", here.sending)
    assert made is not None
    return made


def objects_of(here: Site, sop_class: str) -> list[Any]:
    return [one for one in map(dcmread, here.archive.files()) if one.SOPClassUID == sop_class]


def rejected_by(note: Any) -> set[str]:
    return {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in note.ContentSequence if "ReferencedSOPSequence" in item}


def uids_of(here: Site, key: str) -> set[str]:
    with here.book.engine.begin() as connection:
        return set(connection.execute(sa.select(deliveries.c.sop_instance_uid).where(deliveries.c.result_key == key)).scalars())


def refuse(here: Site, key: str) -> None:
    """A result that says that nothing was analysed, on its way to the archive."""
    case = here.case.result
    refusal = NotAnalysed(key, case.study_instance_uid, case.series_instance_uid, case.package, TooFew(2, 5))
    destination = here.destination(refusal)
    made = pipeline.encode_result(refusal, AssembledSeries(here.case.headers, ()), (destination,), here.sending)
    assert isinstance(made, dict)
    wanted = here.sending.keep_objects(refusal, destination, made[PeerName("pacs")])
    uids = case.study_instance_uid, case.series_instance_uid
    record = ResultRecord(key, *uids, 0, "p", "1", None, None, here.kept.write_value(refusal), 1.0)
    with here.book.engine.begin() as connection:
        journal.write_result(connection, record)
        journal.start_delivery(connection, here.book.client, wanted)


@pytest.mark.parametrize("reason", [kind() for kind in WITHDRAWALS], ids=lambda reason: type(reason).__name__)
def test_the_note_has_the_title_of_the_reason(site: Callable[..., Site], reason: Withdrawal) -> None:
    """IHE IOCM: what must never be shown is rejected for patient safety."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    withdraw(here, reason)
    here.run()
    assert here.arrived() == [SEG, REPORT, REPORT, NOTE]
    (note,) = objects_of(here, NOTE)
    assert note.ConceptNameCodeSequence[0].CodeValue == ("113037" if isinstance(reason, WrongPatient | NotForCare) else "113001")
    assert rejected_by(note) == uids_of(here, OLD)


@pytest.mark.parametrize(
    ("keys", "classes", "said"),
    [
        (WITHOUT, (SEG, REPORT), REPORT),
        (WITHOUT, (SEG, TEXT), TEXT),
        ('objects = ["page"]', (PAGE,), PAGE),
        ('objects = ["capture"]', (PICTURE,), PICTURE),
    ],
    ids=["report", "text", "page", "picture"],
)
def test_it_is_told_in_the_form_that_the_destination_can_show(
    site: Callable[..., Site], keys: str, classes: tuple[str, ...], said: str
) -> None:
    here = site(*classes, keys=keys)
    here.start(OLD)
    here.run()
    reports = {str(one.SOPInstanceUID) for one in objects_of(here, said)}
    before = len(here.arrived())
    withdraw(here)
    here.run()
    assert here.arrived()[before:] == [said]
    (notice,) = [one for one in objects_of(here, said) if str(one.SOPInstanceUID) not in reports]
    assert notice.SeriesDescription.endswith("withdrawn")
    assert notice.PatientID == here.case.datasets[0].PatientID
    assert predecessors(notice) == (reports if said in (REPORT, TEXT) else set())


def test_a_destination_that_takes_the_report_no_more_gets_another_form(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, TEXT, keys=WITHOUT)
    here.start(OLD)
    here.run()
    here.archive.answers.stores[REPORT] = [0x0122]
    withdraw(here)
    here.run()
    assert here.arrived() == [SEG, REPORT, TEXT]
    (report,), (notice,) = objects_of(here, REPORT), objects_of(here, TEXT)
    assert predecessors(notice) == {str(report.SOPInstanceUID)}


def test_where_the_report_is_refused_the_note_is_sent_all_the_same(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    here.archive.answers.stores[REPORT] = [0xA900]
    withdraw(here)
    here.run()
    assert here.arrived() == [SEG, REPORT, NOTE]


def test_what_was_not_sent_is_sent_nowhere(site: Callable[..., Site]) -> None:
    """Nor told to whom has nothing of it; `jobs retry` changes nothing, and nothing is left to do."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    (made,) = withdraw(here)
    assert made.deliveries == ()
    here.run()
    assert here.arrived() == []
    with here.book.engine.begin() as connection:
        rows = connection.execute(sa.select(deliveries)).all()
        assert {(row.state, row.error) for row in rows} == {("given-up", "WithdrawnByOperator")}
        job = journal.find_job(connection, f"send/{OLD[:16]}/pacs")
        assert job is not None
        assert job.state is journal.JobState.CANCELLED
        assert journal.retry_job(connection, here.book.client, job, "somebody", 1.0) is journal.Done.IS_WITHDRAWN
        assert journal.send_again(connection, here.book.client, here.case.result.study_instance_uid, 1.0) == 0
        assert journal.read_jobs(connection, 10, journal.DEAD) == ()


def test_what_is_being_sent_is_withdrawn_too(site: Callable[..., Site]) -> None:
    """Its answer comes when the withdrawal is recorded already."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    (name,) = here.book.jobs("deliver")
    with here.book.engine.begin() as connection:
        table = status_table(connection)
        connection.execute(table.update().where(table.c.workflow_uuid == name).values(status="PENDING"))
    job = journal.DeliveryJob(OLD, "pacs", 0)
    waiting = here.sending.find_waiting(job)
    (made,) = withdraw(here)
    assert {one.sop_instance_uid for one in made.result.objects_at("pacs")} == {one.sop_instance_uid for one in waiting}
    to = here.sending.destination(job)
    answers = pipeline.deliver.send(
        here.sending.paths(waiting), destination=to.name, peer=to.peer, our_title=here.sending.title, limits=here.sending.limits, also=()
    )
    here.sending.write_outcomes(job, waiting, answers)
    here.ended.append(name)
    here.run()
    assert here.arrived() == [SEG, REPORT, REPORT, NOTE]
    assert rejected_by(objects_of(here, NOTE)[0]) == uids_of(here, OLD)
    with here.book.engine.begin() as connection:
        of_old = sa.select(deliveries).where(deliveries.c.result_key == OLD)
        assert {(row.state, row.proof) for row in connection.execute(of_old)} == {("sent", "none")}


def test_twice_is_once(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    withdraw(here)
    here.run()
    arrived = here.arrived()
    assert withdraw(here, WrongPatient()) == ()
    here.run()
    assert here.arrived() == arrived
    with here.book.engine.begin() as connection:
        assert len(journal.read_actions(connection, journal.name_study(here.case.result.study_instance_uid))) == 1


def test_what_is_cut_before_it_is_recorded_leaves_everything_as_it_was(site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """And asked for again it is the same, under the same UIDs."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(journal, "write_action", cut)
        with pytest.raises(KeyboardInterrupt):
            withdraw(here)
    with here.book.engine.begin() as connection:
        assert journal.find_withdrawal(connection, OLD) is None
        kept = [one for one in here.kept.read_records() if getattr(one, "result_key", None) == derive_withdrawal_key(OLD)]
    (again,) = withdraw(here)
    assert again.deliveries == tuple(kept)
    here.run()
    assert here.arrived() == [SEG, REPORT, REPORT, NOTE]


def test_what_a_result_had_replaced_is_withdrawn_with_it(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITHOUT)
    here.start(OLD)
    here.run()
    here.start(NEW, predecessor=OLD)
    here.run()
    (made,) = withdraw(here)
    assert made.result.withdrawn_keys == (NEW, OLD)
    here.run()
    assert here.arrived() == [SEG, REPORT] * 2 + [REPORT]
    old = uids_of(here, OLD) | uids_of(here, NEW)
    (notice,) = [one for one in objects_of(here, REPORT) if str(one.SOPInstanceUID) not in old]
    assert predecessors(notice) == {str(one.SOPInstanceUID) for one in objects_of(here, REPORT)} - {str(notice.SOPInstanceUID)}
    assert any("Objects of this study that are withdrawn: 4." in item.TextValue for item in named(walk(notice), "121106"))


def test_a_later_result_names_the_withdrawal_and_can_be_withdrawn_itself(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    (made,) = withdraw(here)
    here.run()
    here.start(NEW, predecessor=made.result.key)
    here.run()
    (notice,) = [one for one in objects_of(here, REPORT) if one.SeriesDescription.endswith("withdrawn")]
    (report,) = [one for one in objects_of(here, REPORT) if str(one.SOPInstanceUID) in uids_of(here, NEW)]
    assert predecessors(report) == {str(notice.SOPInstanceUID)}
    (again,) = withdraw(here)
    assert (again.result.key, again.result.withdrawn_keys) == (derive_withdrawal_key(NEW), (NEW,))
    here.run()
    assert here.arrived()[-2:] == [REPORT, NOTE]


def test_what_said_that_nothing_was_analysed_is_withdrawn_alone_or_with_the_result(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES + "\nsays_not_analysed = true")
    refuse(here, OLD)
    here.run()
    here.start(NEW)
    here.run()
    (made,) = withdraw(here)
    assert made.result.withdrawn_keys == (NEW, OLD)
    refuse(here, NEWEST)
    here.run()
    (made,) = withdraw(here)
    assert made.result.withdrawn_keys == (NEWEST,)
    here.run()
    assert rejected_by(objects_of(here, NOTE)[-1]) == uids_of(here, NEWEST)


def test_of_one_package_alone(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITHOUT)
    here.start(OLD)
    assert withdraw(here, package="another") == ()
    assert len(withdraw(here, package="p")) == 1


def test_a_journal_that_is_made_again_knows_it_and_sends_nothing_of_it(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    withdraw(here)
    made: list[Any] = list(here.kept.read_records())
    records = [dataclasses.replace(one, made_at=9999.0) if getattr(one, "key", None) == OLD else one for one in made]  # a clock set back
    for proof in (Proof.NONE, Proof.FIND):
        with here.book.engine.begin() as connection:
            connection.execute(deliveries.delete())
            connection.execute(results.delete())
            assert journal.enter_records(connection, records, lambda _, proof=proof: proof, 5.0) == 2  # type: ignore[misc]
            assert journal.find_withdrawal(connection, OLD) is not None
            rows = connection.execute(sa.select(deliveries).order_by(deliveries.c.result_key, deliveries.c.number)).all()
        assert {row.error for row in rows if row.result_key == OLD} == {"WithdrawnByOperator"}
        assert {row.error for row in rows if row.result_key != OLD} == {None}


def test_where_the_result_has_left_its_withdrawal_names_no_model(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITHOUT)
    here.start(OLD)
    here.run()
    with here.book.engine.begin() as connection:
        connection.execute(results.update().values(kept=""))
    (made,) = withdraw(here)
    assert made.result.package is None
    here.run()
    assert here.arrived() == [SEG, REPORT, REPORT]


def test_nothing_is_lost_that_is_sent_while_it_is_made(site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    make = pipeline.make_withdrawal
    runs: list[int] = []

    def sent_meanwhile(*arguments: Any) -> WithdrawalMade:
        made = make(*arguments)
        runs.append(here.run() if not runs else 0)
        return made

    monkeypatch.setattr(pipeline, "make_withdrawal", sent_meanwhile)
    (made,) = withdraw(here)
    assert runs == [1, 0]
    here.run()
    assert {one.sop_instance_uid for one in made.result.objects_at("pacs")} == uids_of(here, OLD)
    assert here.arrived() == [SEG, REPORT, REPORT, NOTE]


def test_it_is_done_when_everybody_is_told(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITHOUT + '\nproof = "none"')
    study = here.case.result.study_instance_uid
    with here.book.engine.begin() as connection:
        connection.execute(studies.update().values(generation=1, closed=1))
        connection.execute(sa.text("update node_series set is_complete = true"))
    here.start(OLD)
    here.run()
    done_at = sa.select(studies.c.done_at).where(studies.c.study_instance_uid == study)
    with here.book.engine.begin() as connection:
        assert connection.execute(done_at).scalar_one() is not None
    withdraw(here)
    with here.book.engine.begin() as connection:
        assert connection.execute(done_at).scalar_one() is None
    here.run()
    with here.book.engine.begin() as connection:
        assert connection.execute(done_at).scalar_one() is not None
