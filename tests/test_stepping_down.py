"""A destination that does not take what it is to get is sent the next best, of the same result, and nothing twice."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MammographyCADSRStorage,
    ParametricMapStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.sop_class import LabelMapSegmentationStorage  # type: ignore[attr-defined]

from dicom_node import errors, journal, pipeline, spool
from dicom_node.config import load_config
from dicom_node.encode.objects import _MAKERS
from dicom_node.journal.tables import deliveries
from dicom_node.roles.status import as_text, find_status
from dicom_node.sending import Destination, Sending
from dicom_node.texts import ENGLISH, Language
from dicom_node.values import AETitle, AssembledSeries, ObjectKind, PeerName, Proof, Receipt, Result, SeriesHeaders, StoredSeries
from dicom_node.values.records import DeliveryRecord, ResultRecord
from tests.encode.conftest import Case, make_case
from tests.encode.test_scores import with_scores
from tests.journal.conftest import Book, book, url
from tests.peers.archive import Archive

__all__ = ["book", "make_case", "url"]  # fixtures

LABELS, SEG, REPORT = str(LabelMapSegmentationStorage), str(SegmentationStorage), str(Comprehensive3DSRStorage)
NOT_SUPPORTED = 0x0122


@dataclass
class Site:
    """A node's sending part with a result of a study that it has, and the archive that is to get it as a label map."""

    book: Book
    case: Case
    folder: Path
    archive: Archive
    keys: str = 'objects = ["labelmap", "report-3d"]'
    images_are_here: bool = True
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = journal.Kept(self.folder / "kept")
        peer = f'[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {self.archive.port}\nmay = ["receive"]\n'
        peer += f"{self.keys}\n"
        (self.folder / "m").mkdir()
        (self.folder / "m" / "package.toml").touch()
        (self.folder / "peers.toml").write_text(peer)
        database = self.book.engine.url.render_as_string(hide_password=False)
        (self.folder / "node.toml").write_text(f'ae_title = "NODE"\ndata = "."\nmodels = ["m"]\ndatabase = "{database}"\n')
        self.config = load_config(self.folder / "node.toml")
        book, headers = self.book, self.case.headers
        self.sending = Sending(self.config, book.clock, book.engine, book.client, self.kept, self.read_headers)
        for image in headers.instances:
            from_ct = AETitle("CT"), AETitle("NODE"), "a:1"
            book.receipts.commit(Receipt(image.instance, headers.study_instance_uid, headers.series_instance_uid, *from_ct))

    def read_headers(self, stored: StoredSeries) -> SeriesHeaders:
        if not self.images_are_here:
            raise errors.ImageMissing
        uids = stored.series_instance_uid, stored.study_instance_uid
        return spool.read_headers(self.folder / "spool-base", stored.instances, *uids, stored.rule)

    def destination(self, result: Result) -> Destination:
        (destination,) = self.sending.destinations(AETitle("CT"), result, self.case.headers)
        return destination

    def wants_scores(self) -> bool:
        """Whether the scores of the images that came are to be kept."""
        headers = self.case.headers
        images = tuple(image.instance for image in headers.instances)
        uids = headers.series_instance_uid, headers.study_instance_uid
        return self.sending.wants_scores(StoredSeries(*uids, images, headers.rule, AETitle("CT")))

    def start(self, key: str = "ab" * 32, predecessor: str | None = None, package: str = "p") -> None:
        """Encode a result for the archive, as far as is known of it, and start its delivery, as the pipeline does."""
        result = dataclasses.replace(self.case.result, key=key, predecessor_key=predecessor)
        destination = self.destination(result)
        made = pipeline.encode_result(result, AssembledSeries(self.case.headers, ()), (destination,), self.sending)
        assert isinstance(made, dict)
        wanted = self.sending.keep_objects(result, destination, made[PeerName("pacs")])
        uids = result.study_instance_uid, result.series_instance_uid
        record = ResultRecord(key, *uids, 0, package, "1", predecessor, len(result.findings), self.kept.write_value(result), 1.0)
        with self.book.engine.begin() as connection:
            journal.write_result(connection, record)
            delivery = journal.start_delivery(connection, self.book.client, wanted)
        self.kept.write_record(record)
        self.kept.write_record(delivery)

    def run(self) -> int:
        """Run the deliveries that have not come to an end, and those that they start; gives how many there were."""
        before = len(self.ended)
        while jobs := [name for name in self.book.jobs("deliver") if name not in self.ended]:
            for name in jobs:
                _, key, destination, round_, attempt = name.split("-")
                pipeline.send(journal.DeliveryJob(key, destination, int(attempt), int(round_)), self.sending)
                self.ended.append(name)
        return len(self.ended) - before

    def stand(self, key: str = "ab" * 32) -> list[tuple[str, str, str | None]]:
        """SOP class, state, and what it is sent in place of, of each object in order."""
        with self.book.engine.begin() as connection:
            rows = connection.execute(sa.select(deliveries).where(deliveries.c.result_key == key).order_by(deliveries.c.number))
            return [(row.sop_class_uid, row.state, row.instead_of) for row in rows]

    def refused(self) -> set[str]:
        with self.book.engine.begin() as connection:
            return set(journal.read_refused_classes(connection, "pacs", self.book.clock.now()))

    def arrived(self) -> list[str]:
        """The SOP classes of what was acknowledged, in order; each object once, and no report that names what is not there."""
        taken = [stored for stored in self.archive.record if stored.status == 0]
        assert set(Counter(stored.sop_instance_uid for stored in taken).values()) <= {1}
        here = [dcmread(file) for file in self.archive.files()]
        uids = {one.SOPInstanceUID for one in here}
        for one in here:
            assert named_in(one) <= uids, "a report names a segmentation that is not there"
        return [stored.sop_class_uid for stored in taken]


