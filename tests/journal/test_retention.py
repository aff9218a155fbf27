"""Images leave by rule; a crash at any line is continued, and what comes again meanwhile is not lost."""

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.errors import InstanceBeingRemoved
from dicom_node.journal import retention
from dicom_node.journal.engine import status_table
from dicom_node.journal.tables import actions, answers, instances, series, studies
from dicom_node.values import Accepted, Answer, CompletenessRule, InstanceRef, Priority, Refused
from dicom_node.values.reasons import OutOfService, TooFew
from dicom_node.values.receipts import Known
from dicom_node.values.records import DeliveryRecord

from .conftest import Book, receipt
from .plans import read_by_index
from .test_forgotten import complete_a_study


class Files:
    """Files by name, as the spool would have them; `fail_at` lets the n-th removal fail."""

    def __init__(self, fail_at: int = -1) -> None:
        self.removed: list[str] = []
        self.set_aside: list[str] = []
        self.fail_at = fail_at

    def remove(self, instance: InstanceRef) -> None:
        if len(self.removed) == self.fail_at:
            self.fail_at = -1
            raise OSError("disk")
        self.removed.append(instance.sop_instance_uid)


def done_study(book: Book, instances: int = 3) -> None:
    for number in range(2, 1 + instances):
        book.receipts.commit(receipt(number))
    complete_a_study(book)
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 1, 1000.0)


def remove_all(book: Book, files: Files, study: str = "1.2", *, must_be_done: bool = True) -> bool:
    with book.engine.begin() as connection:
        if not retention.mark_images(connection, study, 2000.0, must_be_done=must_be_done):
            return False
    gone = 1
    while gone:
        with book.engine.begin() as connection:
            gone = retention.remove_images(connection, study, files.remove, 2000.0)
    with book.engine.begin() as connection:
        return retention.finish_images(connection, study, files.set_aside.append, 2000.0)


def test_a_done_study_is_found_after_its_time_and_its_images_go(book: Book) -> None:
    done_study(book)
    row = study_row(book)
    assert row.done_at == max(1000.0, row.first_seen)  # a machine's clock that is behind makes nothing leave early
    with book.engine.begin() as connection:
        assert retention.find_done(connection, row.done_at, 10) == ()
        assert retention.find_done(connection, row.done_at + 1.0, 10) == ("1.2",)
    files = Files()
    assert remove_all(book, files)
    assert sorted(files.removed) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    with book.engine.begin() as connection:
        assert retention.find_done(connection, 1e12, 10) == ()
        assert connection.execute(sa.select(series.c.instances)).scalar_one() == 0
        (action,) = connection.execute(sa.select(actions)).all()
        assert journal.read_complete_series(connection, "1.2") == ()
    assert (action.actor, action.action, action.subject, action.amount) == ("retention", "images-removed", "1.2", 3)


def test_a_study_that_is_not_done_goes_only_where_that_is_configured(book: Book) -> None:
    book.receipts.commit(receipt(1))
    assert not remove_all(book, Files(), must_be_done=True)  # a series is open
    assert not remove_all(book, Files(), must_be_done=False)
    complete_a_study_again(book)
    assert not remove_all(book, Files(), must_be_done=True)  # its job is not finished
    with book.engine.begin() as connection:
        assert retention.find_undone(connection, 1e12, 10) == ("1.2",)
    assert remove_all(book, Files(), must_be_done=False)


def complete_a_study_again(book: Book) -> None:
    complete_a_study(book)


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_removal_that_was_cut_is_continued(book: Book, fail_at: int) -> None:
    done_study(book)
    files = Files(fail_at)
    with pytest.raises(OSError, match="disk"):
        remove_all(book, files)
    with book.engine.begin() as connection:
        assert retention.find_done(connection, 1e12, 10) == ("1.2",)
    assert remove_all(book, files)
    assert set(files.removed) == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}


