"""`python -m tests.follow [--page docs/follow.md]`: how well findings are followed over time, on phantom pairs; the tables of the page."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dicom_node import follow
from dicom_node.values import ChangeCategory, PriorRef
from tests.follow import models
from tests.follow.phantoms import Motion, Pair, Scan, make_pair

REFERENCE = PriorRef("1.2.3", "1.2.3.4", "20250101", "prior")
TODAY = "20250701"
PAIRS = 25  # of each row
FIRST = 5000  # seed; constants of `dicom_node.follow` were chosen on smaller ones


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of motion: of each seed the directions are drawn, the amounts are these."""

    name: str
    shift_mm: float = 0.0
    turn_deg: float = 0.0
    breath_mm: float = 0.0
    count: int = 8
    has_body_map: bool = True
    cut_share: float = 0.0
    table_mm: float = 0.0

    def motion(self, seed: int) -> Motion:
        numbers = np.random.default_rng(1000 + seed)
        way, axis = numbers.standard_normal(3), numbers.standard_normal(3)
        x, y, z = self.shift_mm * way / np.linalg.norm(way)
        a, b, c = self.turn_deg * axis / np.linalg.norm(axis)
        sign = 1.0 if seed % 2 else -1.0
        return Motion((float(x), float(y), float(z) + self.table_mm), (float(a), float(b), float(c)), sign * self.breath_mm)

    def pair(self, seed: int) -> Pair:
        now = Scan(has_body_map=self.has_body_map, cut_share=self.cut_share)
        return make_pair(
            seed, self.motion(seed), count=self.count, prior=Scan((1.0, 0.75, 0.75), has_body_map=self.has_body_map), current=now
        )


ROWS = (
    Row("no motion"),
    Row("shift 10 mm", shift_mm=10.0),
    Row("shift 40 mm", shift_mm=40.0),
    Row("shift 40 mm, turn 5°", shift_mm=40.0, turn_deg=5.0),
    Row("shift 40 mm, turn 10°", shift_mm=40.0, turn_deg=10.0),
    Row("breath 5 mm", breath_mm=5.0),
    Row("breath 15 mm", breath_mm=15.0),
    Row("shift 40 mm, turn 10°, breath 15 mm", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0),
    Row("the same, other origin of the table (300 mm)", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0, table_mm=300.0),
    Row("the same, lowest third not scanned", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0, cut_share=0.33),
    Row("the same, 2 nodules", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0, count=2),
    Row("the same, 25 nodules", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0, count=25),
    Row("no body map: shift 10 mm", shift_mm=10.0, has_body_map=False),
    Row("no body map: shift 40 mm", shift_mm=40.0, has_body_map=False),
    Row("no body map: shift 40 mm, turn 10°, breath 15 mm", shift_mm=40.0, turn_deg=10.0, breath_mm=15.0, has_body_map=False),
    Row("no body map: shift 40 mm, 2 nodules", shift_mm=40.0, count=2, has_body_map=False),
)


@dataclass(slots=True)
class Counts:
    """What came of the pairs of a row."""

    true: int = 0
    matched: int = 0
    missed: int = 0
    wrong: int = 0
    not_compared: int = 0
    errors_mm: list[float] = field(default_factory=list)  # of the place of each nodule that is in both scans
    within: int = 0  # nodules of which the place is no further off than stated
    stated_mm: list[float] = field(default_factory=list)
    volume_percent: list[tuple[float, float]] = field(default_factory=list)  # smaller diameter, error of the ratio in per cent
    called: list[tuple[float, float, ChangeCategory]] = field(default_factory=list)  # smaller diameter, true ratio, what it was called


def measure(pairs: Sequence[Pair], motions: Sequence[Motion]) -> Counts:
    """Follow each pair and count against the truth."""
    counts = Counts()
    for pair, motion in zip(pairs, motions, strict=True):
        result = follow.compare_with_prior(pair.current, pair.prior, REFERENCE, TODAY)
        assert result.comparison is not None
        by_number = {finding.number: index for index, finding in enumerate(pair.prior.findings)}
        found = {
            index: by_number[one.change.prior_number] for index, one in enumerate(result.findings) if one.change and one.change.prior_number
        }
        truth = {current: (prior, ratio) for current, prior, ratio in pair.same}
        affine = np.array(result.comparison.registration.current_from_prior)
        counts.true += len(truth)
        counts.wrong += sum(current not in truth or truth[current][0] != prior for current, prior in found.items())
        counts.not_compared += sum(one.change is not None and one.change.category is ChangeCategory.NOT_COMPARED for one in result.findings)
        counts.stated_mm.append(result.comparison.registration.error_mm)
        for current, (prior, ratio) in truth.items():
            place = affine[:3, :3] @ pair.prior.findings[prior].centre_lps + affine[:3, 3]
            true_place = motion.forward(np.array(pair.prior.findings[prior].centre_lps))
            counts.errors_mm.append(float(np.linalg.norm(place - true_place)))
            counts.within += counts.errors_mm[-1] <= counts.stated_mm[-1] + 1e-6  # a shift of 40 mm against an error of 40 mm
            if found.get(current) != prior:
                counts.missed += 1
                continue
            counts.matched += 1
            change = result.findings[current].change
            assert change is not None
            assert change.volume_change_percent is not None
            measured = 1 + change.volume_change_percent / 100
            smaller_mm3 = min(change.volume_mm3 or 0.0, change.prior_volume_mm3 or 0.0)
            smaller_mm = float(np.cbrt(6 * smaller_mm3 / np.pi))
            counts.volume_percent.append((smaller_mm, 100 * (measured / ratio - 1)))
            counts.called.append((smaller_mm, ratio, change.category))
    return counts


