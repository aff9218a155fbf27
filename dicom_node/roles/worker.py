"""Runs the jobs: looks at series, analyses studies, delivers results."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from dicom_node import infer, journal, pipeline
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import ChildRaised, SchemaTooOld, is_for_now
from dicom_node.log import (
    ClockSet,
    ForgottenTakenUp,
    NameLost,
    PackageInService,
    PackageOutOfService,
    ReceiverLost,
    RoleName,
    RoleStarted,
    WorkerTakenOver,
    log,
    log_broken,
)
from dicom_node.node import Node, load_packages
from dicom_node.package import Package
from dicom_node.values import PackageName
from dicom_node.values.reasons import OutOfService

from . import bell
from .ahead import LOOK_S, Ahead
from .device import open_device
from .examples import try_example
from .lifeline import stop_on_signals
from .memory import give_back_memory
from .opening import hold_name, open_journal, wait_for_journal
from .retention import Retention

_GRACE_S = 5
_WATCH_S, _SWEEP_S = 1.0, 30.0
_CLOCK_SET_S = 2.0  # a clock that is corrected by less than this is steered, not set

Job = TypeVar("Job")


def run(config: Config, clock: Clock, slot: int = 0) -> int:
    """Work until told to stop; gives the exit status. Workers of one machine have different slots."""
    stop = stop_on_signals()
    engine = open_journal(config)
    if not wait_for_journal(engine, clock, stop):
        return 0
    if not journal.is_current(engine):
        raise SchemaTooOld
    with hold_name(config, engine, f"worker-{slot}", clock) as holder:
        if holder is None:
            return 1
        packages = load_packages(config)
        with open_device(config, clock) as device:
            out_of_service = _find_out_of_service(packages, device, config, clock)
            # Of several workers nobody knows which one will want the images.
            reads_ahead = slot == 0 and journal.find_file(config.database) is not None and len(packages) > len(out_of_service)
            node = Node(config, packages, clock, device, out_of_service, engine, reads_ahead=reads_ahead)
            runner = journal.Engine(
                engine,
                node.kept,
                journal.Handlers(
                    look=_guarded(lambda job: pipeline.look(job, node)),
                    study=lambda job, step: _work(job, step, node, stop),
                    deliver=_recorded(lambda job: pipeline.send(job, node.sending), node.sending.write_broken, stop),
                    prove=_recorded(lambda job: pipeline.prove(job, node.sending), node.sending.write_broken_proof, stop),
                ),
                name=holder.name,
                tell=functools.partial(bell.ring, config.data, but=slot),
            )
            runner.start()
            bell.listen(config.data, slot, runner.wake)
            log(RoleStarted(role=RoleName.WORKER, pid=os.getpid()))
            _in_turn(node.judge_what_was_out_of_service)
            _in_turn(node.take_up_searches)
            watch = Watch(config, engine, holder, runner, clock)
            threading.Thread(target=watch.run, args=(stop,), name="watch", daemon=True).start()
            if reads_ahead:
                threading.Thread(target=_read_ahead, args=(Ahead(node, clock), clock, stop), name="ahead", daemon=True).start()
            retention = Retention(config, engine, node.client, node.images, node.kept, clock)
            threading.Thread(target=_tidy, args=(retention, node, clock, stop), name="retention", daemon=True).start()
            _sweep(node)
            while not clock.wait(_SWEEP_S, stop):
                _sweep(node)
            runner.settle(_GRACE_S)
            # What still runs is cut here, as by a crash, and taken up at the next start: a thread that went on without its engine
            # would take the missing engine for a failure of its study.
            device.abandon()
            os._exit(0)


class Watch:
    """Once a second: does this worker still hold its name, is another one dead, was the clock set?"""

    def __init__(self, config: Config, engine: journal.SqlEngine, holder: journal.Holder, runner: journal.Engine, clock: Clock) -> None:
        self._config, self._engine, self._holder, self._runner, self._clock = config, engine, holder, runner, clock
        self._ahead_s: float | None = None
        self.is_shared = journal.find_file(config.database) is None  # several machines, whose clocks differ

    def run(self, stop: threading.Event) -> None:
        """Watch until told to stop."""
        while not self._clock.wait(_WATCH_S, stop):
            if not self._holder.is_held():
                # Another worker may have taken over what runs here. A step that still sends does so under the same UIDs.
                log(NameLost(RoleName.WORKER))
                os._exit(1)
            _in_turn(self._look)

    def _look(self) -> None:
        self._look_at_clock()
        self._release_due()
        self._take_up_dropped()
        self._take_over()
        self._break_off()

    def _look_at_clock(self) -> None:
        ahead_s = self._clock.now() - self._clock.monotonic()
        if self._ahead_s is not None and abs(ahead_s - self._ahead_s) < _CLOCK_SET_S:
            return
        if self.is_shared:
            set_s = 0.0 if self._ahead_s is None else ahead_s - self._ahead_s
        else:
            with self._engine.begin() as connection:
                set_s = journal.follow_clock(connection, self._clock)  # also by what it was set while no worker was there
        self._ahead_s = ahead_s
        if abs(set_s) >= _CLOCK_SET_S:
            log(ClockSet(set_s))

    def _release_due(self) -> None:
        if self.is_shared:
            with self._engine.begin() as connection:
                journal.release_due(connection)

    def _take_up_dropped(self) -> None:
        dropped = self._runner.take_up_dropped()
        if dropped:
            log(ForgottenTakenUp(dropped))

    def _take_over(self) -> None:
        with self._engine.begin() as connection:
            others = journal.find_executors(connection) - {self._holder.name}
        for name in sorted(others):
            start = self._clock.monotonic()
            with self._engine.begin() as connection, journal.if_dead(connection, self._config.data, name) as is_dead:
                if is_dead:
                    self._runner.take_over(name)
                    log(WorkerTakenOver(self._clock.monotonic() - start))

    def _break_off(self) -> None:
        with self._engine.begin() as connection:
            receivers = journal.find_feeders(connection)
        for name in sorted(receivers):
            with self._engine.begin() as connection, journal.if_dead(connection, self._config.data, name) as is_dead:
                if is_dead:
                    journal.break_off(connection, name, journal.now(connection, self._clock))
                    log(ReceiverLost())


def _in_turn(task: Callable[[], object]) -> None:
    """The outermost handler of what the worker does by itself: what fails now is tried again in its next turn."""
    try:
        task()
    except Exception as error:  # noqa: BLE001
        log_broken(RoleName.WORKER, error)


def _read_ahead(ahead: Ahead, clock: Clock, stop: threading.Event) -> None:
    while not clock.wait(LOOK_S, stop):
        _in_turn(lambda: ahead.look(stop))


def _tidy(retention: Retention, node: Node, clock: Clock, stop: threading.Event) -> None:
    """A thread of its own: a turn that has much to remove takes minutes, and the sweep must not wait for it."""
    while not clock.wait(_SWEEP_S, stop):
        _in_turn(retention.take_turn)
        _in_turn(node.images.tidy)
        give_back_memory()


def _sweep(node: Node) -> None:
    """Take up what was forgotten."""

    def sweep() -> None:
        taken_up = node.take_up_forgotten()
        if taken_up:
            log(ForgottenTakenUp(jobs=taken_up))

    _in_turn(sweep)


def _find_out_of_service(packages: Sequence[Package], device: infer.Device, config: Config, clock: Clock) -> dict[str, OutOfService]:
    """The packages that fail their example, by name; the inference process is warm then, and has the others' networks loaded."""
    failed = {}
    for package in packages:
        start = clock.monotonic()
        failure = try_example(package, device, config.node.infer.tries)
        if failure is None:
            log(PackageInService(PackageName(package.ref.name), clock.monotonic() - start))
        else:
            log(PackageOutOfService(PackageName(package.ref.name), type(failure)))
            failed[package.ref.name] = OutOfService(failure.error if isinstance(failure, ChildRaised) else type(failure).__name__)
    return failed