def test_what_comes_again_takes_its_mark_away_and_the_study_is_open(book: Book) -> None:
    """The receipt asks whether its file is there (conftest: always), so what is back is not removed."""
    done_study(book)
    with book.engine.begin() as connection:
        assert retention.mark_images(connection, "1.2", 2000.0, must_be_done=True)
    assert book.receipts.commit(receipt(2)) is Known.NEW
    files = Files()
    with book.engine.begin() as connection:
        assert retention.remove_images(connection, "1.2", files.remove, 2000.0) == 2
        assert not retention.finish_images(connection, "1.2", lambda _: None, 2000.0)
        left = connection.execute(sa.select(instances.c.sop_instance_uid).where(instances.c.removed_at.is_(None))).scalars().all()
        row = connection.execute(sa.select(studies)).one()
    assert left == ["1.2.3.2"]
    assert sorted(files.removed) == ["1.2.3.1", "1.2.3.3"]
    assert (row.done_at, row.images_removed_at) == (None, None)


def test_records_go_with_everything_but_the_note_that_they_were_there(book: Book) -> None:
    done_study(book)
    assert remove_all(book, Files())
    with book.engine.begin() as connection:
        assert retention.find_removed(connection, 1e12, 10, with_results=False) == ("1.2",)
        retention.forget_study(connection, "1.2", print, print, 1e12, 3000.0)
        for table in (instances, series, studies):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
        assert [row.action for row in connection.execute(sa.select(actions))] == ["images-removed", "records-removed"]
    assert book.receipts.commit(receipt(1)) is Known.NEW  # as if it had never been here


def test_values_that_nobody_wants_any_more_are_found_and_removed(tmp_path: Path) -> None:
    kept = journal.Kept(tmp_path)
    name = kept.write_value(("a", 1))
    record = DeliveryRecord("ab" * 32, "pacs", ())
    kept.write_record(record)
    shard = name[:2]
    assert kept.find_values(shard, 0.0) == ()
    assert kept.find_values(shard, 1e12) == (name,)
    kept.remove(name)
    kept.remove(name)
    assert not kept.path(name).exists()
    assert list(kept.read_records()) == [record]
    kept.remove_record(record.identity)
    assert list(kept.read_records()) == []


def test_a_turn_reads_nothing_of_what_stays(book: Book) -> None:
    """Each question goes by an index that holds only what is asked for, however much is known."""
    done_study(book)
    with read_by_index(book.engine, least=12), book.engine.begin() as connection:
        retention.find_done(connection, 1e12, 10)
        retention.find_undone(connection, 1e12, 10)
        retention.find_removed(connection, 1e12, 10, with_results=True)
        retention.find_removed(connection, 1e12, 10, with_results=False)
        retention.find_kept(connection, "1.2")
        retention.find_named(connection, ["a", "b"])
        journal.find_identities(connection, "1.2")
        journal.oldest_live_at(connection)
    with read_by_index(book.engine, least=8):
        assert remove_all(book, Files())


def test_a_study_whose_results_have_left_is_not_looked_at_again_until_it_is_here_again(book: Book) -> None:
    done_study(book)
    assert remove_all(book, Files())
    with book.engine.begin() as connection:
        assert retention.find_removed(connection, 1e12, 10, with_results=True) == ("1.2",)
        retention.forget_results(connection, "1.2", print, 1e12, 3000.0)
        assert retention.find_removed(connection, 1e12, 10, with_results=True) == ()
    assert book.receipts.commit(receipt(1)) is Known.NEW
    with book.engine.begin() as connection:
        row = connection.execute(sa.select(studies)).one()
    assert (row.done_at, row.images_removed_at, row.results_removed_at) == (None, None, None)


def test_what_has_come_back_since_it_was_found_keeps_its_rows_and_what_is_kept(book: Book) -> None:
    """Between the list of what is due and the removal lies time, in which a sender is answered."""
    done_study(book)
    assert remove_all(book, Files())
    with book.engine.begin() as connection:
        assert retention.find_removed(connection, 1e12, 10, with_results=False) == ("1.2",)
    assert book.receipts.commit(receipt(1)) is Known.NEW
    removed: list[object] = []
    with book.engine.begin() as connection:
        retention.forget_results(connection, "1.2", removed.append, 1e12, 3000.0)
        retention.forget_study(connection, "1.2", removed.append, removed.append, 1e12, 3000.0)
        for table, count in ((instances, 3), (series, 1), (studies, 1)):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == count
    assert removed == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_had_come_before_is_looked_for_once_more_when_its_rows_are_gone(book: Book, is_there: bool) -> None:
    """Retention removed file and rows between the writing of the file, which was there then, and the receipt."""
    with journal.open_receipts(book.engine, book.client, book.clock, lambda _: is_there) as receipts:
        twice = dataclasses.replace(receipt(1), was_there=True)
        if is_there:
            assert receipts.commit(twice) is Known.NEW
        else:
            with pytest.raises(InstanceBeingRemoved):
                receipts.commit(twice)
        assert receipts.commit(receipt(1)) is (Known.SAME if is_there else Known.NEW)


