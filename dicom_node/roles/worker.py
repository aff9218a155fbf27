"""Runs the jobs: looks at series, analyses studies, delivers results."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from dicom_node import infer, journal, pipeline
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import Again, ChildRaised, NodeError
from dicom_node.log import ForgottenTakenUp, PackageInService, PackageOutOfService, RoleName, RoleStarted, log, log_broken
from dicom_node.node import Node, load_packages
from dicom_node.package import Package
from dicom_node.values import PackageName
from dicom_node.values.reasons import OutOfService

from . import inference
from .examples import try_example
from .lifeline import hold_slot, stop_on_signals

_SLOT = "worker-0"
_SLOT_LIMIT_S = 20.0
_GRACE_S = 5
_SWEEP_S = 30.0

Job = TypeVar("Job")


def run(config: Config, clock: Clock) -> int:
    """Work until told to stop; gives the exit status."""
    stop = stop_on_signals()
    with hold_slot(config.data / f"{_SLOT}.lock", clock, limit_s=_SLOT_LIMIT_S) as held:
        if not held:
            return 1
        packages = load_packages(config)
        with infer.Device(inference.command(config.node.infer.threads), clock) as device:
            node = Node(config, packages, clock, device, _find_out_of_service(packages, device, config, clock))
            engine = journal.Engine(
                journal.open_engine(config.database),
                node.kept,
                journal.Handlers(
                    look=_guarded(lambda job: pipeline.look(job, node)),
                    study=lambda job, step: _work(job, step, node, stop),
                    deliver=_guarded(lambda job: pipeline.send(job, node)),
                ),
                slot=_SLOT,
            )
            engine.start()
            log(RoleStarted(role=RoleName.WORKER, pid=os.getpid()))
            _sweep(node)
            while not clock.wait(_SWEEP_S, stop):
                _sweep(node)
            engine.stop(_GRACE_S)
            # What still runs is cut here, as by a crash, and taken up at the next start: a thread that went on without its engine
            # would take the missing engine for a failure of its study.
            device.abandon()
            os._exit(0)


def _sweep(node: Node) -> None:
    """Take up what was forgotten; a sweep that fails is followed by another."""
    try:
        taken_up = node.take_up_forgotten()
    except Exception as error:  # noqa: BLE001  the outermost handler
        log_broken(RoleName.WORKER, error)
    else:
        if taken_up:
            log(ForgottenTakenUp(jobs=taken_up))


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
        is_for_later = isinstance(error, NodeError) and error.again is Again.LATER
        if stop.is_set() or is_for_later:
            raise
        log_broken(RoleName.WORKER, error)
        node.close_study(job, type(error))


def _guarded(run: Callable[[Job], None]) -> Callable[[Job], None]:
    def guarded(job: Job) -> None:
        try:
            run(job)
        except Exception as error:
            log_broken(RoleName.WORKER, error)
            raise

    return guarded
