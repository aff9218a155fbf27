"""How many machines, disks and lines a hospital needs for its studies, in words for its IT, and which part is full first."""

import dataclasses
import math
import tomllib
from importlib import resources
from typing import Any

from .capacity import PLANNED_SHARE, Demand, Journal, Measured, Part, find_capacity


def find_plan(demand: Demand) -> dict[str, Any]:
    """What a demand needs, as plain values ready for JSON."""
    document = load_document()
    capacity = find_capacity(demand, load_measured())
    return {
        "demand": dataclasses.asdict(demand),
        "database": capacity.database,
        "machines": capacity.machines,
        "parts": [_part(part) for part in capacity.parts],
        "first_limit": _part(capacity.first_limit),
        "last_limit": _part(capacity.last_limit),
        **{name: getattr(capacity, name) for name in _FIGURES},
        "measured": document["measured"],
    }


_FIGURES = (
    *("work_s", "images_per_s", "in_mb_per_s", "out_mb_per_s"),
    *("spool_bytes", "kept_bytes_per_year", "journal_bytes_per_year", "jobs_bytes", "rows_per_year"),
)


def load_document() -> dict[str, Any]:
    """`measured.toml`, which lies beside this file."""
    return tomllib.loads(resources.files(__package__).joinpath("measured.toml").read_text(encoding="utf-8"))


def load_measured() -> Measured:
    """What was measured, as values."""
    document = load_document()
    journals = {name: Journal(**document["journals"][name]) for name in document["journals"]}
    return Measured(**document["rates"], journals=journals)


def as_text(plan: dict[str, Any]) -> str:
    """The plan for a person. Disks are given with the mark in mind at which the node takes no more (90 percent)."""
    demand, mark = plan["demand"], 0.9
    parts = {part["name"]: part for part in plan["parts"]}
    peak = demand["studies_per_day"] * demand["peak_hour_share"]
    many = [
        f"{parts[name]['needed']} {name if parts[name]['needed'] > 1 else name[:-1]} ({parts[name]['used_percent']:.0f} % of one)"
        for name in ("receivers", "workers")
    ]
    lines = [
        f"{demand['studies_per_day']:g} studies a day of {demand['slices']} slices, "
        f"{_size(demand['slices'] * demand['bytes_per_slice'])} each; "
        f"busiest hour {peak:.0f} studies, {plan['images_per_s']:.1f} images a second",
        "",
        f"machines   {plan['machines']}: {', '.join(many)}; {_DATABASES[plan['database']]}",
        f"a result   {_time(plan['work_s'])} after its study is complete, where no other waits before it",
        f"spool      {_size(plan['spool_bytes'] / mark)} for the images of {demand['retention_h']:g} hours",
        f"kept       {_size(plan['kept_bytes_per_year'] / mark)} for the results of a year",
        f"journal    {_size(plan['journal_bytes_per_year'] / mark)} for the {plan['rows_per_year']:,} rows of a year, "
        f"and {_size(plan['jobs_bytes'] / mark)} for the jobs of two days",
        f"network    {plan['in_mb_per_s']:.1f} MB/s in and {plan['out_mb_per_s']:.2f} MB/s out in the busiest hour",
        "",
        f"With one of each, the {_ONE[plan['first_limit']['name']]} is full first: at {_count(plan['first_limit'])} studies a day.",
        f"With more machines, the {_ONE[plan['last_limit']['name']]} is: at {_count(plan['last_limit'])} studies a day.",
        "",
        f"Every part is planned to {100 * PLANNED_SHARE:.0f} % of what it did where it was measured: {plan['measured']['machine']},",
        f"{plan['measured']['date']}, by `{plan['measured']['command']}`. Another machine: run that there.",
    ]
    return "\n".join(lines)


_ONE = {"receivers": "receiver", "workers": "worker", "journal": "journal", "network": "network line"}
_DATABASES = {"sqlite": "the journal in SQLite on the same machine", "postgresql": "one of them for PostgreSQL and the shared folder"}


def _part(part: Part) -> dict[str, Any]:
    carries = part.carries_studies_per_day
    return {
        "name": part.name,
        "needed": part.needed,
        "used_percent": round(100 * part.used, 2),
        "can_be_many": part.can_be_many,
        "carries_studies_per_day": None if math.isinf(carries) else math.floor(carries),
    }


def _count(part: dict[str, Any]) -> str:
    return "any number of" if part["carries_studies_per_day"] is None else f"{part['carries_studies_per_day']:,}"


def _size(size_bytes: float) -> str:
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000.0
        if size_bytes < 1000.0:
            return f"{size_bytes:.3g} {unit}"
    return f"{size_bytes / 1000.0:.3g} TB"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
