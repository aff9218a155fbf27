"""The durable engine (DBOS): the only module that knows it. Four kinds of jobs, each started under a key made from its inputs.

What runs twice: a step that was cut before its end was recorded. So every step writes under names derived from its inputs.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, StepOptions

from dicom_node.clock import Clock, SystemClock
from dicom_node.values import Priority

from .kept import Kept
from .store import note_clock

P = ParamSpec("P")
R = TypeVar("R")

# Names the shape of the workflows, not the release: every release may take every open job (dependencies.md 3.3).
_SHAPE = "wf-1"
_NAME = "dicom-node"
# Kinds of jobs; looks and studies wait in a queue of that name. A queue of its own for each destination's deliveries and proofs would
# cost a thread that asks the database; a partition of one queue does not, and a destination that is slow holds up itself alone.
_LOOK, _WORK, _DELIVER, _PROVE = "look", "work", "deliver", "prove"
_SEND, _ASK = "send", "ask"


class Queue(StrEnum):
    """A queue that may be looked into before its interval is over; the first letters differ."""

    LOOK = _LOOK
    WORK = _WORK
    SEND = _SEND
    ASK = _ASK


# How many of a kind run at once in a worker: studies one by one, as there is one device; a destination gets few associations at a time.
_LOOKS, _PER_DESTINATION, _SENDINGS = 8, 2, 12
# How often a queue looks for jobs, each time for 2.5 ms of CPU, where no call is heard: what makes a job ready calls its queue (`Wake`).
# Looks are brought forward by receivers, which may be on another machine.
_LOOK_POLL_S, _POLL_S = 0.1, 0.5
# A job that is open each time the worker dies is taken up again this often, then it is listed as failed and blocks nobody.
_STARTS, _STUDY_STARTS = 20, 6
_THREAD = "queue-worker-{}"  # the name that the library gives to the thread of a queue
_BEHIND_DIGITS = "a"  # in the order of keys, whatever the database's locale: some put signs before digits
# In so many looks in succession a job has to be under way in the table and not in the process before it counts as dropped.
_MISSED_LOOKS = 3

# A look or a delivery that broke for a reason nobody expected (a locked database, a full disk) is tried again like this; what a
# peer answers is no exception, and its retries are jobs of their own.
_RETRIES: StepOptions = {"retries_allowed": True, "max_attempts": 6, "interval_seconds": 1.0, "backoff_rate": 3.0}


@dataclass(frozen=True, slots=True)
class Look:
    """Is this series complete? `generation` counts reopenings, `number` the looks of this generation."""

    study_instance_uid: str
    series_instance_uid: str
    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class StudyJob:
    """Judge and analyse what is complete of a study."""

    study_instance_uid: str
    generation: int


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Send the objects of a result that a destination has not acknowledged.

    `attempt` counts from 0; `round` tells a delivery that was taken up again from the first one.
    """

    result_key: str
    destination: str
    attempt: int
    round: int = 0


@dataclass(frozen=True, slots=True)
class ProofJob:
    """Ask a destination whether it holds the objects of a result that it acknowledged; counted as deliveries are."""

    result_key: str
    destination: str
    attempt: int
    round: int = 0


