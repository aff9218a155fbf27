"""`dicom-node plan`: plausible for hospitals of three sizes, and never less for more."""

import dataclasses
import json
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from dicom_node.roles.capacity import PLANNED_SHARE, Demand, find_capacity
from dicom_node.roles.plan import as_text, find_plan, load_measured
from tests.places import REPOSITORY
from tests.scale.measure import as_toml

SMALL = Demand(studies_per_day=20, slices=300, model_s=30, bytes_per_slice=526_336, peak_hour_share=0.12, retention_h=168)
LARGE = dataclasses.replace(SMALL, studies_per_day=2000, slices=600)


def test_a_small_hospital_needs_one_machine_and_sqlite() -> None:
    plan = find_plan(SMALL)
    assert (plan["machines"], plan["database"]) == (1, "sqlite")
    assert plan["spool_bytes"] == pytest.approx(20 * 7 * 300 * 526_336, rel=0.02)
    assert plan["images_per_s"] == pytest.approx(20 * 0.12 / 3600 * 300)
    assert 30 < plan["work_s"] < 120
    assert plan["first_limit"]["name"] == "workers"


def test_a_large_hospital_needs_workers_for_its_busiest_hour_and_postgresql() -> None:
    capacity = find_capacity(LARGE, load_measured())
    workers = capacity.part("workers")
    assert capacity.database == "postgresql"
    assert workers.needed * PLANNED_SHARE >= 2000 * 0.12 / 3600 * capacity.work_s
    assert (workers.needed - 1) * PLANNED_SHARE < 2000 * 0.12 / 3600 * capacity.work_s
    assert capacity.machines == max(workers.needed, capacity.part("receivers").needed) + 1
    assert capacity.last_limit.name in {"journal", "network"}
    assert capacity.last_limit.carries_studies_per_day > 2000


def test_what_is_full_first_is_full_at_the_number_that_is_said() -> None:
    capacity = find_capacity(SMALL, load_measured())
    for part in capacity.parts:
        at_limit = dataclasses.replace(SMALL, studies_per_day=part.carries_studies_per_day)
        if find_capacity(at_limit, load_measured()).database == capacity.database:
            assert find_capacity(at_limit, load_measured()).part(part.name).used == pytest.approx(PLANNED_SHARE)


@pytest.mark.parametrize("field", ["studies_per_day", "slices", "model_s", "bytes_per_slice", "peak_hour_share", "retention_h", "models"])
@pytest.mark.parametrize("demand", [SMALL, LARGE], ids=["small", "large"])
def test_more_never_needs_less(demand: Demand, field: str) -> None:
    """Each figure, for a demand that grows in one respect; the database's may jump where the other kind takes over, and not down."""
    value: Any = getattr(demand, field)
    figures = [find_plan(dataclasses.replace(demand, **{field: value * factor})) for factor in (1, 2, 4, 8)]
    for name in (
        "machines",
        "work_s",
        "images_per_s",
        "in_mb_per_s",
        "out_mb_per_s",
        "spool_bytes",
        "kept_bytes_per_year",
        "rows_per_year",
    ):
        grown = [plan[name] for plan in figures]
        assert grown == sorted(grown), name
    for number in range(4):
        used = [plan["parts"][number]["used_percent"] for plan in figures]
        assert used == sorted(used), plan_names(figures)[number]


def plan_names(figures: list[dict[str, Any]]) -> list[str]:
    return [part["name"] for part in figures[0]["parts"]]


def test_the_plan_in_words_says_where_its_figures_come_from() -> None:
    text = as_text(find_plan(LARGE))
    assert "python -m tests.scale measure" in text
    assert all(word in text for word in ("machines", "spool", "kept", "journal", "network", "is full first"))
    assert max(map(len, text.splitlines())) <= 140


def test_the_command_prints_it_in_words_and_for_programs() -> None:
    command = [sys.executable, "-m", "dicom_node", "plan", "--studies-per-day", "100", "--slices", "300", "--model-seconds", "20"]
    words = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
    values = subprocess.run([*command, "--json"], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
    assert words.startswith("100 studies a day of 300 slices")
    assert json.loads(values)["demand"]["models"] == 1


def test_the_file_that_measuring_writes_is_the_one_that_is_read() -> None:
    document = tomllib.loads((REPOSITORY / "dicom_node" / "roles" / "measured.toml").read_text(encoding="utf-8"))
    again = tomllib.loads(as_toml(document, machine=document["measured"]["machine"], date=document["measured"]["date"]))
    assert again == document


def test_the_plan_that_the_docs_show_is_the_real_one() -> None:
    """Measured anew, `measured.toml` changes, and the docs with it."""
    page = (REPOSITORY / "docs" / "capacity.md").read_text(encoding="utf-8")
    shown = page.split("```\n$ dicom-node ", 1)[1].split("\n```", 1)[0]
    command, _, words = shown.partition("\n")
    real = subprocess.run(
        [sys.executable, "-m", "dicom_node", *command.split()], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert real.stdout.rstrip("\n") == words