def of_row(row: Row, pairs: int = PAIRS) -> Counts:
    """The counts of a row's first pairs."""
    seeds = range(FIRST, FIRST + pairs)
    return measure([row.pair(seed) for seed in seeds], [row.motion(seed) for seed in seeds])


def main() -> int:
    """Print the tables, and write them into the page; the last line sums up. 1 where more than one of a hundred matches is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.follow")
    parser.add_argument("--page", type=Path, help="the page whose tables are written anew")
    page: Path | None = parser.parse_args().page
    rows = [(row, of_row(row)) for row in ROWS]
    tables = {"pairs": "\n".join(tabulate(rows))}
    print(tables["pairs"], flush=True)
    lines, are_models_right = models.tabulate()
    tables["models"] = "\n".join(lines)
    print(f"\n{tables['models']}")
    if page is not None:
        page.write_text(fill(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    total = {name: sum(getattr(one, name) for _, one in rows) for name in ("matched", "missed", "wrong")}
    error_percent = float(np.median([abs(percent) for _, one in rows for _, percent in one.volume_percent]))
    print(
        f"\nfollow: pairs={PAIRS * len(ROWS)} "
        + " ".join(f"{name}={value}" for name, value in total.items())
        + f" volume_error={error_percent:.1f}%"
    )
    return int(total["wrong"] > 0.01 * total["matched"] or not are_models_right)


def tabulate(rows: Sequence[tuple[Row, Counts]]) -> Iterator[str]:
    """The tables of phantom pairs: matches by motion, then volumes by size, then what was said by true change."""
    headings = "motion | same | matched | missed | wrong | not compared | place off: median, 95 %, worst | stated: median, worst | within"
    yield f"| {headings} |"
    yield "|---|--:|--:|--:|--:|--:|---|---|--:|"
    for row, one in rows:
        off = np.percentile(one.errors_mm, [50, 95, 100])
        yield (
            f"| {row.name} | {one.true} | {one.matched} | {one.missed} | {one.wrong} | {one.not_compared} "
            f"| {off[0]:.1f}, {off[1]:.1f}, {off[2]:.1f} mm | {np.median(one.stated_mm):.1f}, {max(one.stated_mm):.1f} mm "
            f"| {100 * one.within / one.true:.0f} % |"
        )
    errors = [error for _, one in rows for error in one.volume_percent]
    called = [one for _, counts in rows for one in counts.called]
    yield "\n| smaller diameter | pairs | error of the volume's ratio: median, 95 %, worst | unchanged, called changed |\n|---|--:|---|--:|"
    for low, high in ((0, 5), (5, 7), (7, 10), (10, 99)):
        part = np.abs([percent for mm, percent in errors if low <= mm < high])
        still = [category for mm, ratio, category in called if low <= mm < high and abs(ratio - 1) < 0.01]
        name = f"{low} to {high} mm" if low and high < 99 else f"below {high} mm" if high < 99 else f"from {low} mm"
        yield (
            f"| {name} | {len(part)} | {np.median(part):.1f}, {np.percentile(part, 95):.1f}, {part.max():.1f} % "
            f"| {sum(one is not ChangeCategory.UNCHANGED for one in still)} of {len(still)} |"
        )
    yield "\n| true ratio of the volumes | shrunk | unchanged | grown |\n|---|--:|--:|--:|"
    for ratio in (0.5, 1.0, 1.5, 2.5):
        said = [category for _, true, category in called if abs(true - ratio) < 0.01]
        counts = (said.count(one) for one in (ChangeCategory.SHRUNK, ChangeCategory.UNCHANGED, ChangeCategory.GROWN))
        yield f"| {ratio} | " + " | ".join(map(str, counts)) + " |"


def fill(text: str, tables: dict[str, str]) -> str:
    """The page with these tables between their marks, `<!-- pairs -->` and `<!-- /pairs -->`."""
    for name, table in tables.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, mark, behind = rest.partition(f"<!-- /{name} -->")
        assert mark, f"the page has no place for {name}"
        text = f"{before}<!-- {name} -->\n{table}\n{mark}{behind}"
    return text


if __name__ == "__main__":
    sys.exit(main())
