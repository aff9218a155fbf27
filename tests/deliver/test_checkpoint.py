"""An answer is never taken by pynetdicom's own thread of an association, however late that thread runs."""

import threading
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.association import Association

from dicom_node.deliver import ask_echo, ask_held
from dicom_node.deliver.association import Line
from dicom_node.deliver.checkpoint import Checkpoint
from dicom_node.values import Held, PeerName
from tests.deliver.objects import LIMITS, acknowledged, peer_at, write_result
from tests.peers.archive import Archive

PACS = PeerName("pacs")


_NEVER = threading.Event()


class _Late(Association):
    """pynetdicom's association on a machine that holds threads up: its own between waking and taking a message, and later the asker."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        take = self.dimse.get_msg

        def take_late(*, block: bool = False) -> Any:
            if block:
                _NEVER.wait(0.2)
            return take(block=block)

        self.dimse.get_msg = take_late  # type: ignore[method-assign]

    @property
    def _is_paused(self) -> bool:
        return bool(self.__dict__.get("_is_paused"))

    @_is_paused.setter
    def _is_paused(self, is_paused: bool) -> None:
        if not is_paused and threading.current_thread() is self:
            _NEVER.wait(0.1)
        self.__dict__["_is_paused"] = is_paused


def test_an_answer_reaches_who_asked_though_the_associations_thread_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pynetdicom.ae.Association", _Late)
    objects = acknowledged(write_result(tmp_path / "result"))
    with Archive(tmp_path / "archive") as archive:
        ask_echo(PACS, peer_at(archive.port), "NODE", LIMITS)
        line = Line(PACS, peer_at(archive.port), "NODE", LIMITS)
        assert [one.held for one in ask_held(line, objects)] == [Held.NO, Held.NO]


def test_a_checkpoint_closes_when_the_thread_stands_still_or_has_ended() -> None:
    taken = []
    opened = threading.Semaphore(0)

    def run() -> None:
        for number in range(3):
            checkpoint.wait()
            taken.append(number)
            opened.release()

    thread = threading.Thread(target=run)
    checkpoint = Checkpoint(thread)
    checkpoint.clear()  # not begun: nothing to wait for
    thread.start()
    checkpoint.clear()
    assert taken == []
    checkpoint.set()
    opened.acquire()
    thread.join()
    checkpoint.clear()
    assert taken == [0, 1, 2]
    assert not checkpoint.is_set()
