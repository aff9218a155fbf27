"""The durable engine (DBOS): the only module that knows it. Three kinds of jobs, each started under a key made from its inputs.

What runs twice: a step that was cut before its end was recorded. So every step writes under names derived from its inputs.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, StepOptions

from .kept import Kept

P = ParamSpec("P")
R = TypeVar("R")

# Names the shape of the workflows, not the release: every release may take every open job (dependencies.md 3.3).
_SHAPE = "wf-1"
_NAME = "dicom-node"
_LOOK, _WORK, _DELIVER = "look", "work", "deliver"
# Lower goes first; none at all would go before everything.
_ROUTINE = 20
# A job that is open each time the worker dies is taken up again this often, then it is listed as failed and blocks nobody.
_STARTS = 10

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


class Step(Protocol):
    """Runs a function once: a finished step gives its kept value, so that a restart goes on and not back."""

    def __call__(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R: ...


@dataclass(frozen=True, slots=True)
class Handlers:
    """What to do for each kind of job."""

    look: Callable[[Look], None]
    study: Callable[[StudyJob, Step], None]
    deliver: Callable[[DeliveryJob], None]


class Client:
    """Starts jobs, inside a transaction of the caller: row and job are there together or not at all."""

    def __init__(self, engine: sa.Engine, *, look_delay_s: float) -> None:
        self._client = DBOSClient(system_database_engine=engine, application_name=_NAME, serializer=DBOSPortableJSONSerializer(), lazy=True)
        self._look_delay_s = look_delay_s

    def enqueue_look(self, connection: sa.Connection, look: Look, delay_s: float | None = None) -> None:
        identity = f"{look_prefix(look.study_instance_uid, look.series_instance_uid, look.generation)}{look.number}"
        self._enqueue(connection, _LOOK, identity, asdict(look), self._look_delay_s if delay_s is None else delay_s)

    def enqueue_study(self, connection: sa.Connection, job: StudyJob) -> None:
        self._enqueue(connection, _WORK, study_identity(job.study_instance_uid, job.generation), asdict(job), 0.0)

    def enqueue_delivery(self, connection: sa.Connection, job: DeliveryJob, delay_s: float = 0.0) -> None:
        identity = f"{delivery_prefix(job.result_key, job.destination)}{job.round}-{job.attempt}"
        self._enqueue(connection, _DELIVER, identity, asdict(job), delay_s)

    def find_live(self) -> frozenset[str]:
        """The keys of all jobs that wait or run; what is in none of them and is not finished was forgotten."""
        live = self._client.list_workflows(status=["PENDING", "ENQUEUED", "DELAYED"], load_input=False, load_output=False)
        return frozenset(job.workflow_id for job in live)

    def has_worn_out(self, identity: str) -> bool:
        """Whether a job was open so many times when its worker died that it is not started again."""
        found = self._client.list_workflows(
            workflow_ids=[identity], status=["MAX_RECOVERY_ATTEMPTS_EXCEEDED"], load_input=False, load_output=False
        )
        return bool(found)

    def _enqueue(self, connection: sa.Connection, queue: str, identity: str, argument: dict[str, Any], delay_s: float) -> None:
        options: dict[str, Any] = {
            "workflow_name": queue,
            "queue_name": queue,
            "workflow_id": identity,
            "priority": _ROUTINE,
            "app_version": _SHAPE,
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(connection, cast("Any", options), argument)


def look_prefix(study_instance_uid: str, series_instance_uid: str, generation: int) -> str:
    """What the keys of all looks at a generation of a series begin with."""
    return f"look-{study_instance_uid}-{series_instance_uid}-{generation}-"


def study_identity(study_instance_uid: str, generation: int) -> str:
    """The key of a study's job."""
    return f"study-{study_instance_uid}-{generation}"


def delivery_prefix(result_key: str, destination: str) -> str:
    """What the keys of all deliveries of a result to a destination begin with."""
    return f"deliver-{result_key}-{destination}-"


class Engine:
    """Runs jobs. One per process, and one process per slot: the caller holds the slot's lock."""

    def __init__(self, engine: sa.Engine, kept: Kept, handlers: Handlers, *, slot: str) -> None:
        DBOS(
            config={
                "name": _NAME,
                "application_version": _SHAPE,
                "executor_id": slot,
                "log_level": "WARNING",
                "system_database_engine": engine,
                "serializer": DBOSPortableJSONSerializer(),
            }
        )
        _quiet_logger()
        _register(handlers, kept)

    def start(self) -> None:
        """Take up what an earlier process of this slot left open, then what waits."""
        DBOS.listen_queues([_LOOK, _WORK, _DELIVER])
        DBOS.launch()
        _quiet_logger()
        DBOS.register_queue(_LOOK, worker_concurrency=8, polling_interval_sec=0.1)
        DBOS.register_queue(_WORK, worker_concurrency=1, polling_interval_sec=0.1)
        DBOS.register_queue(_DELIVER, worker_concurrency=4, polling_interval_sec=0.1)

    def stop(self, grace_s: int) -> None:
        """Let running jobs end within the grace time; what is cut is taken up at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=grace_s, destroy_registry=True)


def _register(handlers: Handlers, kept: Kept) -> None:
    @DBOS.workflow(name=_LOOK, max_recovery_attempts=_STARTS)
    def look(argument: dict[str, Any]) -> None:
        DBOS.run_step({"name": _LOOK, **_RETRIES}, handlers.look, Look(**argument))

    @DBOS.workflow(name=_WORK, max_recovery_attempts=_STARTS)
    def work(argument: dict[str, Any]) -> None:
        handlers.study(StudyJob(**argument), cast("Step", _KeptStep(kept)))

    @DBOS.workflow(name=_DELIVER, max_recovery_attempts=_STARTS)
    def deliver(argument: dict[str, Any]) -> None:
        DBOS.run_step({"name": _DELIVER, **_RETRIES}, handlers.deliver, DeliveryJob(**argument))


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
