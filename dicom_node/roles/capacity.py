"""How much of everything a hospital's studies need: arithmetic on what was measured, and nothing else."""

import math
from dataclasses import dataclass

# What a part is planned for in the busiest hour: the rest is for the minutes that are busier still, and for catching up after a stop.
PLANNED_SHARE = 0.7
_JOBS_DAYS = 2.0  # how long the engine's finished jobs stay
_HOUR_S, _DAY_H, _YEAR_DAYS = 3600.0, 24.0, 365.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What comes in. `peak_hour_share` of a day's studies come in its busiest hour; `models` packages analyse each study."""

    studies_per_day: float
    slices: int
    model_s: float
    bytes_per_slice: int
    peak_hour_share: float
    retention_h: float
    models: int = 1

    @property
    def peak_studies_per_s(self) -> float:
        return self.studies_per_day * self.peak_hour_share / _HOUR_S

    @property
    def study_mb(self) -> float:
        return self.slices * self.bytes_per_slice / 1e6


@dataclass(frozen=True, slots=True)
class Journal:
    """What one kind of database does and needs. Bytes are with the indexes'."""

    receipts_per_s: float  # of all receivers together
    study_s: float  # what it takes for a study besides its receipts
    instance_bytes: float
    study_bytes: float
    jobs_bytes: float  # of a study's finished jobs, in the engine's own tables


@dataclass(frozen=True, slots=True)
class Measured:
    """What one of each does, from `measured.toml`: rates of one process at its limit, seconds of one job at a time."""

    receiver_images_per_s: float
    receiver_mb_per_s: float
    work_s_per_study: float  # besides the model: assembling, judging, encoding, comparing, delivering
    work_s_per_slice: float
    result_bytes: float  # of one model's result of one study: value and objects
    spool_bytes_per_slice: float  # beyond the data set
    network_mb_per_s: float  # not measured: a line of 1 Gbit/s
    journals: dict[str, Journal]  # sqlite, postgresql


@dataclass(frozen=True, slots=True)
class Part:
    """How busy one of a part would be in the busiest hour (1.0: all it can), and how many are needed; None: it can only be one."""

    name: str
    used: float
    can_be_many: bool
    carries_studies_per_day: float  # one of it, at its planned share

    @property
    def needed(self) -> int:
        return max(1, math.ceil(self.used / PLANNED_SHARE - 1e-9)) if self.can_be_many else 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is needed. `first_limit`: the part that is full first with one of each; `last_limit`: the one that more machines do not help."""

    database: str
    parts: tuple[Part, ...]
    first_limit: Part
    last_limit: Part
    machines: int
    work_s: float  # of a study in a worker, from complete to delivered, when nothing waits before it
    images_per_s: float
    in_mb_per_s: float
    out_mb_per_s: float
    spool_bytes: float
    kept_bytes_per_year: float
    journal_bytes_per_year: float
    jobs_bytes: float
    rows_per_year: int

    def part(self, name: str) -> Part:
        """One of: receivers, workers, journal, network."""
        return next(part for part in self.parts if part.name == name)


def find_capacity(demand: Demand, measured: Measured) -> Capacity:
    """What a demand needs: SQLite where one receiver and one worker are enough, which is one machine; else PostgreSQL."""
    result_mb = demand.models * measured.result_bytes / 1e6
    work_s = demand.models * demand.model_s + measured.work_s_per_study + demand.slices * measured.work_s_per_slice
    images_per_s, in_mb_per_s = demand.peak_studies_per_s * demand.slices, demand.peak_studies_per_s * demand.study_mb

    def part(name: str, used: float, *, can_be_many: bool) -> Part:
        carries = demand.studies_per_day * PLANNED_SHARE / used if used else math.inf
        return Part(name, used, can_be_many, carries)

    receiving = max(images_per_s / measured.receiver_images_per_s, in_mb_per_s / measured.receiver_mb_per_s)
    receivers = part("receivers", receiving, can_be_many=True)
    workers = part("workers", demand.peak_studies_per_s * work_s, can_be_many=True)
    is_one_machine = receivers.needed == workers.needed == 1
    database = "sqlite" if is_one_machine else "postgresql"
    journal = measured.journals[database]
    writing = images_per_s / journal.receipts_per_s + demand.peak_studies_per_s * journal.study_s
    line = (in_mb_per_s + demand.peak_studies_per_s * result_mb) / measured.network_mb_per_s
    parts = (receivers, workers, part("journal", writing, can_be_many=False), part("network", line, can_be_many=False))
    per_year = _YEAR_DAYS * demand.studies_per_day
    return Capacity(
        database=database,
        parts=parts,
        first_limit=min(parts, key=lambda part: part.carries_studies_per_day),
        last_limit=min(parts[2:], key=lambda part: part.carries_studies_per_day),
        machines=1 if is_one_machine else max(receivers.needed, workers.needed) + 1,
        work_s=work_s,
        images_per_s=images_per_s,
        in_mb_per_s=in_mb_per_s,
        out_mb_per_s=demand.peak_studies_per_s * result_mb,
        spool_bytes=demand.studies_per_day
        * max(demand.retention_h, work_s / _HOUR_S)
        / _DAY_H
        * demand.slices
        * (demand.bytes_per_slice + measured.spool_bytes_per_slice),
        kept_bytes_per_year=per_year * result_mb * 1e6,
        journal_bytes_per_year=per_year * (demand.slices * journal.instance_bytes + journal.study_bytes),
        jobs_bytes=_JOBS_DAYS * demand.studies_per_day * journal.jobs_bytes,
        rows_per_year=round(per_year * (demand.slices + _rows_of_study(demand.models))),
    )


def _rows_of_study(models: int) -> int:
    """Beside its instances': the study, two series as a rule, and for each model an answer to each, a result and its two objects."""
    return 3 + 5 * models