class Step(Protocol):
    """Runs a function once: a finished step gives its kept value, so that a restart goes on and not back."""

    def __call__(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R: ...


@dataclass(frozen=True, slots=True)
class Handlers:
    """What to do for each kind of job."""

    look: Callable[[Look], None]
    study: Callable[[StudyJob, Step], None]
    deliver: Callable[[DeliveryJob], None]
    prove: Callable[[ProofJob], None]


class Client:
    """Starts jobs, inside a transaction of the caller: row and job are there together or not at all."""

    def __init__(self, engine: sa.Engine, *, look_delay_s: float) -> None:
        self._client = DBOSClient(system_database_engine=engine, application_name=_NAME, serializer=DBOSPortableJSONSerializer(), lazy=True)
        self._look_delay_s = look_delay_s

    def enqueue_look(self, connection: sa.Connection, look: Look, delay_s: float | None = None) -> None:
        identity = f"{look_prefix(look.study_instance_uid, look.series_instance_uid, look.generation)}{look.number}"
        delay_s = self._look_delay_s if delay_s is None else delay_s
        self._enqueue(connection, _LOOK, _LOOK, identity, asdict(look), Priority.ROUTINE, delay_s)

    def enqueue_study(self, connection: sa.Connection, job: StudyJob, priority: Priority) -> None:
        self._enqueue(connection, _WORK, _WORK, study_identity(job.study_instance_uid, job.generation), asdict(job), priority)

    def enqueue_delivery(self, connection: sa.Connection, job: DeliveryJob, priority: Priority, delay_s: float = 0.0) -> None:
        identity = f"{delivery_prefix(job.result_key, job.destination)}{job.round}-{job.attempt}"
        self._enqueue(connection, _DELIVER, _SEND, identity, asdict(job), priority, delay_s, job.destination)

    def enqueue_proof(self, connection: sa.Connection, job: ProofJob, priority: Priority, delay_s: float = 0.0) -> None:
        identity = f"{proof_prefix(job.result_key, job.destination)}{job.round}-{job.attempt}"
        self._enqueue(connection, _PROVE, _ASK, identity, asdict(job), priority, delay_s, job.destination)

    def cancel(self, connection: sa.Connection, identity: str) -> None:
        """Let a job that waits never run; one that runs ends by itself, and its outcome is the journal's business."""
        table = status_table(connection)
        waits = table.c.status.in_(("ENQUEUED", "DELAYED"))
        cancelled = table.update().where(table.c.workflow_uuid == identity, waits)
        connection.execute(cancelled.values(status="CANCELLED", queue_name=None))

    def hasten(self, connection: sa.Connection, identity: str) -> bool:
        """Let a delayed job start now; whether there was one."""
        table = status_table(connection)
        return _release(connection, table, table.c.workflow_uuid == identity)

    def hasten_looks(self, connection: sa.Connection, study_instance_uid: str, series_instance_uid: str) -> bool:
        """Let the delayed look at a series come now; whether there was one."""
        table = status_table(connection)
        return _release(connection, table, begins_with(table.c.workflow_uuid, looks_prefix(study_instance_uid, series_instance_uid)))

    def remove_finished(self, before: str, limit: int) -> int:
        """Forget jobs that ended before a date (ISO 8601); what came of them stands in the journal's own rows. Gives how many."""
        found = self._client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"], completed_before=before, limit=limit, load_input=False, load_output=False
        )
        if found:
            self._client.delete_workflows([job.workflow_id for job in found])
        return len(found)

    def _enqueue(
        self,
        connection: sa.Connection,
        kind: str,
        queue: str,
        identity: str,
        argument: dict[str, Any],
        priority: Priority,
        delay_s: float = 0.0,
        partition: str | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "workflow_name": kind,
            "queue_name": queue,
            "workflow_id": identity,
            "priority": int(priority),  # none at all would go before everything
            "app_version": _SHAPE,
        }
        if partition is not None:
            options["queue_partition_key"] = partition
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(connection, cast("Any", options), argument)
        if delay_s > 0 and connection.dialect.name == "postgresql":
            # The engine counts by this machine's clock; another machine's may differ by an hour.
            table = status_table(connection)
            delayed = table.update().where(table.c.workflow_uuid == identity, table.c.status == "DELAYED")
            connection.execute(delayed.values(delay_until_epoch_ms=_server_ms() + round(1000 * delay_s)))


def looks_prefix(study_instance_uid: str, series_instance_uid: str) -> str:
    """What the keys of all looks at a series begin with."""
    return f"look-{study_instance_uid}-{series_instance_uid}-"


def look_prefix(study_instance_uid: str, series_instance_uid: str, generation: int) -> str:
    """What the keys of all looks at a generation of a series begin with."""
    return f"{looks_prefix(study_instance_uid, series_instance_uid)}{generation}-"


def study_prefix(study_instance_uid: str) -> str:
    """What the keys of all jobs of a study begin with."""
    return f"study-{study_instance_uid}-"


def study_identity(study_instance_uid: str, generation: int) -> str:
    """The key of a study's job."""
    return f"{study_prefix(study_instance_uid)}{generation}"


def delivery_prefix(result_key: str, destination: str) -> str:
    """What the keys of all deliveries of a result to a destination begin with."""
    return f"deliver-{result_key}-{destination}-"


def proof_prefix(result_key: str, destination: str) -> str:
    """What the keys of all proofs of a result at a destination begin with."""
    return f"prove-{result_key}-{destination}-"


