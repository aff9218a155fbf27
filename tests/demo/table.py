"""The short table that the demo prints: what the node says of the study, and what the archive holds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydicom.uid import UID

from tests.make.chest import Nodule

from .results import UNITS, Made, Segment

WIDTH = 132


def write_lines(status: Mapping[str, Any], made: Sequence[Made], planted: Sequence[Nodule], found: Mapping[int, Segment]) -> Iterator[str]:
    """The table, line by line."""
    for study in status["studies"]:
        yield from _series_lines(study["series"])
        for result in study["results"]:
            yield from _result_lines(result)
    for refused in status.get("refused", []):
        yield f"  refused   {refused['times']} instances: {refused['status']} {refused['comment']}"
    yield from _object_lines(made)
    yield from _measurement_lines(made)
    if planted:
        yield from _planted_lines(planted, found, [segment for one in made for segment in one.segments])


def _series_lines(series: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield from _head("series", "received, complete by which rule, and what each model says of it")
    for one in series:
        rule = f"by {one['rule']}" if one.get("rule") else "not complete"
        yield f"  {_short(one['series'])}  {one['instances']:>4} instances, {one['state']} {rule}"
        for answer in one.get("answers", []):
            yield from _wrap(f"    {answer['package']}: {answer['verdict']}{_because(answer)}")


def _because(answer: Mapping[str, Any]) -> str:
    if answer.get("reason"):
        return f": {answer['reason']['text']}"
    if answer.get("failed"):
        return ": " + "; ".join(f"{one['subject']} is {one['found']}, wanted {one['wanted']}" for one in answer["failed"])
    because = ", ".join(f"{subject} {value}" for subject, value in answer.get("because", []))
    return f": {because}" if because else ""


def _result_lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield from _head("model", f"{result['package']} {result['version']}".strip())
    if result.get("reason"):
        yield from _wrap(f"  not analysed: {result['reason']['text']}")
        return
    for stage in result["stages"]:
        given = ", ".join(f"{name} {value}" for name, value in stage["given"].items())
        yield from _wrap(f"  {stage['name']:<22} {stage['kind']:<9} {stage['seconds']:>7.2f} s   {given}")
    for delivery in result["deliveries"]:
        for one in delivery["objects"]:
            state = f"{one['state']}, status {one['status'] or '-'}, tries {one['attempts']}"
            yield f"  to {delivery['destination']}: {UID(one['sop_class']).name}: {state}"


def _object_lines(made: Sequence[Made]) -> Iterator[str]:
    yield from _head("objects", "that the archive holds now")
    for one in made:
        yield f"  {one.sop_class:<34} {one.sop_instance_uid}"
    if not made:
        yield "  none"


def _measurement_lines(made: Sequence[Made]) -> Iterator[str]:
    groups = [group for one in made for group in one.groups]
    if groups:
        yield from _head("measurements", "read from the report")
    for group in groups:
        numbers = ", ".join(f"{name} {value:g} {UNITS.get(unit, unit)}".rstrip() for name, value, unit in group.numbers)
        codes = ", ".join(meaning for name, meaning in group.codes if name in {"Laterality", "Finding Site"})
        yield from _wrap(f"  {group.tracking or group.finding}: {', '.join(part for part in (codes, numbers) if part)}")


def _planted_lines(planted: Sequence[Nodule], found: Mapping[int, Segment], segments: Sequence[Segment]) -> Iterator[str]:
    yield from _head("planted", "in the phantom, against what the segmentation shows there (LPS millimetres)")
    for number, nodule in enumerate(planted):
        place = _place(nodule.centre_lps)
        segment = found.get(number)
        if segment is None:
            yield f"  {nodule.side:<6} {nodule.diameter_mm:>4.0f} mm at {place}   not found"
            continue
        diameter = (6000.0 * segment.volume_ml / 3.141592653589793) ** (1 / 3)
        yield f"  {nodule.side:<6} {nodule.diameter_mm:>4.0f} mm at {place}   found: {diameter:.1f} mm at {_place(segment.centre_lps)}"
    for segment in segments:
        if segment not in found.values():
            yield f"  not planted: {segment.label} at {_place(segment.centre_lps)}, {segment.volume_ml:.2f} ml"


def _place(lps: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:6.1f}" for value in lps) + ")"


def _head(name: str, text: str) -> Iterator[str]:
    yield ""
    yield f"{name.upper():<13} {text}"


def _wrap(line: str) -> Iterator[str]:
    """Break a long line at a blank, the rest further in."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    while len(line) > WIDTH and (at := line.rfind(" ", len(indent) + 1, WIDTH)) > 0:
        yield line[:at]
        line = indent + line[at + 1 :]
    yield line


def _short(uid: str) -> str:
    return uid if len(uid) <= 20 else f"…{uid[-12:]}"
