"""The search for a prior from the inside: a series closes whatever its headers lead to, and its sender is not asked while it waits."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_node import journal, pipeline
from dicom_node.clock import SystemClock
from dicom_node.config import Config, NodeFile, Peer
from dicom_node.deliver.count import FIND
from dicom_node.node import Node, load_packages
from dicom_node.values import AETitle, Receipt, SearchEnd, SeriesHeaders
from tests.deliver.objects import Listener
from tests.faults.studies import write_package
from tests.journal.conftest import url
from tests.journal.test_priors import FIRST
from tests.peers.modality import encode
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until
from tests.promises.test_generations import GatedDevice
from tests.promises.test_priors import WHO, scan

__all__ = ["url"]  # fixture: an empty database of each kind

IMAGES = scan("now", "20240709", 12.0)
STUDY, SERIES = str(IMAGES[0].StudyInstanceUID), str(IMAGES[0].SeriesInstanceUID)
PRIOR = "1.2.9"


@dataclass
class Pacs:
    """It says at once how many images a series has, and which studies it has when the test lets it."""

    go: threading.Event = field(default_factory=threading.Event)
    has_prior: bool = False
    asked: list[str] = field(default_factory=list)  # the levels of its questions

    def answer(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        self.asked.append(str(query.QueryRetrieveLevel))
        if query.QueryRetrieveLevel == "STUDY":
            self.go.wait(60.0)
            if self.has_prior:
                query.PatientID, query.PatientBirthDate = WHO["PatientID"], WHO["PatientBirthDate"]
                query.StudyInstanceUID, query.StudyDate = PRIOR, "20240110"
                yield 0xFF00, query
            return
        query.NumberOfSeriesRelatedInstances = len(IMAGES)
        if query.StudyInstanceUID == PRIOR:
            query.SeriesInstanceUID = f"{PRIOR}.1"
        yield 0xFF00, query


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    yield made
    made.go.set()


Make = Callable[..., Node]


@pytest.fixture
def make(url: str, tmp_path: Path) -> Iterator[Make]:
    """Makes the node of a worker, with a PACS at each of some ports."""
    journal.migrate(url)
    with ExitStack() as stack:

        def make(*ports: int) -> Node:
            models = (write_package(tmp_path / "bright", overlap=0.25), write_other_package(tmp_path / "other"))
            peers = {
                f"pacs{number}": Peer(ae_title=f"PACS{number}", host="127.0.0.1", port=port, may=("send", "count", "priors"))
                for number, port in enumerate(ports)
            }
            file = NodeFile(ae_title="NODE", data=tmp_path, models=models)
            config = Config(file=tmp_path / "node.toml", node=file, peers=peers, data=tmp_path, models=models, database=url)
            engine = journal.open_engine(url)
            stack.callback(engine.dispose)
            node = Node(config, load_packages(config), SystemClock(), stack.enter_context(GatedDevice()), {}, engine)
            stack.callback(node.priors._threads.shutdown)
            return node

        yield make


def write_other_package(folder: Path) -> Path:
    """One of the same kind that takes nothing of what the tests send."""
    write_package(folder)
    manifest = (folder / "package.toml").read_text(encoding="utf-8")
    of_magnets = 'conditions = [{ attribute = "Modality", one_of = ["MR"] }]'
    for old, new in (('name = "example"', 'name = "other"'), ("conditions = []", of_magnets)):
        assert old in manifest
        manifest = manifest.replace(old, new, 1)
    (folder / "package.toml").write_text(manifest, encoding="utf-8")
    return folder


def arrive(node: Node) -> None:
    with journal.open_receipts(node.engine, node.client, node.clock, node.images.has) as receipts:
        for image in IMAGES:
            one = encode(image)
            reference = node.images.put(
                one.data_set,
                sop_class_uid=image.SOPClassUID,
                sop_instance_uid=image.SOPInstanceUID,
                transfer_syntax_uid=one.transfer_syntax_uid,
                calling=AETitle("PACS0"),
                called=AETitle("NODE"),
                source="127.0.0.1",
            )
            receipts.commit(Receipt(reference, STUDY, SERIES, AETitle("PACS0"), AETitle("NODE"), ""))


def look(node: Node, number: int) -> bool:
    """Look at the series; whether it is complete then."""
    job = journal.Look(STUDY, SERIES, generation=0, number=number)
    pipeline.look(job, node)
    with node.engine.begin() as connection:
        return journal.read_open_series(connection, job) is None


def search_of(node: Node) -> journal.Search:
    with node.engine.begin() as connection:
        (search,) = journal.read_searches(connection, STUDY)
    return search


def ended(node: Node) -> journal.Search:
    wait_until(lambda: search_of(node).ended, limit_s=60, what="the search goes on")
    return search_of(node)


def test_a_series_whose_sender_is_searched_for_its_prior_is_not_counted_again(make: Make, pacs: Pacs) -> None:
    """A study of dozens of series waits for minutes; the PACS that is to send its prior has better things to do."""
    with Listener(FIND, (evt.EVT_C_FIND, pacs.answer)) as port:
        node = make(port)
        arrive(node)
        assert not look(node, 0)
        wait_until(lambda: "STUDY" in pacs.asked, limit_s=60, what=lambda: str(pacs.asked))
        assert not any(look(node, number) for number in range(1, 5))
        assert pacs.asked == ["SERIES", "STUDY"]
        pacs.go.set()
        assert ended(node).ended is SearchEnd.NONE
        assert look(node, 5)
        assert pacs.asked == ["SERIES", "STUDY", "SERIES"]


def test_a_series_closes_whose_headers_nobody_expected(make: Make, pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its study is judged then, and fails there, where that is recorded: a look would fail again and again."""
    with Listener(FIND, (evt.EVT_C_FIND, pacs.answer)) as port:
        node = make(port)
        arrive(node)

        def fail(_: SeriesHeaders) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("dicom_node.assemble.find_volumes", fail)
        assert not look(node, 0)
        assert look(node, 1)
    assert search_of(node).ended is SearchEnd.UNWANTED


