"""Findings of a result from the regions that the package declares as its outputs."""

from collections.abc import Mapping, Sequence

import numpy as np

from dicom_node.package import Package
from dicom_node.package.manifest import Code, Output
from dicom_node.values import CodedConcept, Finding, Laterality, Mask, Measurement, derive_uid

from .inputs import Grid, Labels
from .lungs import LEFT, RIGHT
from .regions import Region

_SCORE_DIGITS = 3
_PLACE_DIGITS = 2

# Per stage, a list of: for each region of the stage, measurements.
Measurements = Mapping[str, Sequence[Sequence[tuple[Measurement, ...]]]]


def make_findings(
    package: Package,
    key: str,
    grid: Grid,
    regions: Mapping[str, Sequence[Region]],
    measured: Measurements,
    labels: Mapping[str, Labels],
) -> tuple[Finding, ...]:
    """One finding for each region of each output, numbered from 1: outputs in their order, then by score, then by place.

    `regions` and `measured` are by stage, `labels` (right 1, left 2) by the stage that tells sides. Tracking UIDs are derived
    from the result's key, so the same result names its findings alike each time.
    """
    findings: list[Finding] = []
    for output in package.manifest.outputs:
        sides = None if output.laterality_from is None else labels[output.laterality_from]
        chosen = [
            (region, tuple(one for each in measured.get(output.stage, ()) for one in each[number]))
            for number, region in enumerate(regions[output.stage])
            if output.value is None or region.value == output.value
        ]
        places = {id(region): _centre(region.mask, grid) for region, _ in chosen}
        chosen.sort(key=lambda one: (-_score(one[0]), one[0].value or 0, *places[id(one[0])]))
        for region, measurements in chosen:
            number = len(findings) + 1
            findings.append(_finding(package, key, number, output, region, measurements, places[id(region)], sides))
    return tuple(findings)


def find_laterality(mask: Mask, sides: Labels) -> Laterality | None:
    """The side on which most of the mask lies, or None where it lies on neither."""
    box = tuple(slice(start, start + extent) for start, extent in zip(mask.origin, mask.voxels.shape, strict=True))
    right, left = (np.count_nonzero(sides[box][mask.voxels] == side) for side in (RIGHT, LEFT))
    if right == left == 0:
        return None
    return Laterality.RIGHT if right >= left else Laterality.LEFT


def _finding(
    package: Package,
    key: str,
    number: int,
    output: Output,
    region: Region,
    measurements: tuple[Measurement, ...],
    centre_lps: tuple[float, float, float],
    sides: Labels | None,
) -> Finding:
    score = None if region.candidate is None or region.candidate.score is None else round(region.candidate.score, _SCORE_DIGITS)
    return Finding(
        number=number,
        tracking_identifier=f"{package.ref.name} {number}",
        tracking_uid=derive_uid(key, "tracking", str(number)),
        label=output.label,
        category=_concept(output.category),
        type=_concept(output.type),
        site=None if output.site is None else _concept(output.site),
        laterality=None if sides is None else find_laterality(region.mask, sides),
        mask=region.mask,
        centre_lps=centre_lps,
        measurements=measurements,
        score=score,
        colour_rgb=output.colour_rgb,
    )


def _score(region: Region) -> float:
    return 0.0 if region.candidate is None else region.candidate.score or 0.0


def _centre(mask: Mask, grid: Grid) -> tuple[float, float, float]:
    """The centroid in LPS millimetres."""
    index = np.argwhere(mask.voxels).mean(axis=0) + mask.origin
    x, y, z = (round(float(value), _PLACE_DIGITS) + 0.0 for value in grid.lps_at(index))
    return x, y, z


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)
