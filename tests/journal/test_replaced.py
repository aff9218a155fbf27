"""What becomes of a delivery's objects where the destination does not take some of their classes, and others are made."""

from collections.abc import Iterable

import pytest
import sqlalchemy as sa

from dicom_node import encode, journal
from dicom_node.journal.tables import deliveries
from dicom_node.values import DeliveryState, ObjectKind, Proof, Role
from dicom_node.values.records import DeliveryRecord, SentObject

from .conftest import Book
from .test_jobs import JOB, KEY, SENDING, act, complete_a_study, find, is_done, jobs

SEG, LABELS, REPORT, COMPREHENSIVE, CAPTURE, KEY_IMAGES = (
    ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D, ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.CAPTURE,
    ObjectKind.KEY_IMAGES,
)  # fmt: skip
FORMS = {kind: (form.role, form.sop_class_uid) for kind, form in encode.KINDS.items()}


def made(kind: ObjectKind, uid: str, *instead_of: ObjectKind, series: str = "2.25.9") -> SentObject:
    return SentObject(0, *FORMS[kind], uid, series, f"{uid}.dcm", instead_of)


def start(book: Book, *objects: SentObject) -> None:
    """A done study with a result whose objects are on their way."""
    complete_a_study(book)
    columns = "key, study_instance_uid, series_instance_uid, volume, package, version, number, findings, kept, made_at"
    numbered = [SentObject(n, o.role, o.sop_class_uid, o.sop_instance_uid, o.series_instance_uid, o.file) for n, o in enumerate(objects)]
    with book.engine.begin() as connection:
        insert = f"insert into node_results ({columns}) values (:key, '1.2', '1.2.3', 0, 'p', '1', 0, 1, 'k', 0)"
        connection.execute(sa.text(insert), {"key": KEY})
        journal.start_delivery(connection, book.client, DeliveryRecord(KEY, "pacs", tuple(numbered)))
        journal.close_study(connection, "1.2", 1, 1000.0)


def exchange(book: Book, refused: Iterable[ObjectKind], *objects: SentObject, status: int | None = None) -> journal.Exchanged:
    """The destination does not take these; `objects` is all that it gets."""
    classes = {FORMS[kind][1]: status for kind in refused}
    with book.engine.begin() as connection:
        done = journal.replace_objects(connection, JOB, classes, objects, FORMS, 1000.0)
        assert done.delivery == journal.read_delivery(connection, KEY, "pacs")
    return done


def stand(book: Book) -> list[str]:
    """`UID state` of each object, in order, with what it is sent in place of."""
    with book.engine.begin() as connection:
        rows = connection.execute(sa.select(deliveries).order_by(deliveries.c.number)).all()
    assert [row.number for row in rows] == list(range(len(rows)))
    return [f"{row.sop_instance_uid} {row.state}" + (f" for {row.instead_of}" if row.instead_of else "") for row in rows]


def put(book: Book, uid: str, state: DeliveryState) -> None:
    with book.engine.begin() as connection:
        connection.execute(deliveries.update().where(deliveries.c.sop_instance_uid == uid).values(state=state.value))


FULL = made(SEG, "seg"), made(REPORT, "report"), made(CAPTURE, "one"), made(CAPTURE, "two")
WITHOUT = made(CAPTURE, "one", SEG), made(CAPTURE, "two", SEG), made(REPORT, "report'")


def test_others_take_the_place_of_what_is_refused_and_of_what_names_it(book: Book) -> None:
    start(book, *FULL)
    done = exchange(book, [SEG], *WITHOUT)
    assert (done.refused, done.is_new) == (0, True)
    captures = [f"{uid} queued for segmentation" for uid in ("one", "two")]
    assert stand(book) == ["seg replaced", "report replaced", *captures, "report' queued"]


def test_the_same_again_changes_nothing(book: Book) -> None:
    """A crash before the job's end was recorded, or a twin that was slower."""
    start(book, *FULL)
    first = exchange(book, [SEG], *WITHOUT)
    before = stand(book)
    again = exchange(book, [SEG], *WITHOUT)
    assert (again.refused, again.is_new, again.delivery) == (0, False, first.delivery)
    assert stand(book) == before


def test_what_has_nothing_in_its_place_is_refused_and_the_rest_waits(book: Book) -> None:
    start(book, *FULL)
    assert exchange(book, [CAPTURE], *FULL[:2]).refused == 2
    assert stand(book) == ["seg queued", "report queued", "one refused", "two refused"]
    (job,) = jobs(book, dead=True)
    assert job == (SENDING, "refused")
    assert find(book, SENDING).error == "NoPresentationContext"


def test_a_segmentation_without_anything_in_its_place_takes_its_report_along(book: Book) -> None:
    start(book, *FULL[:2])
    done = exchange(book, [SEG, CAPTURE], made(REPORT, "report'"))
    assert (done.refused, done.is_new) == (1, True)
    assert stand(book) == ["seg refused", "report replaced", "report' queued"]


