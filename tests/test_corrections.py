"""A newer result at a destination that takes rejection notes (IHE Imaging Object Change Management)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage

from dicom_node import errors, journal, pipeline
from dicom_node.journal.tables import deliveries, results
from dicom_node.values import Accepted, AssembledSeries, EarlierResult, NotAnalysed, ObjectKind, PeerName
from dicom_node.values.reasons import TooFew
from dicom_node.values.records import ResultRecord
from tests.encode.conftest import make_case
from tests.encode.results import named
from tests.journal.conftest import book, url
from tests.promises.test_withdrawal import predecessors
from tests.test_stepping_down import REPORT, SEG, Site, site

__all__ = ["book", "make_case", "site", "url"]  # fixtures

NOTE = "1.2.840.10008.5.1.4.1.1.88.59"
PICTURE, PAGE = str(SecondaryCaptureImageStorage), str(EncapsulatedPDFStorage)
OLD, NEW, REFUSED = "ab" * 32, "cd" * 32, "12" * 32
WITH_NOTES = 'objects = ["segmentation", "report-3d"]\nrejection_notes = true'


def rejected_in(here: Site) -> list[set[str]]:
    """The instances that each note names."""
    notes = [dcmread(file) for file in here.archive.files()]
    return [
        {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in one.ContentSequence if "ReferencedSOPSequence" in item}
        for one in notes
        if one.SOPClassUID == NOTE
    ]


def uids_of(here: Site, key: str) -> set[str]:
    with here.book.engine.begin() as connection:
        return {one.sop_instance_uid for one in journal.find_made(connection, key, "pacs")}


def test_what_is_replaced_is_rejected_when_all_that_replaces_it_is_there(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    here.start(NEW, predecessor=OLD)
    here.run()
    assert here.arrived() == [SEG, REPORT, SEG, REPORT, NOTE]
    assert rejected_in(here) == [uids_of(here, OLD)]
    assert [state for _, state, _ in here.stand(NEW)] == ["sent"] * 3


def test_the_first_result_rejects_nothing(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    assert here.arrived() == [SEG, REPORT]


def test_who_is_not_set_to_take_notes_gets_none(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES.replace("true", "false"))
    here.start(OLD)
    here.run()
    here.start(NEW, predecessor=OLD)
    here.run()
    assert here.arrived() == [SEG, REPORT] * 2


def test_where_a_part_of_the_new_result_is_refused_the_old_one_stays(site: Callable[..., Site]) -> None:
    """An archive must never be left without a result; `jobs retry` sends the rest, then the note."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    here.run()
    here.archive.answers.stores[REPORT] = [0xA900]
    here.start(NEW, predecessor=OLD)
    here.run()
    assert here.arrived() == [SEG, REPORT, SEG]
    assert [state for _, state, _ in here.stand(NEW)] == ["sent", "refused", "given-up"]
    with here.book.engine.begin() as connection:
        error = connection.execute(sa.select(deliveries.c.error).where(deliveries.c.sop_class_uid == NOTE)).scalar_one()
    assert error == errors.ReplacementMissing.__name__


def test_an_archive_that_does_not_take_the_note_has_the_new_result_all_the_same(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITH_NOTES)
    for number, key in enumerate((OLD, NEW, "ef" * 32)):
        here.start(key, predecessor=(None, OLD, NEW)[number])
        here.run()
        assert here.arrived() == [SEG, REPORT] * (number + 1)
    assert NOTE in here.refused()
    assert [state for _, state, _ in here.stand("ef" * 32)] == ["sent", "sent"]


def test_a_result_that_comes_after_a_refusal_names_and_rejects_it(site: Callable[..., Site]) -> None:
    """Never *not analysed* and a result side by side without saying so."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES + "\nsays_not_analysed = true")
    case = here.case.result
    refusal = NotAnalysed(OLD, case.study_instance_uid, case.series_instance_uid, case.package, TooFew(2, 5))
    destination = here.destination(refusal)
    made = pipeline.encode_result(refusal, AssembledSeries(here.case.headers, ()), (destination,), here.sending)
    assert isinstance(made, dict)
    wanted = here.sending.keep_objects(refusal, destination, made[PeerName("pacs")])
    assert [one.kind for one in made[PeerName("pacs")]] == [ObjectKind.REPORT_3D]
    record = ResultRecord(
        OLD, case.study_instance_uid, case.series_instance_uid, 0, case.package.name, "1", None, None, here.kept.write_value(refusal), 1.0
    )
    with here.book.engine.begin() as connection:
        journal.write_result(connection, record)
        journal.start_delivery(connection, here.book.client, wanted)
    here.run()
    here.start(NEW)
    here.run()
    assert here.arrived() == [REPORT, SEG, REPORT, NOTE]
    (said,) = uids_of(here, OLD)
    assert rejected_in(here) == [{said}]
    (report,) = [one for one in map(dcmread, here.archive.files()) if one.SOPClassUID == REPORT and one.SOPInstanceUID != said]
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == said


def test_a_note_on_another_object_is_not_sent(site: Callable[..., Site]) -> None:
    """Read back before anyone sends it."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES)
    here.start(OLD)
    after = dataclasses.replace(here.case.result, key=NEW, predecessor_key=OLD)
    found = here.sending.find_rejected(after, here.destination(after))
    assert found is not None
    (note,) = pipeline.make_note(after, here.case.headers, here.destination(after).profile, found)
    assert pipeline.encode.compare_rejection(note, found[1]) is None
    assert pipeline.encode.compare_rejection(note, found[1][:1]) is not None


