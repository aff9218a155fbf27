"""A study that cannot be worked on ends where a person sees it: in the list of dead jobs, in the status, and in the log under its key."""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from dicom_node import infer, journal
from dicom_node.config import Config
from dicom_node.errors import ImageMissing, SpoolFailed
from dicom_node.journal.engine import status_table
from dicom_node.journal.forgotten import WORN_OUT
from dicom_node.journal.tables import instances, studies
from dicom_node.node import Node
from dicom_node.roles.jobs import as_table, find_jobs
from dicom_node.roles.replay import replay_spool
from dicom_node.roles.status import as_text, find_status
from dicom_node.roles.worker import _work
from dicom_node.texts import ENGLISH, Language
from dicom_node.values import CompletenessRule, Priority, derive_key
from tests.journal.conftest import HandClock, url
from tests.receive.receiving import Events

from .disk import SERIES, STUDY, make_config, put_images

__all__ = ["url"]  # a fixture: an empty database of each kind


@contextmanager
def waiting_study(folder: Path, url: str) -> Iterator[tuple[Node, list[Path]]]:
    """A node with a study of three images, whose job waits; and the images' files."""
    config = make_config(folder, database=url)
    files = put_images(config, 3)
    clock = HandClock()
    assert replay_spool(config, "", clock) is not None
    engine = journal.open_engine(url)
    node = Node(config, (), clock, cast("infer.Device", None), {}, engine)
    with engine.begin() as connection:
        found = journal.read_open_series(connection, journal.Look(STUDY, SERIES, generation=0, number=0))
        assert found is not None
        journal.close_series(connection, node.client, found, CompletenessRule.COUNT, Priority.ROUTINE)
    yield node, files
    engine.dispose()


@pytest.fixture
def events() -> Iterator[Events]:
    handler, logger = Events(), logging.getLogger("dicom_node")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)


def work(node: Node, generation: int) -> None:
    job = journal.StudyJob(STUDY, generation)
    _work(job, lambda function, *given, **named: function(*given, **named), node, threading.Event())


def dead(config: Config) -> list[tuple[str, str | None]]:
    return [(row["state"], row["error"]) for row in find_jobs(config, 10, HandClock(), dead=True)]


def failed(events: Events) -> list[dict[str, object]]:
    return [fields for name, fields in zip(events.names, events.fields, strict=True) if name == "StudyFailed"]


def find_study_row(node: Node) -> Any:
    with node.engine.begin() as connection:
        return connection.execute(sa.select(studies)).one()


def test_an_image_whose_file_is_gone_ends_the_study_and_a_retry_tries_again(tmp_path: Path, url: str, events: Events) -> None:
    with waiting_study(tmp_path, url) as (node, files):
        content = files[1].read_bytes()
        files[1].unlink()
        work(node, 1)
        assert dead(node.config) == [("failed", "ImageMissing")]
        assert "is gone from the spool" in as_table(find_jobs(node.config, 10, node.clock, dead=True))
        assert find_study_row(node).done_at is None  # the others stay
        (event,) = failed(events)
        assert (event["study"], event["error"], str(event["place"])[:8]) == (derive_key(STUDY).text, "ImageMissing", "node.py:")
        with node.engine.begin() as connection:
            assert journal.take_up_forgotten(connection, node.client, 2000.0) == 0
            row = journal.find_job(connection, f"study/{STUDY}")
            assert row is not None
            assert journal.retry_job(connection, node.client, row, "cli:ann", 2000.0) is journal.Done.YES
        files[1].write_bytes(content)
        work(node, 2)
        assert dead(node.config) == []
        assert find_study_row(node).closed == 2


@pytest.mark.parametrize("is_mounted", [True, False])
def test_a_disk_that_is_away_is_waited_for(tmp_path: Path, url: str, events: Events, is_mounted: bool) -> None:
    """Its folder is empty, or gone: nobody has lost an image."""
    with waiting_study(tmp_path, url) as (node, _):
        shutil.move(node.config.spool, tmp_path / "away")
        if is_mounted:
            node.config.spool.mkdir()
        with pytest.raises(SpoolFailed):
            work(node, 1)
        assert (find_study_row(node).closed, failed(events)) == (0, [])
        shutil.rmtree(node.config.spool, ignore_errors=True)
        shutil.move(tmp_path / "away", node.config.spool)
        work(node, 1)
        assert find_study_row(node).closed == 1


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_file_that_a_rule_removed_meanwhile_is_not_missing(tmp_path: Path, url: str, events: Events, has_begun: bool) -> None:
    """And one image that is here again is not judged alone, also by a job that had waited."""
    with waiting_study(tmp_path, url) as (node, files):
        files[1].unlink()
        with node.engine.begin() as connection:
            connection.execute(instances.update().where(instances.c.file.endswith(files[1].name)).values(removed_at=5.0))
        if has_begun:  # with the list of all three
            node.fail_study(journal.StudyJob(STUDY, 1), ImageMissing())
        else:
            work(node, 1)
        assert dead(node.config) == [("failed", "ImagesHaveLeft")]
        assert [event["error"] for event in failed(events)] == ["ImagesHaveLeft"]
        for language, said in ((ENGLISH, "Send the whole study again"), (Language("fr"), "Renvoyez l'étude entière")):
            status = find_status(node.config, STUDY, 1, language)
            assert status is not None
            assert said in as_text(status)


def break_judging(node: Node) -> None:
    raise ZeroDivisionError


def test_an_error_that_nobody_expected_is_in_the_log_with_its_study_and_place(
    tmp_path: Path, url: str, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting_study(tmp_path, url) as (node, _):
        monkeypatch.setattr(node, "read_complete_series", break_judging)
        work(node, 1)
        (event,) = failed(events)
        assert (event["study"], event["error"]) == (derive_key(STUDY).text, "ZeroDivisionError")
        assert str(event["place"]).startswith("test_worker.py:")
        assert dead(node.config) == [("failed", "ZeroDivisionError")]


def test_a_study_that_wore_out_its_worker_is_in_the_log(tmp_path: Path, url: str, events: Events) -> None:
    with waiting_study(tmp_path, url) as (node, _):
        with node.engine.begin() as connection:
            table = status_table(connection)
            connection.execute(table.update().where(table.c.name == "work").values(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED"))
        node.take_up_forgotten()
        (event,) = failed(events)
        assert (event["study"], event["error"], event["place"]) == (derive_key(STUDY).text, WORN_OUT, None)
        (row,) = find_jobs(node.config, 10, node.clock, dead=True)
        assert "died each time" in row["why"]
