"""The prior of a study: the newest earlier one of the same patient and package, and of nobody else."""

import dataclasses

import pytest

from dicom_node import journal
from dicom_node.values import Accepted, PatientDigests, PriorRef, derive_withdrawal_key
from dicom_node.values.records import ResultRecord
from tests.journal.conftest import Book, book, url

__all__ = ["book", "url"]  # fixtures

CHOICE = Accepted("package", "2.25.3", 0, (), chosen=True, because=())
NOW = PatientDigests("patient", "born", "family", "20250701")
FIRST = ResultRecord("11" * 32, "2.25.10", "2.25.11", 0, "package", "1", None, 2, "11.value", 1.0, "patient", "born", "family", "20240301")


def found(book: Book, *records: ResultRecord, now: PatientDigests = NOW, gone: str = "") -> str | None:
    with book.engine.begin() as connection:
        for record in records:
            journal.write_result(connection, record)
        prior = journal.find_prior(connection, CHOICE, "2.25.2", now, lambda name: name != gone)
    return None if prior is None else prior.result_key


def another(number: int, **changes: object) -> ResultRecord:
    key = f"{number:064x}"
    values = {"key": key, "study_instance_uid": f"2.25.{number}0", "kept": f"{number}.value", **changes}
    return dataclasses.replace(FIRST, **values)  # type: ignore[arg-type]


def test_an_earlier_result_is_named_with_its_study_and_version(book: Book) -> None:
    with book.engine.begin() as connection:
        journal.write_result(connection, FIRST)
        prior = journal.find_prior(connection, CHOICE, "2.25.2", NOW, lambda name: name == "11.value")
    assert prior == PriorRef("2.25.10", "2.25.11", "20240301", FIRST.key, version="1")


def test_the_latest_of_several_and_of_its_results_the_last(book: Book) -> None:
    later, corrected = another(2, study_date="20250102"), another(3, study_date="20250102", study_instance_uid="2.25.20")
    oldest = another(4, study_date="20190101")
    assert found(book, FIRST, later, corrected, oldest) == corrected.key
    assert found(book, gone=corrected.kept) is None  # an older one would take its place
    assert found(book, now=dataclasses.replace(NOW, study_date="20240901")) == FIRST.key


@pytest.mark.parametrize(
    "changes",
    [
        {"study_date": "20250701"},
        {"study_date": "20260101"},
        {"patient_digest": "another"},
        {"birth_digest": "another"},
        {"birth_digest": None},
        {"family_digest": "another"},
        {"package": "another"},
        {"findings": None},
        {"study_instance_uid": "2.25.2"},
        {"patient_digest": None, "study_date": None},
    ],
    ids=str,
)
def test_what_is_no_prior(book: Book, changes: dict[str, object]) -> None:
    assert found(book, another(2, **changes)) is None
    assert found(book, another(3)) == another(3).key


@pytest.mark.parametrize(("now", "then"), [(None, "family"), ("family", None), (None, None)])
def test_a_name_that_is_not_known_contradicts_none(book: Book, now: str | None, then: str | None) -> None:
    assert found(book, another(2, family_digest=then), now=dataclasses.replace(NOW, family_digest=now)) == another(2).key


def test_without_a_birth_date_there_is_no_prior(book: Book) -> None:
    """Not even where the other one's is not known either: an ID that was given twice would not be seen."""
    assert found(book, another(2, birth_digest=None), FIRST, now=dataclasses.replace(NOW, birth_digest=None)) is None


def test_what_was_recorded_by_an_older_program_is_no_prior(book: Book) -> None:
    old = dataclasses.replace(FIRST, patient_digest=None, birth_digest=None, family_digest=None, study_date=None)
    assert found(book, old) is None
    assert found(book, FIRST) == FIRST.key  # until its study is judged again


def test_a_journal_made_again_knows_it(book: Book) -> None:
    with book.engine.begin() as connection:
        assert journal.enter_records(connection, [dataclasses.replace(FIRST, prior="cd" * 32)], lambda _: None, 5.0) == 1  # type: ignore[arg-type, return-value]
        row = journal.find_row(connection, FIRST.key)
    assert row is not None
    assert row.prior == "cd" * 32
    assert found(book) == FIRST.key


def withdrawn(record: ResultRecord) -> ResultRecord:
    key = derive_withdrawal_key(record.key)
    return dataclasses.replace(record, key=key, predecessor=record.key, findings=None, kept="w.value", patient_digest=None)


def test_a_result_that_a_person_has_withdrawn_is_no_prior(book: Book) -> None:
    """Nor what it had replaced; an older study is, as if the withdrawn one had never been analysed, and what is made anew is."""
    first, second = another(2, study_date="20250102"), another(3, study_date="20250102", study_instance_uid="2.25.20")
    assert found(book, FIRST, first, second) == second.key
    assert found(book, withdrawn(second)) == FIRST.key
    assert found(book, withdrawn(FIRST)) is None
    anew = another(4, study_date="20250102", study_instance_uid="2.25.20", predecessor=derive_withdrawal_key(second.key))
    assert found(book, anew) == anew.key