def say_not_analysed(here: Site, key: str, earlier: EarlierResult | None = None) -> None:
    """A result that says that nothing was analysed is made and sent."""
    case = here.case.result
    refusal = NotAnalysed(key, case.study_instance_uid, case.series_instance_uid, case.package, TooFew(2, 5), earlier=earlier)
    destination = here.destination(refusal)
    made = pipeline.encode_result(refusal, AssembledSeries(here.case.headers, ()), (destination,), here.sending)
    assert isinstance(made, dict)
    wanted = here.sending.keep_objects(refusal, destination, made[PeerName("pacs")])
    uids = case.study_instance_uid, case.series_instance_uid
    record = ResultRecord(key, *uids, 0, case.package.name, "1", None, None, here.kept.write_value(refusal), 1.0)
    with here.book.engine.begin() as connection:
        journal.write_result(connection, record)
        journal.start_delivery(connection, here.book.client, wanted)
    here.run()


@pytest.mark.parametrize(("kind", "sop_class"), [("capture", PICTURE), ("page", PAGE)])
def test_a_refusal_as_picture_or_page_alone_is_rejected_too(site: Callable[..., Site], kind: str, sop_class: str) -> None:
    keys = f'objects = ["{kind}"]\nrejection_notes = true\nsays_not_analysed = true'
    here = site(sop_class, NOTE, keys=keys)
    say_not_analysed(here, OLD)
    here.start(NEW)
    here.run()
    assert here.arrived()[0] == sop_class
    assert here.arrived()[-1] == NOTE
    assert rejected_in(here) == [uids_of(here, OLD)]


def test_a_refusal_names_the_result_before_it_and_a_result_both(site: Callable[..., Site]) -> None:
    """Once: what comes after that names the newest alone."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES + "\nsays_not_analysed = true")
    package = here.case.result.package.name

    def report_of(key: str) -> Any:
        reports = [one for one in map(dcmread, here.archive.files()) if one.SOPClassUID == REPORT]
        return next(one for one in reports if str(one.SOPInstanceUID) in uids_of(here, key))

    here.start(OLD, package=package)
    here.run()
    say_not_analysed(here, REFUSED, EarlierResult(OLD, 1764529200.0))
    said, before = report_of(REFUSED), report_of(OLD)
    assert predecessors(said) == {str(before.SOPInstanceUID)}
    (comment,) = named(list(said.ContentSequence), "121106")
    assert "An earlier result of the algorithm, made on 2025-11-30 19:00 UTC, is in this study." in comment.TextValue
    here.start(NEW, predecessor=OLD, package=package)
    here.run()
    assert predecessors(report_of(NEW)) == {str(before.SOPInstanceUID), str(said.SOPInstanceUID)}
    assert rejected_in(here) == [uids_of(here, OLD) | uids_of(here, REFUSED)]
    newest = "ef" * 32
    here.start(newest, predecessor=NEW, package=package)
    here.run()
    assert predecessors(report_of(newest)) == {str(report_of(NEW).SOPInstanceUID)}
    assert uids_of(here, NEW) in rejected_in(here)


def test_whoever_has_nothing_of_the_earlier_result_is_not_told_of_one(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT, keys=WITH_NOTES.replace("true", "false") + "\nsays_not_analysed = true")
    say_not_analysed(here, REFUSED, EarlierResult(OLD, 1764529200.0))
    (report,) = map(dcmread, here.archive.files())
    assert predecessors(report) == set()
    assert "earlier result" not in named(list(report.ContentSequence), "121106")[0].TextValue


def test_a_series_that_is_analysed_by_itself_keeps_its_refusal(site: Callable[..., Site]) -> None:
    """A package of several results in a study: one series is refused by the model, another one has a result."""
    here = site(SEG, REPORT, NOTE, keys=WITH_NOTES + "\nsays_not_analysed = true")
    package, other = here.case.result.package.name, "2.25.4711"
    say_not_analysed(here, OLD)
    with here.book.engine.begin() as connection:
        connection.execute(results.update().values(series_instance_uid=other))
        chosen = Accepted(package, other, 0, rank=(), chosen=True)
        journal.write_answers(connection, here.case.result.study_instance_uid, (chosen,))
        result = dataclasses.replace(here.case.result, key=NEW)
        assert journal.find_refusals(connection, result, "pacs") == ()
        journal.write_answers(connection, result.study_instance_uid, (dataclasses.replace(chosen, chosen=False),))
        assert journal.find_refusals(connection, result, "pacs") == (OLD,)
