"""Workers are told of jobs that another process has made ready; who is not told finds them later."""

import functools
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node import journal
from dicom_node.clock import SystemClock
from dicom_node.journal import Handlers, Look, Queue, engine
from dicom_node.roles import bell
from tests.journal.conftest import receipt, url
from tests.peers.waiting import wait_until

__all__ = ["url"]  # a fixture: an empty database of each kind

_LIMIT_S, _LONG_S = 20.0, 3600.0


class Heard:
    """What a worker hears."""

    def __init__(self) -> None:
        self.queues: list[Queue] = []

    def wait_for(self, *queues: Queue) -> None:
        wait_until(lambda: set(self.queues) == set(queues), limit_s=_LIMIT_S, what=lambda: f"heard {self.queues}")


def test_every_worker_hears_every_queue_but_the_one_that_knows(tmp_path: Path) -> None:
    workers = [Heard(), Heard()]
    for slot, heard in enumerate(workers):
        assert bell.listen(tmp_path, slot, heard.queues.append)
    for queue in Queue:
        bell.ring(tmp_path, queue)
    for heard in workers:
        heard.wait_for(*Queue)
        heard.queues.clear()
    bell.ring(tmp_path, Queue.WORK, but=1)
    workers[0].wait_for(Queue.WORK)
    bell.ring(tmp_path, Queue.ASK)
    workers[1].wait_for(Queue.ASK)  # and not what was rung before it


def test_a_bell_that_nobody_hears_holds_up_nobody(tmp_path: Path) -> None:
    bell.ring(tmp_path / "absent", Queue.LOOK)
    bell.ring(tmp_path, Queue.LOOK)
    os.mkfifo(tmp_path / "bell-0")  # of a worker that has ended
    bell.ring(tmp_path, Queue.LOOK)
    heard = Heard()
    assert bell.listen(tmp_path, 0, heard.queues.append)  # of the next one under its name
    bell.ring(tmp_path, Queue.LOOK)
    heard.wait_for(Queue.LOOK)


def test_a_worker_that_does_not_listen_now_is_not_waited_for(tmp_path: Path) -> None:
    is_busy = threading.Event()
    heard = Heard()

    def hear(queue: Queue) -> None:
        heard.queues.append(queue)
        is_busy.wait()

    assert bell.listen(tmp_path, 0, hear)
    bell.ring(tmp_path, Queue.LOOK)
    heard.wait_for(Queue.LOOK)
    for _ in range(70_000):  # more than a pipe holds
        bell.ring(tmp_path, Queue.WORK)
    is_busy.set()
    heard.wait_for(Queue.LOOK, Queue.WORK)


@pytest.mark.parametrize("other", ["file", "link"])
def test_what_is_no_bell_is_left_alone(tmp_path: Path, other: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("as it was")
    if other == "file":
        mine.rename(tmp_path / "bell-0")
        mine = tmp_path / "bell-0"
    else:
        (tmp_path / "bell-0").symlink_to(mine)
    assert not bell.listen(tmp_path, 0, lambda _: None)
    bell.ring(tmp_path, Queue.LOOK)
    assert mine.read_text() == "as it was"


def test_a_folder_that_takes_no_pipes_is_no_failure() -> None:
    """As some network and object stores mounted as folders; here the kernel's own."""
    assert not bell.listen(Path("/proc/self"), 0, lambda _: None)
    bell.ring(Path("/proc/self"), Queue.LOOK)


def test_a_bell_is_the_nodes_own(tmp_path: Path) -> None:
    assert bell.listen(tmp_path, 3, lambda _: None)
    mode = (tmp_path / "bell-3").stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o600


@contextmanager
def running(folder: Path, url: str, look: object) -> Iterator[tuple[journal.SqlEngine, journal.Engine]]:
    database = journal.open_engine(url)
    handlers = Handlers(look=look, study=lambda *_: None, deliver=lambda _: None, prove=lambda _: None)  # type: ignore[arg-type]
    runner = journal.Engine(database, journal.Kept(folder / "kept"), handlers, name="worker-0")
    runner.start()
    try:
        yield database, runner
    finally:
        runner.stop()
        database.dispose()


def test_the_end_of_an_association_is_heard_and_not_only_found(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of looks is asked once an hour here: what is not heard does not come."""
    monkeypatch.setattr(engine, "_LOOK_POLL_S", _LONG_S)
    journal.migrate(url)
    looked: list[Look] = []
    with running(tmp_path, url, looked.append) as (database, runner):
        asked = threading.Event()
        assert bell.listen(tmp_path, 0, lambda queue: (runner.wake(queue), asked.set())[0])
        wait_until(lambda: _is_listening("queue-worker-look"), limit_s=_LIMIT_S, what="nobody asks the queue of looks")
        client = journal.Client(database, look_delay_s=_LONG_S)
        ring = functools.partial(bell.ring, tmp_path)
        with journal.open_receipts(database, client, SystemClock(), tell=ring) as receipts:
            for number in range(3):
                receipts.commit(receipt(number))
            receipts.association_ended("a:1", is_broken=False)
            wait_until(lambda: looked, limit_s=_LIMIT_S, what="the look did not come")
            assert looked == [Look("1.2", "1.2.3", 0, 0)]
            asked.clear()
            receipts.association_ended("a:2", is_broken=False)  # it fed nothing: there is nothing to be told
            assert not asked.wait(0.3)


def _is_listening(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())
