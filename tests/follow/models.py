"""`python -m tests.follow.models`: the same through pixels and the real model, ct-lung-nodule. A few pairs; it takes minutes."""

import dataclasses
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt

from dicom_node import follow
from dicom_node.infer import process
from dicom_node.package import load_package
from dicom_node.values import Analysed, PriorRef, Volume
from tests.follow.phantoms import Motion
from tests.infer.examples import make_volume
from tests.make.chest import PLANTED, Nodule, chest
from tests.places import REPOSITORY

SHAPE, SPACING_MM = (140, 230, 300), (2.0, 1.1, 1.1)
REFERENCE = PriorRef("1.2.3", "1.2.3.4", "20250101", "prior")
# Of the planted nodules the first stays, the second has twice the volume, the third is gone, the fourth has half; one is new.
RATIOS = (1.0, 2.0, None, 0.5)
NEW = Nodule((-60.0, 20.0, 75.0), 11.0, "right", 40.0)
MOTIONS = {
    "shift 25 mm": Motion((15.0, -12.0, 16.0)),
    "shift 40 mm, turn 10°": Motion((20.0, 15.0, -31.0), (6.0, -5.0, 6.0)),
    "shift 25 mm, breath 15 mm": Motion((15.0, -12.0, 16.0), breath_mm=15.0),
}


def scan(nodules: tuple[Nodule, ...], motion: Motion) -> Volume:
    """The chest, moved, on the grid of a scanner that looks at where it is now."""
    sample, _ = chest(nodules=nodules)

    def moved(lps: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        planes = [sample(motion.backward(plane.astype(np.float64))) for plane in lps]  # slice by slice: the inverse takes memory
        return np.stack(planes)

    centre = motion.forward(np.array([0.0, 4.0, 5.0]))
    return make_volume(moved, SHAPE, SPACING_MM, "axial", (float(centre[0]), float(centre[1]), float(centre[2])))


def analyse(volume: Volume, key: str) -> Analysed:
    package = load_package(Path(REPOSITORY) / "models" / "ct-lung-nodule")
    identity = process.RunIdentity(key, "1.2", "1.2.3")
    result = process.run_stages(package, volume, identity, process.Sessions(process.count_threads()), monotonic)
    assert isinstance(result, Analysed), result
    return result


def tabulate() -> tuple[list[str], bool]:
    """A line for each planted nodule of each pair; whether each that both scans show was matched, and no other."""
    prior = analyse(scan(PLANTED, Motion()), "prior")
    later = tuple(
        dataclasses.replace(one, diameter_mm=one.diameter_mm * ratio ** (1 / 3))
        for one, ratio in zip(PLANTED, RATIOS, strict=True)
        if ratio
    )
    lines = ["| motion | planted nodule | true ratio | said | volume | place off, stated |", "|---|---|--:|---|--:|---|"]
    is_right = True
    for name, motion in MOTIONS.items():
        result = follow.compare_with_prior(analyse(scan((*later, NEW), motion), "current"), prior, REFERENCE, "20250701")
        assert result.comparison is not None
        registration = result.comparison.registration
        affine = np.array(registration.current_from_prior)
        for nodule, ratio in zip((*PLANTED, NEW), (*RATIOS, None), strict=True):
            home = np.array(nodule.centre_lps)
            off_mm = float(np.linalg.norm(affine[:3, :3] @ home + affine[:3, 3] - motion.forward(home)))
            before = next((one for one in prior.findings if np.linalg.norm(np.array(one.centre_lps) - home) < 8), None)
            now = next((one for one in result.findings if np.linalg.norm(motion.backward(np.array(one.centre_lps)) - home) < 8), None)
            gone = next((one for one in result.comparison.unmatched if before and one.number == before.number), None)
            change = now.change if now is not None else None if gone is None else gone.change
            percent = "" if change is None or change.volume_change_percent is None else f"{change.volume_change_percent:+.0f} %"
            said = "not marked in either" if change is None else str(change.category)
            known = "new" if nodule is NEW else "gone" if ratio is None else f"{ratio:g}"
            lines.append(
                f"| {name} | {nodule.diameter_mm:g} mm, {nodule.side} | {known} | {said} | {percent} "
                f"| {off_mm:.1f}, {registration.error_mm} mm |"
            )
            wanted = before.number if before is not None and now is not None and ratio else None
            is_right &= now is None or now.change is None or now.change.prior_number == wanted
        matched = sum(one.change is not None and one.change.prior_number is not None for one in result.findings)
        lines.append(f"| {name} | all findings | {len(result.findings)} | {matched} matched | | |")
    return lines, is_right


def main() -> int:
    """Print the table; 1 where a planted nodule was not matched, or wrongly."""
    lines, is_right = tabulate()
    print("\n".join(lines))
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