def test_other_bytes_whose_file_has_gone_since_are_asked_for_again(book: Book) -> None:
    """They had been set aside before, and retention removed them between the writing of their file and the receipt."""
    with journal.open_receipts(book.engine, book.client, book.clock, lambda _: False) as receipts:
        receipts.commit(receipt(1))
        with pytest.raises(InstanceBeingRemoved):
            receipts.commit(dataclasses.replace(receipt(1, digest="other"), was_there=True))
        assert receipts.commit(receipt(1, digest="other")) is Known.CONFLICT


def test_other_bytes_are_the_instance_where_the_first_ones_have_left(book: Book) -> None:
    """A patient was merged in the PACS, and the study sent again: there is nothing any more that it could be mistaken for."""
    done_study(book)
    with book.engine.begin() as connection:
        assert retention.mark_images(connection, "1.2", 2000.0, must_be_done=True)
    with pytest.raises(InstanceBeingRemoved):
        book.receipts.commit(receipt(1, digest="other"))  # marked, not removed yet: it is to be sent again
    assert remove_all(book, Files())
    assert book.receipts.commit(receipt(1, digest="other")) is Known.NEW
    assert book.receipts.commit(receipt(1)) is Known.CONFLICT
    with book.engine.begin() as connection:
        row = connection.execute(sa.select(studies)).one()
        digest = connection.execute(sa.select(instances.c.digest).where(instances.c.removed_at.is_(None))).scalar_one()
    assert (row.done_at, row.images_removed_at) == (None, None)
    assert digest == "other"


def test_a_study_that_has_only_what_was_set_aside_is_known_and_leaves(book: Book, tmp_path: Path) -> None:
    """The same SOP Instance UIDs under another study: the PACS has moved them."""
    assert book.receipts.commit(receipt(1)) is Known.NEW
    moved = dataclasses.replace(receipt(1, digest="other"), study_instance_uid="1.9")
    assert book.receipts.commit(moved) is Known.CONFLICT
    with book.engine.begin() as connection:
        (found,) = journal.read_studies(connection, journal.Kept(tmp_path / "kept"), "1.9", 10)
        assert (found.state, found.conflicts) == ("set-aside", 1)
        assert retention.find_done(connection, 1e12, 10) == ("1.9",)
    files = Files()
    assert remove_all(book, files, "1.9")
    assert (files.removed, files.set_aside) == ([], [moved.instance.file])
    with book.engine.begin() as connection:
        assert retention.find_done(connection, 1e12, 10) == ()
    assert book.receipts.commit(dataclasses.replace(moved, instance=receipt(1, digest="third").instance)) is Known.CONFLICT
    with book.engine.begin() as connection:
        assert retention.find_done(connection, 1e12, 10) == ("1.9",)


def come_again(book: Book, *numbers: int) -> None:
    """Images that have left come again, and their series is complete."""
    for number in numbers:
        assert book.receipts.commit(receipt(number)) is Known.NEW
    with book.engine.begin() as connection:
        generation = connection.execute(sa.select(series.c.generation)).scalar_one()
        found = journal.read_open_series(connection, journal.Look("1.2", "1.2.3", generation, number=0))
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.COUNT, Priority.ROUTINE)


def study_row(book: Book) -> sa.Row[tuple[object, ...]]:
    with book.engine.begin() as connection:
        return connection.execute(sa.select(studies)).one()


def answer_with(book: Book, *found: Answer) -> None:
    with book.engine.begin() as connection:
        journal.write_answers(connection, "1.2", found)
        journal.settle_study(connection, "1.2", 1000.0)


def answers_of(book: Book) -> list[str]:
    with book.engine.begin() as connection:
        return list(connection.execute(sa.select(answers.c.package)).scalars())