def named_in(report: Any) -> set[str]:
    """The segmentations that a report names."""
    found = [element.value for element in report.iterall() if element.keyword == "ReferencedSOPSequence"]
    classes = (LABELS, SEG)
    return {str(item.ReferencedSOPInstanceUID) for items in found for item in items if str(item.ReferencedSOPClassUID) in classes}


@pytest.fixture
def site(book: Book, make_case: Callable[..., Case], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes a site whose archive takes these classes."""
    running: list[Archive] = []

    def make(*classes: str, keys: str = Site.keys) -> Site:
        running.append(Archive(tmp_path / "archive", classes=classes).start())
        return Site(book, make_case(), tmp_path, running[0], keys)

    yield make
    for archive in running:
        archive.stop()


STEPPED = [(LABELS, "replaced", None), (REPORT, "replaced", None), (SEG, "sent", "labelmap"), (REPORT, "sent", None)]


def test_who_takes_everything_gets_what_is_wanted_in_one_association(site: Callable[..., Site]) -> None:
    here = site(LABELS, SEG, REPORT)
    here.start()
    assert here.run() == 1
    assert here.arrived() == [LABELS, REPORT]
    assert SEG not in here.refused()


def test_what_a_destination_does_not_take_is_made_anew_with_what_names_it(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    assert here.run() == 2
    assert here.arrived() == [SEG, REPORT]
    assert here.stand() == STEPPED
    assert LABELS in here.refused()


def test_the_next_result_is_made_for_what_is_known(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    here.run()
    here.start("cd" * 32)
    assert here.run() == 1
    assert here.stand("cd" * 32) == [(SEG, "sent", "labelmap"), (REPORT, "sent", None)]
    assert here.arrived() == [SEG, REPORT] * 2


def test_a_class_that_is_taken_again_is_used_from_the_next_result_on(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    here.run()
    here.archive.add_class(LABELS)
    here.start("cd" * 32)
    here.run()
    assert here.arrived()[2:] == [SEG, REPORT]  # made for what was known
    assert LABELS not in here.refused()
    here.start("ef" * 32)
    here.run()
    assert here.arrived()[4:] == [LABELS, REPORT]


def test_an_answer_that_the_class_is_not_supported_is_the_same(site: Callable[..., Site]) -> None:
    here = site(LABELS, SEG, REPORT)
    here.archive.answers.stores[LABELS] = [NOT_SUPPORTED]
    here.start()
    assert here.run() == 2
    assert here.arrived() == [SEG, REPORT]
    assert here.stand() == STEPPED
    here.start("cd" * 32)
    here.run()
    assert here.arrived()[2:] == [SEG, REPORT]
    assert LABELS in here.refused()


@pytest.mark.skipif(ObjectKind.CAPTURE not in _MAKERS, reason="a report that names no segmentation comes with the kinds beside it")
def test_where_nothing_is_left_what_is_taken_is_sent_and_the_rest_is_said(site: Callable[..., Site]) -> None:
    here = site(REPORT)
    here.start()
    here.run()
    assert here.stand() == [(LABELS, "refused", None), (REPORT, "replaced", None), (REPORT, "sent", None)]
    assert here.arrived() == [REPORT]


def test_who_takes_nothing_has_said_so_of_everything(site: Callable[..., Site]) -> None:
    """And of the next result again: no silence."""
    here = site(str(CTImageStorage))
    for key in ("ab" * 32, "cd" * 32):
        here.start(key)
        assert here.run() == 1
        assert here.stand(key) == [(LABELS, "refused", None), (REPORT, "refused", None)]
    assert here.archive.record == []


def test_where_the_images_have_left_the_report_is_sent_as_it_is(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    here.images_are_here = False
    here.run()
    assert here.stand() == [(LABELS, "refused", None), (REPORT, "sent", None)]
    assert [stored.sop_class_uid for stored in here.archive.record] == [REPORT]


def test_a_disk_that_is_away_leaves_everything_as_it_was(site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    here = site(SEG, REPORT)
    here.start()
    monkeypatch.setattr(here.sending, "_read_headers", _fail)
    with pytest.raises(errors.SpoolFailed):
        here.run()
    assert here.stand() == [(LABELS, "queued", None), (REPORT, "queued", None)]
    monkeypatch.undo()
    here.run()
    assert here.stand() == STEPPED


def _fail(_: StoredSeries) -> SeriesHeaders:
    raise errors.SpoolFailed(5)


def test_what_was_kept_makes_the_journal_again(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    here.run()
    before = here.stand()
    records: Any = tuple(here.kept.read_records())
    assert {type(record) for record in records} == {ResultRecord, DeliveryRecord}
    with here.book.engine.begin() as connection:
        for table in ("node_deliveries", "node_results"):
            connection.execute(sa.text(f"delete from {table}"))
        assert journal.enter_records(connection, records, lambda _: Proof.FIND, 5.0) == 1
    assert here.stand() == before


def test_a_second_look_at_the_study_keeps_what_was_made_of_it(site: Callable[..., Site]) -> None:
    """`jobs rerun`: the same result; its record on the disk is that of the rows, not of what would be made today."""
    here = site(SEG, REPORT)
    here.start()
    here.run()
    here.start()
    assert here.stand() == STEPPED
    (delivery,) = (record for record in here.kept.read_records() if isinstance(record, DeliveryRecord))
    assert [one.is_replaced for one in delivery.objects] == [True, True, False, False]


COMPREHENSIVE, PICTURE = str(ComprehensiveSRStorage), str(SecondaryCaptureImageStorage)
CONTOURS, OUTLINES, SCORES = map(str, (RTStructureSetStorage, GrayscaleSoftcopyPresentationStateStorage, ParametricMapStorage))


@pytest.mark.parametrize(
    ("classes", "stand"),
    [
        ((LABELS, SEG, REPORT), [(SEG, "sent", "labelmap"), (REPORT, "sent", None)]),
        (
            (LABELS, SEG, COMPREHENSIVE),
            [(SEG, "sent", "labelmap"), (REPORT, "replaced", None), (COMPREHENSIVE, "sent", "report-3d")],
        ),
        (
            (LABELS, PICTURE, REPORT),
            [(SEG, "replaced", "labelmap"), (REPORT, "replaced", None), (PICTURE, "sent", "labelmap"), (REPORT, "sent", None)],
        ),
    ],
    ids=["takes all", "another report", "no segmentation"],
)
def test_a_result_that_is_no_label_map_steps_down_from_a_segmentation(
    site: Callable[..., Site], classes: tuple[str, ...], stand: list[tuple[str, str, str | None]]
) -> None:
    """Its findings overlap; also what is made anew is never a label map, though the destination takes that class."""
    here = site(*classes)
    first, second = here.case.result.findings
    overlapping = dataclasses.replace(here.case.result, findings=(first, dataclasses.replace(second, mask=first.mask)))
    here.case = dataclasses.replace(here.case, result=overlapping)
    here.start()
    here.run()
    assert here.stand() == stand
    assert here.arrived() == [sop_class for sop_class, state, _ in stand if state == "sent"]


@pytest.mark.parametrize(
    ("classes", "stand"),
    [
        ((SEG, REPORT), [(SEG, "sent", None), (SEG, "sent", None), (REPORT, "sent", None)]),
        (
            (SEG, COMPREHENSIVE),
            [(SEG, "sent", None), (SEG, "sent", None), (REPORT, "replaced", None), (COMPREHENSIVE, "sent", "report-3d")],
        ),
        (
            (PICTURE, REPORT),
            [
                *[(SEG, "replaced", None)] * 2,
                (REPORT, "replaced", None),
                (PICTURE, "sent", "segmentation"),
                (REPORT, "sent", None),
            ],
        ),
    ],
    ids=["takes all", "another report", "no segmentation"],
)
def test_a_divided_segmentation_steps_down_as_one(
    site: Callable[..., Site], classes: tuple[str, ...], stand: list[tuple[str, str, str | None]]
) -> None:
    """Its two findings lie on five slices together. No report names a segmentation that is not there (`arrived`)."""
    here = site(*classes, keys='objects = ["segmentation", "report-3d"]\nmost_frames = 4')
    here.start()
    here.run()
    assert here.stand() == stand
    assert here.arrived() == [sop_class for sop_class, state, _ in stand if state == "sent"]


def test_who_takes_nothing_that_is_read_gets_the_rest_and_that_is_said_each_time(site: Callable[..., Site]) -> None:
    here = site(SEG, keys='objects = ["segmentation", "report-3d"]')
    for key in ("ab" * 32, "cd" * 32):
        here.start(key)
        here.run()
        assert here.stand(key) == [(SEG, "sent", None), (REPORT, "refused", None)]


def test_status_says_what_was_sent_in_place_of_what(site: Callable[..., Site]) -> None:
    here = site(SEG, REPORT)
    here.start()
    here.run()
    for language, labels, report, seg, always in (
        (
            ENGLISH,
            "replaced by segmentation: pacs does not take Label Map Segmentation Storage",
            "made anew as report-3d: it names an object that pacs does not take",
            "in place of labelmap: pacs does not take it",
            "pacs does not take Label Map Segmentation Storage: it gets segmentation in place of labelmap",
        ),
        (
            Language("fr"),
            "remplacé par segmentation : pacs n'accepte pas Label Map Segmentation Storage",
            "refait en report-3d : il cite un objet que pacs n'accepte pas",
            "à la place de labelmap : pacs ne l'accepte pas",
            "pacs n'accepte pas Label Map Segmentation Storage : il reçoit segmentation à la place de labelmap",
        ),
    ):
        found = find_status(here.config, here.case.result.study_instance_uid, 1, language)
        assert found is not None
        (delivery,) = found["studies"][0]["results"][0]["deliveries"]
        assert [one["why"] for one in delivery["objects"]] == [labels, report, seg, None]
        assert [one["instead_of"] for one in delivery["objects"]] == [[], [], ["labelmap"], []]
        (said,) = found["not_accepted"]
        assert said == {"destination": "pacs", "wanted": ObjectKind.LABEL_MAP, "sent": ObjectKind.SEGMENTATION, "text": always}
        assert all(text in as_text(found) for text in (labels, report, seg, always))


def test_a_result_that_does_not_fit_is_sent_as_the_best_that_is_taken(site: Callable[..., Site]) -> None:
    """Mammography CAD is taken, and says nothing of a CT; what takes its place is not taken itself."""
    cad, comprehensive, enhanced = map(str, (MammographyCADSRStorage, ComprehensiveSRStorage, EnhancedSRStorage))
    here = site(cad, enhanced, keys='objects = ["mammography-cad"]')
    here.start()
    here.run()
    assert here.stand() == [(comprehensive, "replaced", "mammography-cad"), (enhanced, "sent", "mammography-cad")]
    here.start("cd" * 32)
    here.run()
    assert here.stand("cd" * 32) == [(enhanced, "sent", "mammography-cad")]
    assert here.arrived() == [enhanced, enhanced]
    found = find_status(here.config, here.case.result.study_instance_uid, 1, ENGLISH)
    assert found is not None
    said = [one["why"] for result in found["studies"][0]["results"] for one in result["deliveries"][0]["objects"]]
    unwritable = "in place of mammography-cad: this result cannot be written so"
    assert said == ["replaced by report-enhanced: pacs does not take Comprehensive SR Storage", unwritable, unwritable]


@pytest.mark.parametrize(
    ("classes", "stand"),
    [
        ((REPORT, CONTOURS, OUTLINES), [(REPORT, "sent", None), (CONTOURS, "sent", None)]),
        ((REPORT, OUTLINES), [(REPORT, "sent", None), (CONTOURS, "replaced", None), (OUTLINES, "sent", "contours")]),
        ((REPORT, PICTURE), [(REPORT, "sent", None), (CONTOURS, "replaced", None), (PICTURE, "sent", "contours")]),
        ((REPORT,), [(REPORT, "sent", None), (CONTOURS, "refused", None)]),
    ],
    ids=["takes all", "no structure sets", "pictures alone", "neither"],
)
def test_in_place_of_contours_a_destination_gets_the_same_lines_for_viewers(
    site: Callable[..., Site], classes: tuple[str, ...], stand: list[tuple[str, str, str | None]]
) -> None:
    here = site(*classes, keys='objects = ["report-3d", "contours"]')
    here.start()
    here.run()
    assert here.stand() == stand
    assert here.arrived() == [sop_class for sop_class, state, _ in stand if state == "sent"]


def test_in_place_of_scores_there_is_nothing_and_that_is_said_once(site: Callable[..., Site]) -> None:
    """Also: whether they are wanted is asked of who takes them, so that nothing is kept for an archive that does not."""
    here = site(REPORT, keys='objects = ["report-3d", "scores"]')
    here.case = dataclasses.replace(here.case, result=with_scores(here.case.result))
    assert here.wants_scores()
    here.start()
    here.run()
    assert here.stand() == [(REPORT, "sent", None), (SCORES, "refused", None)]
    assert not here.wants_scores()
    here.start("cd" * 32)
    here.run()
    assert here.stand("cd" * 32) == [(REPORT, "sent", None)]
    here.archive.add_class(SCORES)
    here.start("ef" * 32)
    here.run()
    assert here.wants_scores()


def test_who_takes_scores_gets_them_where_the_result_has_any(site: Callable[..., Site]) -> None:
    here = site(REPORT, SCORES, keys='objects = ["report-3d", "scores"]')
    here.start()
    here.run()
    assert here.stand() == [(REPORT, "sent", None)]
    here.case = dataclasses.replace(here.case, result=with_scores(here.case.result))
    here.start("cd" * 32)
    here.run()
    assert here.stand("cd" * 32) == [(REPORT, "sent", None), (SCORES, "sent", None)]


def test_who_asks_for_no_scores_wants_none(site: Callable[..., Site]) -> None:
    assert not site(REPORT).wants_scores()


# -- crashes -----------------------------------------------------------------------------------------------------------


class Cut(BaseException):
    """A process that ends between two lines: nobody catches it."""


class Cutter:
    """Ends what runs before or after the commit, or the file, of a number; counts them."""

    def __init__(self, here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.count = 0, 0
        sa.event.listen(here.book.engine, "commit", lambda _: self.tick())
        for name in ("write_bytes", "write_record"):
            original = getattr(journal.Kept, name)
            monkeypatch.setattr(journal.Kept, name, self._around(original))

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **named: Any) -> Any:
            self.tick()
            done = original(*arguments, **named)
            self.tick()
            return done

        return write

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Cut


@pytest.mark.parametrize("by_status", [False, True])
def test_a_crash_at_any_line_leads_to_the_same(site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, by_status: bool) -> None:
    """The engine runs the job again; what was acknowledged is not sent again unless its answer was lost, and never under another UID."""
    here = site(*((LABELS, SEG, REPORT) if by_status else (SEG, REPORT)))
    cutter = Cutter(here, monkeypatch)
    at, cuts = 0, 0
    while cuts == at:
        at += 1
        key = f"{at:064x}"
        if by_status:
            here.archive.answers.stores[LABELS] = [NOT_SUPPORTED] * 9
        with here.book.engine.begin() as connection:
            connection.execute(sa.text("delete from node_refused_classes"))
        here.start(key)
        cutter.at, cutter.count = at, 0
        try:
            here.run()
        except Cut:
            cuts += 1
        cutter.at = 0
        here.run()
        assert here.stand(key) == STEPPED, at
        with here.book.engine.begin() as connection:
            delivery = journal.read_delivery(connection, key, "pacs")
        assert delivery in list(here.kept.read_records()), at
        uids = {one.sop_instance_uid for one in delivery.objects if not one.is_replaced}
        assert uids <= {path.stem for path in here.archive.files()}
    assert cuts >= 8  # each commit and each file
    assert len(here.archive.files()) == 2 * at