def test_where_nothing_can_be_made_only_what_is_refused_is_refused(book: Book) -> None:
    start(book, *FULL)
    assert exchange(book, [SEG, REPORT]).is_new is False
    assert stand(book) == ["seg refused", "report refused", "one queued", "two queued"]


def test_a_status_stands_where_it_was_a_status(book: Book) -> None:
    start(book, made(LABELS, "labels"), made(KEY_IMAGES, "key"))
    exchange(book, [LABELS, KEY_IMAGES], made(SEG, "seg", LABELS), status=0x0122)
    with book.engine.begin() as connection:
        asked = sa.select(deliveries.c.state, deliveries.c.status, deliveries.c.error)
        rows = connection.execute(asked.order_by(deliveries.c.number)).all()
    assert [tuple(row) for row in rows] == [("replaced", 0x0122, None), ("refused", 0x0122, None), ("queued", None, None)]


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.CONFIRMED])
def test_what_is_there_stays_and_nothing_else_is_sent_in_its_role(book: Book, state: DeliveryState) -> None:
    """No second report of one result."""
    start(book, *FULL)
    put(book, "report", state)
    put(book, "one", state)
    exchange(book, [SEG], *(made(kind, uid, *instead, series=series) for kind, uid, instead, series in OTHER_SERIES))
    captures = [f"{uid} queued for segmentation" for uid in ("two", "three")]
    assert stand(book) == ["seg replaced", f"report {state}", f"one {state}", *captures]


OTHER_SERIES = (
    (CAPTURE, "one", (SEG,), "2.25.9"),
    (CAPTURE, "two", (SEG,), "2.25.9"),
    (CAPTURE, "three", (SEG,), "2.25.9"),
    (REPORT, "report'", (), "2.25.10"),
)


def test_nothing_names_another_segmentation_than_the_one_that_is_there(book: Book) -> None:
    """The node was brought to another version in between: all that it makes has other UIDs."""
    start(book, *FULL)
    put(book, "seg", DeliveryState.SENT)
    new = (made(SEG, "seg*", series="2.25.10"), made(COMPREHENSIVE, "report*", REPORT, series="2.25.10"))
    exchange(book, [REPORT], *new)
    assert stand(book) == ["seg sent", "report refused", "one queued", "two queued"]


def test_what_was_replaced_is_sent_after_all_where_its_class_is_taken_again(book: Book) -> None:
    start(book, made(LABELS, "labels"), made(REPORT, "report"))
    exchange(book, [LABELS], made(SEG, "seg", LABELS), made(REPORT, "report'"))
    assert exchange(book, [SEG], made(LABELS, "labels"), made(REPORT, "report")).is_new
    assert stand(book) == ["labels queued", "report queued", "seg replaced for labelmap", "report' replaced"]


def test_what_stands_for_another_kind_is_replaced_in_its_turn(book: Book) -> None:
    start(book, made(LABELS, "labels"))
    exchange(book, [LABELS], made(SEG, "seg", LABELS))
    exchange(book, [LABELS, SEG], made(CAPTURE, "one", LABELS))
    assert stand(book) == ["labels replaced", "seg replaced for labelmap", "one queued for labelmap"]


def test_nothing_is_made_of_what_a_person_has_ended_meanwhile(book: Book) -> None:
    start(book, *FULL)
    assert act(book, SENDING, "cancel")
    assert not exchange(book, [SEG], *WITHOUT).is_new
    assert len(stand(book)) == 4
    assert is_done(book)


def test_a_replaced_object_is_settled(book: Book) -> None:
    """It keeps no images, is no dead job, and no retry sends it."""
    start(book, *FULL[:2])
    exchange(book, [SEG, REPORT], made(CAPTURE, "one", SEG, REPORT))
    with book.engine.begin() as connection:
        job = journal.DeliveryJob(KEY, "pacs", 1)
        (waiting,) = journal.find_waiting(connection, job)
        journal.write_outcome(connection, job, waiting.number, DeliveryState.SENT, 0, None, now=2000.0)
        asked = journal.ProofJob(KEY, "pacs", 0)
        journal.write_proof(connection, asked, waiting.number, DeliveryState.CONFIRMED, None, now=2000.0, proof=Proof.FIND)
    assert is_done(book)
    assert jobs(book) == []
    assert not act(book, SENDING, "retry")
    assert stand(book) == ["seg replaced", "report replaced", "one confirmed for segmentation,report-3d"]


def test_a_later_result_names_the_report_that_was_made_last(book: Book) -> None:
    start(book, *FULL[:2])
    exchange(book, [SEG, CAPTURE], made(REPORT, "report'"))
    with book.engine.begin() as connection:
        report = journal.find_report(connection, KEY, "pacs")
    assert report is not None
    assert report.sop_instance_uid == "report'"
    assert FORMS[REPORT][0] is Role.REPORT