def test_a_part_of_a_study_that_comes_again_is_not_judged_and_says_so_until_all_of_it_is_here(book: Book) -> None:
    """A report of the part would replace the one of the whole."""
    done_study(book)
    answer_with(book, Accepted("lung", "1.2.3", 0, (), chosen=True))
    assert remove_all(book, Files())
    come_again(book, 1)
    assert book.jobs("work") == ["study-1.2-1"]
    assert answers_of(book) == ["lung"]
    row = study_row(book)
    assert (row.closed, row.failure) == (row.generation, "ImagesHaveLeft")
    with book.engine.begin() as connection:
        (job,) = journal.read_jobs(connection, 10, journal.DEAD)
        assert (job.state, job.error) == (journal.JobState.FAILED, "ImagesHaveLeft")
        assert journal.retry_job(connection, book.client, job, "cli:ann", 1.0) is journal.Done.NO_IMAGES
        assert journal.take_up_forgotten(connection, book.client, 1.0) == 0
        assert journal.count_open_studies(book.engine, 10) == 0
    come_again(book, 2, 3)
    assert book.jobs("work") == ["study-1.2-1", "study-1.2-2"]
    assert (study_row(book).failure, study_row(book).done_at) == (None, None)


def test_a_part_that_came_again_leaves_again_after_its_time(book: Book) -> None:
    """Nobody sends the rest: neither the part nor the study's records stay for ever."""
    done_study(book)
    assert remove_all(book, Files())
    come_again(book, 1)
    assert study_row(book).done_at is not None
    files = Files()
    assert remove_all(book, files)
    assert files.removed == ["1.2.3.1"]
    with book.engine.begin() as connection:
        assert retention.find_removed(connection, 1e12, 10, with_results=False) == ("1.2",)
    come_again(book, 1, 2)
    assert study_row(book).failure == "ImagesHaveLeft"
    assert book.jobs("work") == ["study-1.2-1"]


def test_a_study_that_waits_for_a_package_keeps_its_images_until_it_was_judged(book: Book) -> None:
    done_study(book)
    answer_with(book, Refused("lung", "1.2.3", 0, reason=OutOfService("ChildDied")), Refused("liver", "1.2.3", 0, reason=TooFew(1, 3)))
    assert study_row(book).done_at is None
    assert not remove_all(book, Files())
    assert back_in_service(book, "other") == 0
    assert back_in_service(book, "lung") == 1
    assert book.jobs("work") == ["study-1.2-1", "study-1.2-2"]
    answer_with(book, Accepted("lung", "1.2.3", 0, (), chosen=True))
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 2, 3000.0)
    assert study_row(book).done_at is not None
    assert remove_all(book, Files())


def test_a_package_that_is_back_after_the_images_have_left_judges_nothing_and_the_study_says_so(book: Book) -> None:
    done_study(book)
    answer_with(book, Refused("lung", "1.2.3", 0, reason=OutOfService("ChildDied")))
    assert remove_all(book, Files(), must_be_done=False)  # images_at_most_days
    for _ in range(2):  # at each start
        assert back_in_service(book, "lung") == 0
        assert book.jobs("work") == ["study-1.2-1"]
        assert answers_of(book) == ["lung"]
        row = study_row(book)
        assert (row.failure, row.done_at) == ("ImagesHaveLeft", max(4000.0, row.first_seen))
    come_again(book, 1, 2, 3)
    assert book.jobs("work") == ["study-1.2-1", "study-1.2-2"]


def test_a_study_that_lost_its_job_and_its_images_is_not_judged_with_none(book: Book) -> None:
    book.receipts.commit(receipt(2))
    complete_a_study(book)
    assert remove_all(book, Files(), must_be_done=False)
    with book.engine.begin() as connection:
        connection.execute(status_table(connection).delete())
        assert journal.take_up_forgotten(connection, book.client, 3000.0) == 0
    assert study_row(book).failure == "ImagesHaveLeft"
    assert book.jobs("work") == []


def back_in_service(book: Book, package: str) -> int:
    with book.engine.begin() as connection:
        return journal.judge_what_was_out_of_service(connection, book.client, (package,), 4000.0)
