"""A journal whose file is damaged is made again from what lies on the disk; nothing is lost, nothing appears twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.faults.studies import make_study, write_package
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done

PAGE_BYTES = 4096


def damage(database: Path, first_page: int) -> None:
    """Overwrite a few pages, as a failing disk would."""
    with database.open("r+b") as file:
        file.seek(first_page * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES * 8)


@pytest.mark.parametrize(
    ("first_page", "is_asked"),
    [(0, False), (20, False), (None, False), (None, True)],
    ids=["header", "tables", "gone", "asked"],
)
def test_a_damaged_journal_is_made_again(first_page: int | None, is_asked: bool, node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as pacs:
        peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["count", "receive"]}
        running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")])
        chest = make_study("damaged", 16)
        uid = chest[0].StudyInstanceUID
        send_in_two_parts(running, chest)
        before = {file.name for file in pacs.files()}
        running.stop()
        if first_page is None:
            (running.data / "journal.sqlite").unlink()
        else:
            damage(running.data / "journal.sqlite", first_page)
        if is_asked:
            assert running.status()["studies"] == []  # which makes an empty one

        running.start()
        (event,) = running.events("JournalDamaged")
        assert event["entered"] == len(chest)
        assert len(list(running.data.glob("journal.sqlite.damaged-*"))) == (first_page is not None or is_asked)  # for whoever wants to look
        study = wait_until_done(running, uid)
        assert study["state"] == "done"
        assert sum(series["instances"] for series in study["series"]) == len(chest)
        assert {file.name for file in pacs.files()} == before
        assert {one.sop_instance_uid + ".dcm" for one in pacs.record} == before


def test_where_the_results_are_lost_too_they_are_made_again_from_the_images(node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """What is different then: nobody knows what was made before, so that the new report does not say which one it replaces."""
    with Archive(tmp_path / "archive") as pacs:
        peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["count", "receive"]}
        running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")])
        chest = make_study("lost", 16)
        uid = chest[0].StudyInstanceUID
        send_in_two_parts(running, chest)
        assert len(pacs.files()) == 4
        running.stop()
        (running.data / "journal.sqlite").unlink()
        shutil.rmtree(running.data / "kept")

        running.start()
        study = wait_until_done(running, uid)
        (result,) = study["results"]
        assert (result["predecessor"], result["count"]) == (None, 1)
        assert sum(series["instances"] for series in study["series"]) == len(chest)
        assert len(pacs.files()) == 6


def send_in_two_parts(running: NodeProcess, chest: list[Dataset]) -> None:
    """Late images: a second result, which names the first."""
    uid = chest[0].StudyInstanceUID
    send(running, chest[:10])
    wait_until_done(running, uid)
    send(running, chest[10:])
    wait_until(lambda: len(running.look(uid)["studies"][0]["results"]) == 2, limit_s=120, what=running._log_end)
    wait_until_done(running, uid)


def send(running: NodeProcess, instances: list[Dataset]) -> None:
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in instances)