def _work(job: journal.StudyJob, step: journal.Step, node: Node, stop: threading.Event) -> None:
    """The outermost handler of a study: what nobody expected ends the job, is recorded against the study, and blocks no other.

    What may work later ends the job without a record: the next sweep starts another. So does whatever happens while the node stops.
    """
    try:
        pipeline.run(job, node, step)
    except Exception as error:
        if stop.is_set() or is_for_now(error) or journal.is_unavailable(error):
            raise
        node.fail_study(job, error)


def _guarded(run: Callable[[Job], None]) -> Callable[[Job], None]:
    def guarded(job: Job) -> None:
        try:
            run(job)
        except Exception as error:
            log_broken(RoleName.WORKER, error)
            raise

    return guarded


def _recorded(run: Callable[[Job], None], record: Callable[[Job, Exception], None], stop: threading.Event) -> Callable[[Job], None]:
    """The outermost handler of a delivery or proof: what nobody expected is recorded against its objects, which bounds its tries.

    What may work later is left to the engine and the sweep. So is whatever happens while the node stops.
    """

    def handle(job: Job) -> None:
        try:
            run(job)
        except Exception as error:
            log_broken(RoleName.WORKER, error)
            if stop.is_set() or is_for_now(error) or journal.is_unavailable(error):
                raise
            record(job, error)

    return handle
