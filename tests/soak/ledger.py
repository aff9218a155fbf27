"""What was acknowledged against what the archive has, while the archive's folder is kept small.

The verdict over a study is that of the fault matrix (`tests.faults.outside.judge`). A study that is finished leaves the archive after
a while; what comes after that under one of its UIDs was sent again, which is allowed; anything else of it is doubled.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.faults.outside import Sending, Verdict, judge, read_object

SETTLE_S = 30.0  # a finished study stays in the archive so long: a second result of it would come by then


@dataclass(frozen=True)
class Shelf:
    """The archive's objects of one study, for `judge`, which asks an archive for its files."""

    paths: Sequence[Path]

    def files(self) -> list[Path]:
        return list(self.paths)


@dataclass
class UnderWay:
    """A study between its first image and the journal's word that nothing of it is left to do."""

    sending: Sending
    reported: threading.Event = field(default_factory=threading.Event)  # the archive has a first report
    over: threading.Event = field(default_factory=threading.Event)
    verdict: Verdict | None = None  # the last one


@dataclass
class Ledger:
    """Looks at the archive's folder again and again (`look`); `find_done` asks the journal which studies are done."""

    folder: Path
    find_done: Callable[[Sequence[str]], set[str]]
    under_way: dict[str, UnderWay] = field(default_factory=dict)
    finished: int = 0
    images: int = 0  # of finished studies
    lost: int = 0
    doubled: int = 0
    resent: int = 0
    said: list[str] = field(default_factory=list)
    _shelves: dict[str, set[Path]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _settling: dict[str, tuple[float, Sending]] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)  # names of files that were removed
    _closed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, sending: Sending) -> UnderWay:
        one = UnderWay(sending)
        with self._lock:
            self.under_way[sending.study_instance_uid] = one
        return one

    def look(self, now: float | None = None) -> None:
        """File what is new in the archive, judge what may be finished, and remove what has settled."""
        now = monotonic() if now is None else now
        self._file_new()
        with self._lock:
            under_way = dict(self.under_way)
        whole = [uid for uid, one in under_way.items() if self._is_there(uid, one)]
        for uid in self.find_done(whole) if whole else ():
            verdict = under_way[uid].verdict
            assert verdict is not None
            self._finish(uid, under_way[uid].sending, verdict, now)
            under_way[uid].over.set()
        for uid, (since, sending) in list(self._settling.items()):
            if now - since >= SETTLE_S:
                self._settle(uid, sending)

    def close(self) -> None:
        """At the end: what is still under way is judged as it is, what settles is looked at once more."""
        self._file_new()
        for uid, one in list(self.under_way.items()):
            verdict = self._judge(one.sending)
            self.said.append(f"{uid} is not finished: {verdict}")
            # What was acknowledged and has come to nothing is lost, whatever may still have come of it.
            self._count(uid, verdict, max(verdict.lost, len(one.sending.acknowledged) if not verdict.is_finished else 0))
            del self.under_way[uid]
        for uid, (_, sending) in list(self._settling.items()):
            self._settle(uid, sending)

    def _is_there(self, uid: str, one: UnderWay) -> bool:
        kinds = [read_object(path).modality for path in self._shelves.get(uid, ())]
        if "SR" in kinds:
            one.reported.set()
        if not (one.sending.is_sent and "SR" in kinds):
            return False
        one.verdict = self._judge(one.sending)
        return one.verdict.is_finished

    def _file_new(self) -> None:
        with os.scandir(self.folder) as entries:
            new = [entry.name for entry in entries if entry.name.endswith(".dcm") and entry.name not in self._seen]
        for name in new:
            path = self.folder / name
            if name in self._gone:
                self.resent += 1
                path.unlink()
                continue
            study = read_object(path).study_instance_uid
            if study in self._closed:
                self.doubled += 1
                self.said.append(f"{study}: {read_object(path).modality} came after everything of it")
                path.unlink()
                continue
            self._seen.add(name)
            self._shelves.setdefault(study, set()).add(path)

    def _finish(self, uid: str, sending: Sending, verdict: Verdict, now: float) -> None:
        with self._lock:
            del self.under_way[uid]
        self._settling[uid] = (now, sending)
        self.finished += 1
        self.images += len(sending.acknowledged)

    def _settle(self, uid: str, sending: Sending) -> None:
        verdict = self._judge(sending)
        self._count(uid, verdict, verdict.lost)
        for path in self._shelves.pop(uid, set()):
            self._seen.discard(path.name)
            self._gone.add(path.name)
            path.unlink()
        self._settling.pop(uid, None)
        self._closed.add(uid)

    def _count(self, uid: str, verdict: Verdict, lost: int) -> None:
        self.lost += lost
        self.doubled += verdict.doubled
        if lost or verdict.doubled:
            self.said.append(f"{uid}: {verdict}")

    def _judge(self, sending: Sending) -> Verdict:
        return judge(sending, Shelf(sorted(self._shelves.get(sending.study_instance_uid, ()))))  # type: ignore[arg-type]
