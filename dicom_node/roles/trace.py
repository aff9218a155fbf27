"""`dicom-node trace`: where each millisecond of a study went, from its last image to its results at their destinations."""

from typing import Any

from dicom_node import journal
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.values import Result

from .status import as_date


def find_trace(config: Config, study: str, clock: Clock) -> dict[str, Any] | None:
    """Images, and what was done for the study in the order of time, as plain values; None where the study is not known.

    Times are milliseconds after the last image's receipt. A job that has not begun or ended has None there.
    """
    config.data.mkdir(parents=True, exist_ok=True)
    journal.migrate(config.database)
    engine = journal.open_engine(config.database)
    kept = journal.open_kept(config)
    with engine.begin() as connection:
        uid = journal.find_study(connection, study)
        if uid is None:
            return None
        found = journal.read_trace(connection, uid, clock)
        results = [row.result for one in journal.read_studies(connection, kept, uid, 1) for row in one.results if row.result is not None]
    engine.dispose()
    zero = found.last_image_at or min((job.queued_at for job in found.jobs), default=0.0)
    return {
        "study": uid,
        "images": found.images,
        "last_image": as_date(zero) if found.last_image_at else None,
        "images_took_ms": round(1000 * (zero - (found.first_image_at or zero))),
        "lines": [line for job in found.jobs for line in _lines_of(job, zero, results)],
    }


def as_text(found: dict[str, Any]) -> str:
    """A line for each job and step: when it began, how long it took, and how long it had waited before."""
    lines = [f"study {found['study']}", f"{found['images']} images in {found['images_took_ms']} ms, the last one at {found['last_image']}"]
    if not found["lines"]:
        return "\n".join([*lines, "no job is known: the engine forgets them some time after they ended (jobs_h in node.toml)"])
    lines.append(f"{'begins':>8} {'takes':>7} {'waited':>7}  ms after the last image was acknowledged")
    for line in found["lines"]:
        cells = (_cell(line["begins_ms"], 8), _cell(line["takes_ms"], 7), _cell(line["waited_ms"], 7))
        lines.append(f"{' '.join(cells)}  {line['what']}")
    return "\n".join(lines)


def _cell(value: int | None, width: int) -> str:
    return f"{'' if value is None else value:>{width}}"


def _lines_of(job: journal.TracedJob, zero: float, results: list[Result]) -> list[dict[str, Any]]:
    """The job, its steps, and under the step that ran a model the stages of its results."""
    name = job.kind if job.destination is None else f"{job.kind} to {job.destination}"
    # The engine's own times are whole seconds on some databases; those of its steps are not.
    began_at = min((step.began_at for step in job.steps), default=job.began_at)
    ended_at = max((step.ended_at for step in job.steps), default=job.ended_at)
    lines = [_line(name, zero, job.queued_at, began_at, ended_at)]
    for step in job.steps:
        if len(job.steps) > 1:
            lines.append(_line(f"  {step.name}", zero, None, step.began_at, step.ended_at))
        if step.name == "analyse":
            lines += [
                {"what": f"    stage {stage.name}", "begins_ms": None, "takes_ms": round(1000 * stage.seconds), "waited_ms": None}
                for stage in (results.pop(0).stages if results else ())
            ]
    return lines


def _line(what: str, zero: float, queued_at: float | None, began_at: float | None, ended_at: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "begins_ms": None if began_at is None else round(1000 * (began_at - zero)),
        "takes_ms": None if began_at is None or ended_at is None else round(1000 * (ended_at - began_at)),
        "waited_ms": None if began_at is None or queued_at is None else round(1000 * (began_at - queued_at)),
    }
