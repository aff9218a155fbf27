"""What the worker does by itself once in a while: images, results and records leave when their time is over (config `retention`)."""

import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dicom_node import journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import NodeError
from dicom_node.journal import retention
from dicom_node.log import ImagesRemoved, RoleName, log, log_broken
from dicom_node.values import derive_key
from dicom_node.values.records import DeliveryRecord, FetchedRecord, ResultRecord

_STUDIES_AT_ONCE = 200  # in one turn, so that a turn ends
_JOBS_AT_ONCE = 1000
_PAUSE_S = 0.02  # at least, between two transactions
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_PARTS = 256  # of the folder with what is kept, by the first two hexadecimal digits of a name
_ROUNDS = 24  # all parts have had their turn so often within `jobs_h`: what is cleared stays little longer than it should


class Retention:
    """One turn after the other; each costs the same however much is known."""

    def __init__(
        self, config: Config, engine: journal.SqlEngine, client: journal.Client, images: spool.Spool, kept: journal.Kept, clock: Clock
    ) -> None:
        self._config, self._engine, self._client, self._images, self._kept, self._clock = config, engine, client, images, kept, clock
        self._rules = config.node.retention
        self._part, self._cleared_at = 0, clock.monotonic()

    def take_turn(self) -> None:
        """Remove what is due. What fails is logged, and holds up nothing else."""
        with self._engine.begin() as connection:
            if not retention.has_turn(connection):
                return
            now = journal.now(connection, self._clock)
        for part in (self._remove_done, self._remove_undone, self._remove_results, self._remove_records):
            _try(functools.partial(part, now))
        # These two compare with times that the engine and the disk have from the machine's clock.
        _try(functools.partial(self._clear_engine, self._clock.now()))
        _try(functools.partial(self._clear_kept, self._clock.now()))

    def _remove_done(self, now: float) -> None:
        after_s = self._rules.images_after_h * _HOUR_S
        for study in self._find(retention.find_done, now, after_s):
            _try(functools.partial(self._remove_images, study, now, must_be_done=True))

    def _remove_undone(self, now: float) -> None:
        after_s = self._rules.images_at_most_days * _DAY_S
        for study in self._find(retention.find_undone, now, after_s):
            _try(functools.partial(self._remove_images, study, now, must_be_done=False))

    def _find(self, find: Callable[[journal.Connection, float, int], Sequence[str]], now: float, after_s: float) -> Sequence[str]:
        """The studies whose time, 0 for never, is over."""
        if not after_s:
            return ()
        with self._engine.begin() as connection:
            return find(connection, now - after_s, _STUDIES_AT_ONCE)

    def _remove_images(self, study: str, now: float, *, must_be_done: bool) -> None:
        with self._transaction() as connection:
            if not retention.mark_images(connection, study, now, must_be_done=must_be_done):
                return
        removed, gone = 0, 1
        while gone:
            with self._transaction() as connection:
                gone = retention.remove_images(connection, study, self._images.remove, now)
                is_finished = retention.finish_images(connection, study, self._images.remove_file, now)
            removed += gone
            if is_finished:
                log(ImagesRemoved(derive_key(study), removed))
                return

    def _remove_results(self, now: float) -> None:
        after_s = self._rules.results_days * _DAY_S
        for study in self._find(functools.partial(retention.find_removed, with_results=True), now, after_s):
            _try(functools.partial(self._forget_results, study, now - after_s, now))

    def _forget_results(self, study: str, before: float, now: float) -> None:
        with self._transaction() as connection:
            retention.forget_results(connection, study, self._kept.remove, before, now)

    def _remove_records(self, now: float) -> None:
        after_s = self._rules.records_days * _DAY_S
        for study in self._find(functools.partial(retention.find_removed, with_results=False), now, after_s):
            _try(functools.partial(self._forget_study, study, now - after_s, now))

    def _forget_study(self, study: str, before: float, now: float) -> None:
        with self._transaction() as connection:
            retention.forget_study(connection, study, self._kept.remove, self._kept.remove_record, before, now)

    @contextmanager
    def _transaction(self) -> Iterator[journal.Connection]:
        """A transaction that removes, and then as long, at least a while, for everyone else: SQLite's lock goes to whoever asks first,
        and who waits asks seldom, so that one transaction after the other kept receipts waiting for as long as a turn took."""
        with self._engine.begin() as connection:
            journal.begin_writing(connection)
            began = self._clock.monotonic()
            yield connection
        self._clock.wait(max(self._clock.monotonic() - began, _PAUSE_S))

    def _clear_engine(self, now: float) -> None:
        """The engine's rows of jobs that ended; what came of them stands in the journal's own."""
        before = datetime.datetime.fromtimestamp(now - self._rules.jobs_h * _HOUR_S, datetime.UTC).isoformat()
        self._client.remove_finished(before, _JOBS_AT_ONCE)

    def _clear_kept(self, now: float) -> None:
        """Values of steps that nobody goes on from any more: of some of the folder's parts in each turn, however many turns there are."""
        at = self._clock.monotonic()
        due = int(_PARTS * (at - self._cleared_at) / (self._rules.jobs_h * _HOUR_S / _ROUNDS))
        self._cleared_at = at
        for _ in range(min(max(due, 1), _PARTS)):
            shard, self._part = f"{self._part:02x}", (self._part + 1) % _PARTS
            self._clear_part(shard, now)

    def _clear_part(self, shard: str, now: float) -> None:
        """Not where a record is found that the journal does not know: it was lost, and is to be made again from what is kept."""
        record = self._kept.find_record(shard)
        with self._engine.begin() as connection:
            oldest = journal.oldest_live_at(connection)
            if isinstance(record, ResultRecord | DeliveryRecord | FetchedRecord) and not journal.is_known(connection, record):
                return
        before = min(now - self._rules.jobs_h * _HOUR_S, now if oldest is None else oldest)
        old = self._kept.find_values(shard, before)
        if not old:
            return
        with self._engine.begin() as connection:
            named = retention.find_named(connection, old)
        for name in old:
            if name not in named:
                self._kept.remove(name)


def _try(part: Callable[[], None]) -> None:
    """One study that cannot be removed now must not keep all others here."""
    try:
        part()
    except (NodeError, OSError, journal.SqlError) as error:
        log_broken(RoleName.WORKER, error)