def status_table(connection: sa.Connection) -> sa.Table:
    """The engine's table of jobs, in the schema that it has on this database; a test pins its columns."""
    schema = "dbos" if connection.dialect.name == "postgresql" else None
    names = ("workflow_uuid", "status", "name", "executor_id", "queue_name", "application_version", "priority", "recovery_attempts")
    times = ("created_at", "started_at_epoch_ms", "delay_until_epoch_ms", "completed_at")
    return sa.table("workflow_status", *(sa.column(name) for name in (*names, *times)), schema=schema)  # type: ignore[return-value]


def steps_table(connection: sa.Connection) -> sa.Table:
    """The engine's table of finished steps; a test pins its columns."""
    schema = "dbos" if connection.dialect.name == "postgresql" else None
    names = ("workflow_uuid", "function_id", "function_name", "started_at_epoch_ms", "completed_at_epoch_ms")
    return sa.table("operation_outputs", *(sa.column(name) for name in names), schema=schema)  # type: ignore[return-value]


# As the engine's own partial indexes have it, word by word and without parameters: else the database reads all finished jobs too.
_IS_IN_FLIGHT, _IS_PENDING = sa.text("status IN ('ENQUEUED', 'PENDING')"), sa.text("status = 'PENDING'")
_IS_DELAYED = sa.text("status = 'DELAYED'")
_LIVE = (_IS_IN_FLIGHT, _IS_DELAYED)


