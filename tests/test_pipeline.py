"""From a result to the objects of each destination."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_node import encode, journal, pipeline
from dicom_node.config import load_config
from dicom_node.sending import Sending
from dicom_node.values import AETitle, AssembledSeries, NotAnalysed, ObjectKind, PeerName, ReportRef, Role
from dicom_node.values.reasons import Localizer, ModelFailed, NotEncodable, ResultMismatch
from dicom_node.values.records import DeliveryRecord, SentObject
from tests.encode.conftest import Case, make_case
from tests.encode.results import finding, named, opened, walk
from tests.encode.test_changes import COMPARISON, DIFFERENCE, GROWN, SAME, with_changes
from tests.journal.conftest import Book, book
from tests.journal.test_sending import no_images

__all__ = ["book", "make_case"]  # fixtures

NAMES = ("first", "second", "third")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty database."""
    return f"sqlite:///{tmp_path / 'journal.sqlite'}"


@pytest.fixture
def case(make_case: Callable[..., Case]) -> Case:
    return make_case()


@pytest.fixture
def sending(book: Book, tmp_path: Path) -> Sending:
    """Of a node with three destinations."""
    return make_sending(book, tmp_path)


def make_sending(book: Book, tmp_path: Path, third: str = "") -> Sending:
    """Of a node with three destinations; `third` are more keys of the last."""
    peers = (f'[peers.{name}]\nae_title = "{name.upper()}"\nhost = "127.0.0.1"\nport = 104\nmay = ["receive"]\n' for name in NAMES)
    (tmp_path / "peers.toml").write_text("\n".join(peers) + third, encoding="utf-8")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "package.toml").touch()
    (tmp_path / "node.toml").write_text('ae_title = "NODE"\ndata = "data"\nmodels = ["m"]\n', encoding="utf-8")
    config = load_config(tmp_path / "node.toml")
    return Sending(config, book.clock, book.engine, book.client, journal.Kept(tmp_path / "kept"), no_images)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a result is encoded and read back."""
    counts = {"encode": 0, "compare": 0}

    def count(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return original(*arguments)

        return call

    for name in counts:
        monkeypatch.setattr(encode, name, count(name, getattr(encode, name)))
    return counts


def encode_all(case: Case, sending: Sending, **changes: object) -> Any:
    result = dataclasses.replace(case.result, **changes)  # type: ignore[arg-type]
    return pipeline.encode_result(
        result, AssembledSeries(case.headers, ()), sending.destinations(AETitle("CT"), result, case.headers), sending
    )


def test_equal_destinations_share_the_objects(case: Case, sending: Sending, counted: dict[str, int]) -> None:
    made = encode_all(case, sending)
    assert set(made) == {PeerName(name) for name in NAMES}
    first, second, third = made.values()
    assert first is second is third
    assert counted == {"encode": 1, "compare": 1}


def test_a_destination_that_has_a_report_already_gets_one_that_replaces_it(
    case: Case, sending: Sending, book: Book, counted: dict[str, int]
) -> None:
    """And only this one; its objects are of their own."""
    before = "cd" * 32
    sent = SentObject(0, Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "f.dcm")
    with book.engine.begin() as connection:
        journal.start_delivery(connection, book.client, DeliveryRecord(before, "second", (sent,)))
    assert sending.find_replaced(dataclasses.replace(case.result, predecessor_key=before), PeerName("second")) == (
        ReportRef(sent.sop_class_uid, "2.25.7", "2.25.8"),
    )
    made = encode_all(case, sending, predecessor_key=before)
    assert made[PeerName("first")] is made[PeerName("third")]
    reports = [opened(made[PeerName(name)], Role.REPORT) for name in NAMES]
    assert ["PredecessorDocumentsSequence" in one for one in reports] == [False, True, False]
    assert counted == {"encode": 2, "compare": 2}


def test_the_prior_is_named_at_a_destination_by_the_report_that_it_has(
    case: Case, sending: Sending, book: Book, counted: dict[str, int]
) -> None:
    """And nowhere else; a destination that has none is told of the comparison all the same."""
    comparison = dataclasses.replace(COMPARISON, prior=dataclasses.replace(COMPARISON.prior, report=None))
    result = with_changes(case.result, GROWN, SAME, comparison=comparison)
    sent = SentObject(0, Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "f.dcm")
    with book.engine.begin() as connection:
        journal.start_delivery(connection, book.client, DeliveryRecord(comparison.prior.result_key, "second", (sent,)))
    destinations = sending.destinations(AETitle("CT"), result, case.headers)
    made = pipeline.encode_result(result, AssembledSeries(case.headers, ()), destinations, sending)
    assert isinstance(made, dict)
    reports = [opened(made[PeerName(name)], Role.REPORT) for name in NAMES]
    assert ["PertinentOtherEvidenceSequence" in one for one in reports] == [False, True, False]
    reference = reports[1].PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert (reference.SeriesInstanceUID, reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == ("2.25.8", "2.25.7")
    assert all(named(walk(one), DIFFERENCE) for one in reports)
    assert made[PeerName("first")] is made[PeerName("third")]
    assert counted == {"encode": 2, "compare": 2}


def test_a_destination_gets_segmentations_of_its_kind(case: Case, book: Book, tmp_path: Path) -> None:
    made = encode_all(case, make_sending(book, tmp_path, 'segmentation = "labelmap"\n'))
    assert [opened(made[PeerName(name)], Role.SEGMENTATION).SegmentationType for name in NAMES] == ["BINARY", "BINARY", "LABELMAP"]
    assert made[PeerName("first")] is made[PeerName("second")]


def test_a_result_that_is_no_label_map_is_a_segmentation_where_one_is_wanted(case: Case, book: Book, tmp_path: Path) -> None:
    """Findings that overlap: that one destination wants label maps keeps them from nobody, and it is recorded what stands for what."""
    sending = make_sending(book, tmp_path, 'segmentation = "labelmap"\n')
    first, second = case.result.findings
    overlapping = dataclasses.replace(case.result, findings=(first, dataclasses.replace(second, mask=first.mask)))
    made = encode_all(case, sending, findings=overlapping.findings)
    assert made[PeerName("first")] is made[PeerName("third")]
    assert opened(made[PeerName("third")], Role.SEGMENTATION).SegmentationType == "BINARY"
    for result, stands_for in ((overlapping, [(ObjectKind.LABEL_MAP,), ()]), (case.result, [(), ()])):
        *_, third = sending.destinations(AETitle("CT"), result, case.headers)
        objects = pipeline.encode_result(result, AssembledSeries(case.headers, ()), (third,), sending)
        assert isinstance(objects, dict)
        record = sending.keep_objects(result, third, objects[third.name])
        assert [one.instead_of for one in record.objects] == stands_for


def test_a_destination_that_takes_nothing_of_a_result_holds_up_nobody(case: Case, book: Book, tmp_path: Path) -> None:
    """It takes label maps alone, and is sent a segmentation, which it will refuse: that is said."""
    sending = make_sending(book, tmp_path, 'segmentation = "labelmap"\n')
    classes = encode.find_classes((ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D))
    refused = {uid: None for uid in classes if uid != encode.KINDS[ObjectKind.LABEL_MAP].sop_class_uid}
    with book.engine.begin() as connection:
        journal.write_acceptance(connection, "third", refused, (), (), book.clock.now())
    first, second = case.result.findings
    made = encode_all(case, sending, findings=(first, dataclasses.replace(second, mask=first.mask)))
    assert [one.kind for one in made[PeerName("third")]] == [ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D]


def test_a_destination_that_takes_nothing_that_a_person_reads_holds_up_nobody(case: Case, sending: Sending, book: Book) -> None:
    """It takes segmentations alone: it is sent the report all the same, which it will refuse, and that is said."""
    classes = encode.find_classes((ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D))
    refused = {uid: None for uid in classes if uid != encode.KINDS[ObjectKind.SEGMENTATION].sop_class_uid}
    with book.engine.begin() as connection:
        journal.write_acceptance(connection, "third", refused, (), (), book.clock.now())
    made = encode_all(case, sending)
    assert made[PeerName("first")] is made[PeerName("third")]


def test_a_destination_gets_segmentations_of_as_few_frames_as_it_wants(case: Case, book: Book, tmp_path: Path) -> None:
    """The two findings lie on three slices and on two."""
    made = encode_all(case, make_sending(book, tmp_path, "most_frames = 4\n"))
    roles = [[one.role for one in made[PeerName(name)]] for name in NAMES]
    assert roles == [[Role.SEGMENTATION, Role.REPORT]] * 2 + [[Role.SEGMENTATION, Role.SEGMENTATION, Role.REPORT]]
    assert made[PeerName("first")] is made[PeerName("second")]


def test_who_wants_to_hear_of_it_is_told_that_nothing_was_analysed(case: Case, book: Book, tmp_path: Path) -> None:
    """In each form that it gets and that can say so; not that a model died, which another try may change."""
    sending = make_sending(book, tmp_path, 'profile = "plain-pacs"\nsays_not_analysed = true\n')
    result = case.result
    refused = NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, result.package, Localizer())
    for reason, kinds in ((Localizer(), [ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.CAPTURE, ObjectKind.PAGE]), (ModelFailed(3), None)):
        said = dataclasses.replace(refused, reason=reason)
        destinations = sending.destinations(AETitle("CT"), said, case.headers)
        made = pipeline.encode_result(said, AssembledSeries(case.headers, ()), destinations, sending)
        assert isinstance(made, dict)
        assert {name.text: [one.kind for one in objects] for name, objects in made.items()} == ({} if kinds is None else {"third": kinds})


def test_what_cannot_be_encoded_is_a_reason(case: Case, sending: Sending) -> None:
    first, _ = case.result.findings
    assert encode_all(case, sending, findings=(finding(2, first.mask.origin, first.mask.voxels),)) == NotEncodable("segment numbers")


def test_what_cannot_be_read_back_is_a_reason(case: Case, sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the encoder's, put in here on purpose."""
    original = encode.encode

    def encode_badly(*arguments: Any) -> Any:
        segmentation, report = original(*arguments)
        return dataclasses.replace(segmentation, content=segmentation.content[:-10]), report

    monkeypatch.setattr(encode, "encode", encode_badly)
    assert encode_all(case, sending) == NotEncodable("element")


def test_objects_that_do_not_say_what_the_result_says_are_a_reason(case: Case, sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    original = encode.encode
    monkeypatch.setattr(encode, "encode", lambda *arguments: original(*arguments)[1:])
    assert isinstance(encode_all(case, sending), ResultMismatch)