def test_a_pacs_that_was_not_reached_may_have_what_another_one_has_not(make: Make, pacs: Pacs) -> None:
    pacs.go.set()
    with Listener(FIND, (evt.EVT_C_FIND, pacs.answer)) as port:
        node = make(find_free_port(), port)
        arrive(node)
        node.seek_prior(journal.Look(STUDY, SERIES, generation=0, number=0))
        search = ended(node)
    assert (search.ended, search.peer, search.error) == (SearchEnd.FAILED, "pacs0", "PeerUnreachable")


def test_a_search_that_breaks_ends(make: Make, pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dicom_node.deliver.find_earlier", fail)
    node = make(find_free_port())
    arrive(node)
    node.seek_prior(journal.Look(STUDY, SERIES, generation=0, number=0))
    search = ended(node)
    assert (search.ended, search.error) == (SearchEnd.FAILED, "ZeroDivisionError")


@pytest.mark.parametrize(("package", "end"), [("example", SearchEnd.HERE), ("other", SearchEnd.FAILED)])
def test_a_result_of_a_package_for_other_images_is_no_prior(make: Make, pacs: Pacs, package: str, end: SearchEnd) -> None:
    """The newest study was of the head, and is known here; the one before is asked for. This PACS sends nothing."""
    pacs.has_prior = True
    pacs.go.set()
    with Listener(FIND, (evt.EVT_C_FIND, pacs.answer)) as port:
        node = make(port)
        arrive(node)
        with node.engine.begin() as connection:
            journal.write_result(connection, dataclasses.replace(FIRST, study_instance_uid=PRIOR, package=package))
        node.seek_prior(journal.Look(STUDY, SERIES, generation=0, number=0))
        assert ended(node).ended is end
