"""Runs the jobs: looks at series, analyses studies, delivers results."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from dicom_node import infer, journal, pipeline
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import Again, NodeError
from dicom_node.log import RoleName, RoleStarted, log, log_broken
from dicom_node.node import Node, load_packages

from .lifeline import hold_slot, stop_on_signals

_SLOT = "worker-0"
_SLOT_LIMIT_S = 20.0
_GRACE_S = 5

Job = TypeVar("Job")


def run(config: Config, clock: Clock) -> int:
    """Work until told to stop; gives the exit status."""
    stop = stop_on_signals()
    with hold_slot(config.data / f"{_SLOT}.lock", clock, limit_s=_SLOT_LIMIT_S) as held:
        if not held:
            return 1
        command = (sys.executable, "-m", "dicom_node.roles.inference", str(config.node.infer.threads))
        with infer.Device(command, clock) as device:
            node = Node(config, load_packages(config), clock, device)
            engine = journal.Engine(
                journal.open_engine(config.database),
                node.kept,
                journal.Handlers(
                    look=_guarded(lambda job: pipeline.look(job, node)),
                    study=lambda job, step: _work(job, step, node),
                    deliver=_guarded(lambda job: pipeline.send(job, node)),
                ),
                slot=_SLOT,
            )
            engine.start()
            log(RoleStarted(role=RoleName.WORKER, pid=os.getpid()))
            stop.wait()
            engine.stop(_GRACE_S)
    return 0


def _work(job: journal.StudyJob, step: journal.Step, node: Node) -> None:
    """The outermost handler of a study: what nobody expected ends the job, is recorded against the study, and blocks no other."""
    try:
        pipeline.run(job, node, step)
    except NodeError as error:
        if error.again is Again.LATER:
            raise
        log_broken(RoleName.WORKER, error)
        node.close_study(job, type(error))
    except Exception as error:  # noqa: BLE001  the outermost handler
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