@dataclass(frozen=True, slots=True)
class Alive:
    """The jobs that wait or run, by what they are about: their keys up to the number of the try. What is in none was forgotten."""

    by_subject: Mapping[str, tuple[str, ...]]  # those that wait
    running: frozenset[str]

    def is_running(self, subjects: Iterable[str]) -> bool:
        return not self.running.isdisjoint(subjects)

    def is_there(self, subject: str) -> bool:
        return subject in self.running or subject in self.by_subject

    def waiting(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """The keys of jobs that wait in a queue, or for their time."""
        return tuple(key for subject in subjects for key in self.by_subject.get(subject, ()))


def find_alive(connection: sa.Connection) -> Alive:
    """What waits and what runs now, in all workers; costs nothing for what is finished."""
    table = status_table(connection)
    columns = (table.c.workflow_uuid, table.c.name, table.c.status)
    running: set[str] = set()
    waiting: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(sa.union_all(*(sa.select(*columns).where(is_so) for is_so in _LIVE))):
        subject = _subject(row.workflow_uuid, row.name)
        if row.status == "PENDING":
            running.add(subject)
        else:
            waiting[subject] = (*waiting.get(subject, ()), row.workflow_uuid)
    return Alive(waiting, frozenset(running))


def has_worn_out(connection: sa.Connection, identity: str) -> bool:
    """Whether a job was open so many times when its worker died that it is not started again."""
    table = status_table(connection)
    worn = sa.select(table.c.status).where(table.c.workflow_uuid == identity, table.c.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
    return connection.execute(worn).first() is not None


def find_executors(connection: sa.Connection) -> frozenset[str]:
    """The names of all workers that have jobs under way, living or dead."""
    table = status_table(connection)
    under_way = sa.select(table.c.executor_id).where(_IS_PENDING, table.c.application_version == _SHAPE).distinct()
    return frozenset(connection.execute(under_way).scalars()) - {None}


def release_due(connection: sa.Connection) -> None:
    """PostgreSQL: let the jobs start whose delay is over by the server's clock, whatever this machine's says."""
    table = status_table(connection)
    due = table.update().where(_IS_DELAYED, table.c.delay_until_epoch_ms <= _server_ms())
    connection.execute(due.values(status="ENQUEUED"))


def begins_with(key: sa.ColumnElement[str], begin: str) -> sa.ColumnElement[bool]:
    """Whether a key has a beginning behind which a number follows; by the keys' order, so that not all are read."""
    return sa.and_(key.between(begin, begin + _BEHIND_DIGITS), key.startswith(begin, autoescape=True))


def _release(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> bool:
    """Put delayed jobs into their queues; the engine itself would look for them once a second."""
    delayed = table.update().where(where, table.c.status == "DELAYED")
    return bool(connection.execute(delayed.values(status="ENQUEUED", delay_until_epoch_ms=0)).rowcount)


def _server_ms() -> sa.ColumnElement[int]:
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)


def shift_delays(connection: sa.Connection, seconds: float) -> None:
    """Let delayed jobs wait as long as they would have, after the machine's clock was set by so many seconds."""
    table = status_table(connection)
    moved = table.c.delay_until_epoch_ms + round(1000 * seconds)
    connection.execute(table.update().where(_IS_DELAYED).values(delay_until_epoch_ms=moved))


def follow_clock(connection: sa.Connection, clock: Clock) -> float:
    """By how much this machine's clock was set since this was asked last, in seconds; delays are moved with one that was set back.

    Set forward, all delays are over: each job looks for itself whether it is time. Set back, they would last longer. SQLite alone: on
    PostgreSQL `release_due` goes by the server's clock.
    """
    set_s = note_clock(connection, clock)
    if set_s < 0:
        shift_delays(connection, set_s)
    return set_s


def oldest_live_at(connection: sa.Connection) -> float | None:
    """When the oldest job that is not finished was started, in seconds since the epoch; None where all are."""
    table = status_table(connection)
    oldest = [connection.execute(sa.select(sa.func.min(table.c.created_at)).where(is_so)).scalar_one() for is_so in _LIVE]
    return min((at / 1000.0 for at in oldest if at is not None), default=None)


def _subject(identity: str, kind: str) -> str:
    """A job's key without what counts its tries."""
    counted = {_LOOK: 1, _DELIVER: 2, _PROVE: 2}.get(kind, 0)
    return identity.rsplit("-", counted)[0] + "-" if counted else identity


class Engine:
    """Runs jobs. One per process, under a name that the caller holds (`alive.hold_name`)."""

    def __init__(
        self, engine: sa.Engine, kept: Kept, handlers: Handlers, *, name: str, tell: Callable[[Queue], None] = lambda _: None
    ) -> None:
        """`tell` says to the other workers that there may be a job in a queue, which this one knows."""
        self._engine, self._name, self._tell = engine, name, tell
        self._wake = Wake()
        self._missed: dict[tuple[str, int], int] = {}
        self._dbos = DBOS(
            config={
                "name": _NAME,
                "application_version": _SHAPE,
                "executor_id": name,
                "log_level": "WARNING",
                "system_database_engine": engine,
                "serializer": DBOSPortableJSONSerializer(),
            }
        )
        _quiet_logger()
        _register(handlers, kept, self._call)

    def wake(self, queue: Queue) -> None:
        """Look into a queue now: somebody says that there may be a job."""
        self._wake(queue)

    def _call(self, queue: Queue) -> None:
        self._wake(queue)
        self._tell(queue)

    def start(self) -> None:
        """Take up what an earlier process of this name left open, then what waits."""
        DBOS.listen_queues([_LOOK, _WORK, _DELIVER, _SEND, _ASK])
        DBOS.launch()
        _quiet_logger()
        self._wake.watch(self._dbos.background_thread_stop_events)
        DBOS.register_queue(_LOOK, worker_concurrency=_LOOKS, polling_interval_sec=_LOOK_POLL_S)
        DBOS.register_queue(_WORK, worker_concurrency=1, polling_interval_sec=_POLL_S)
        for queue in (_SEND, _ASK):
            DBOS.register_queue(
                queue, worker_concurrency=_SENDINGS, partition_worker_concurrency=_PER_DESTINATION, polling_interval_sec=_POLL_S
            )
        DBOS.register_queue(_DELIVER, worker_concurrency=4, polling_interval_sec=5.0)  # where the first version queued deliveries

    def take_over(self, name: str) -> None:
        """Put the jobs of a worker that is dead back into their queues; the caller holds its name, so that nobody else does."""
        DBOS._recover_pending_workflows([name])

    def take_up_dropped(self) -> int:
        """Queue again what the table says runs here and does not: its end could not be written (a full disk); gives how many.

        A job that is just being started or ended looks like that for a moment, so it has to be found in several looks in succession.
        """
        with self._engine.begin() as connection:
            table = status_table(connection)
            here = sa.select(table.c.workflow_uuid, table.c.started_at_epoch_ms).where(_IS_PENDING, table.c.executor_id == self._name)
            found = {(row.workflow_uuid, row.started_at_epoch_ms) for row in connection.execute(here)}
        running = set(self._dbos._active_workflows_set.activeList())
        self._missed = {job: self._missed.get(job, 0) + 1 for job in found if job[0] not in running}
        dropped = [identity for (identity, _), looks in self._missed.items() if looks >= _MISSED_LOOKS]
        return sum(self._dbos._sys_db.reenqueue_for_recovery(identity, [self._name], _WORK) for identity in dropped)

    def settle(self, grace_s: float) -> None:
        """Begin no more jobs, and let running ones end within the grace time; what is cut by the end of the process is taken up at the
        next start. (The library's own end looks once a second, and waits a second more for threads that have nothing to lose.)

        A job has ended when the table says so: the library counts it as ended shortly before.
        """
        for event in self._dbos.background_thread_stop_events:
            event.set()
        clock = SystemClock()
        end = clock.monotonic() + grace_s
        while self._is_busy() and clock.monotonic() < end:
            clock.wait(0.05)

    def _is_busy(self) -> bool:
        """Whether a queue may still begin a job, or one runs."""
        queues = _THREAD.format("")
        if any(one.name.startswith(queues) for one in threading.enumerate()) or self._dbos._active_workflows_set.activeList():
            return True
        try:
            with self._engine.begin() as connection:
                table = status_table(connection)
                here = sa.select(table.c.workflow_uuid).where(_IS_PENDING, table.c.executor_id == self._name)
                return connection.execute(here.limit(1)).first() is not None
        except sa.exc.SQLAlchemyError:  # away: nobody can write the end of anything
            return False

    def stop(self) -> None:
        """End at once, and leave a process that goes on without an engine."""
        DBOS.destroy(destroy_registry=True)


def _register(handlers: Handlers, kept: Kept, wake: Callable[[Queue], None]) -> None:
    """What a job ends with may be the beginning of another one, which is looked for at once then."""

    @DBOS.workflow(name=_LOOK, max_recovery_attempts=_STARTS)
    def look(argument: dict[str, Any]) -> None:
        DBOS.run_step({"name": _LOOK, **_RETRIES}, handlers.look, Look(**argument))
        wake(Queue.WORK)

    @DBOS.workflow(name=_WORK, max_recovery_attempts=_STUDY_STARTS)
    def work(argument: dict[str, Any]) -> None:
        handlers.study(StudyJob(**argument), cast("Step", _KeptStep(kept)))
        wake(Queue.SEND)

    @DBOS.workflow(name=_DELIVER, max_recovery_attempts=_STARTS)
    def deliver(argument: dict[str, Any]) -> None:
        DBOS.run_step({"name": _DELIVER, **_RETRIES}, handlers.deliver, DeliveryJob(**argument))
        wake(Queue.ASK)

    @DBOS.workflow(name=_PROVE, max_recovery_attempts=_STARTS)
    def prove(argument: dict[str, Any]) -> None:
        DBOS.run_step({"name": _PROVE, **_RETRIES}, handlers.prove, ProofJob(**argument))


class Wake:
    """Makes a queue of the engine look for jobs now and not only when its interval is over.

    The library's threads wait on events that say when they are to end. These get a wait that returns when it is called, too.
    """

    def __init__(self) -> None:
        self._events: list[_WakingEvent] = []

    def watch(self, events: Iterable[threading.Event]) -> None:
        """Take charge of the events that an engine has started its threads with."""
        for event in events:
            vars(event).update(called=threading.Condition(), calls={}, heard={})
            event.__class__ = _WakingEvent  # they are waited on already, so that no other objects can take their place
            self._events.append(cast("_WakingEvent", event))

    def __call__(self, queue: str) -> None:
        for event in self._events:
            event.call(_THREAD.format(queue))


class _WakingEvent(threading.Event):
    """An event on which a thread's waits end early, with False, when it is called by its name. A call that comes between two waits ends
    the second one.

    These waits have a condition of their own: one that began before the event was taken charge of takes every notice for the end.
    """

    called: threading.Condition
    calls: dict[str, int]
    heard: dict[str, int]  # how many of its calls a thread has seen

    def call(self, name: str) -> None:
        with self.called:
            self.calls[name] = self.calls.get(name, 0) + 1
            self.called.notify_all()

    def set(self) -> None:
        super().set()
        with self.called:
            self.called.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        me = threading.current_thread().name
        with self.called:
            before = self.heard.get(me, 0)
            self.called.wait_for(lambda: self.is_set() or self.calls.get(me, 0) != before, timeout)
            self.heard[me] = self.calls.get(me, 0)
            return self.is_set()


class _KeptStep:
    """A step whose value lies in a file of `kept`; the engine's own table holds the file's name."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def __call__(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def run() -> str:
            return self._kept.write_value(function(*arguments, **named))

        return self._kept.read_value(DBOS.run_step({"name": function.__name__}, run))


def _quiet_logger() -> None:
    """The engine's logger brings a handler of its own, which prints an advertisement; its lines go our way instead."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
