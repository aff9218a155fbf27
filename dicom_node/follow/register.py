"""Where places of the prior scan lie in the current one.

A patient lies differently on the table each time, and the origin along the table is the operator's choice: the same place has other
coordinates, centimetres or decimetres away. What both results have kept is tried in the order of how much it tells: the body maps,
then pairs of findings that agree; where nothing agrees, coordinates are taken as they are, and that is said.
"""

import math
from collections.abc import Sequence

import numpy as np

from dicom_node.values import Analysed, Registration, RegistrationMethod

from .match import are_alike
from .places import Points, as_affine
from .sizes import volume_mm3
from .surfaces import lay_over

_DIGITS = 4
# Two pairs agree where their shifts differ by no more; breathing alone moves neighbours apart by as much, and by 8 mm two unlike pairs
# agree by chance as often as not (phantoms).
_AGREE_MM = 6.0
# A nodule may grow between two scans, but not to any size: of one pair, one volume is at most so many times the other.
_LARGEST_RATIO = 8.0
# So many pairs must agree: by chance three seldom do, two only where there are few to choose from, and of many findings more do.
_LEAST_PAIRS, _FEW, _LEAST_SHARE = 3, 3, 0.5
# How far the same place lies from itself in coordinates of two examinations, and of two series of one.
_OTHER_FRAME_MM, _SAME_FRAME_MM = 40.0, 8.0
# The surface of the lungs says no more than so much of what lies within, however well it fits: half of the maps' spacing.
_LEAST_ERROR_MM = 3.0


def register(current: Analysed, prior: Analysed) -> Registration:
    """Lay the prior over the current scan; both have a place in the patient."""
    return _by_body_maps(current, prior) or _by_findings(current, prior) or _by_coordinates(current, prior)


def _by_body_maps(current: Analysed, prior: Analysed) -> Registration | None:
    if current.body_map is None or prior.body_map is None:
        return None
    fit = lay_over(prior.body_map, current.body_map)
    if fit is None:
        return None
    error_mm = round(max(fit.error_mm, _LEAST_ERROR_MM), 1)
    return Registration(RegistrationMethod.BODY_MAP, as_affine(fit.current_from_prior, _DIGITS), error_mm, fit.points)


def _by_findings(current: Analysed, prior: Analysed) -> Registration | None:
    """A shift, no rotation: the one that most pairs of alike findings agree on, of equal ones that on which they agree best."""
    pairs = _alike_pairs(current, prior)
    best: tuple[int, float, Points] | None = None
    for first, second in pairs:
        shift = _centre(current, first) - _centre(prior, second)
        agreeing = _agreeing(pairs, shift, current, prior)
        mean = np.mean([_centre(current, one) - _centre(prior, other) for one, other in agreeing], axis=0)
        spread = float(np.mean([np.linalg.norm(_centre(current, one) - _centre(prior, other) - mean) for one, other in agreeing]))
        if best is None or (len(agreeing), -spread) > (best[0], -best[1]):
            best = len(agreeing), spread, mean
    fewer, more = sorted((len(current.findings), len(prior.findings)))
    least = max(_LEAST_PAIRS - 1 if more <= _FEW else _LEAST_PAIRS, math.ceil(_LEAST_SHARE * fewer))
    if best is None or best[0] < least:
        return None
    count, spread, mean = best
    matrix = np.eye(4)
    matrix[:3, 3] = mean
    # with so few pairs their spread says little about places between them: never less than what makes pairs agree
    return Registration(RegistrationMethod.FINDINGS, as_affine(matrix, _DIGITS), round(max(_AGREE_MM, 2 * spread), 1), count)


def _by_coordinates(current: Analysed, prior: Analysed) -> Registration:
    frame = current.geometry.frame_of_reference_uid
    is_same = frame is not None and frame == prior.geometry.frame_of_reference_uid
    error_mm = _SAME_FRAME_MM if is_same else _OTHER_FRAME_MM
    return Registration(RegistrationMethod.COORDINATES, as_affine(np.eye(4), _DIGITS), error_mm, 0)


def _alike_pairs(current: Analysed, prior: Analysed) -> list[tuple[int, int]]:
    """Findings of the two scans that may be the same by kind, side and size."""
    sizes = [volume_mm3(one, current.geometry) for one in current.findings], [volume_mm3(one, prior.geometry) for one in prior.findings]
    return [
        (first, second)
        for first, one in enumerate(current.findings)
        for second, other in enumerate(prior.findings)
        if are_alike(one, other) and 1 / _LARGEST_RATIO <= sizes[0][first] / sizes[1][second] <= _LARGEST_RATIO
    ]


def _agreeing(pairs: Sequence[tuple[int, int]], shift: Points, current: Analysed, prior: Analysed) -> list[tuple[int, int]]:
    """Pairs that lie on each other after the shift, the nearest first, each finding once."""
    away = {pair: float(np.linalg.norm(_centre(current, pair[0]) - _centre(prior, pair[1]) - shift)) for pair in pairs}
    taken_current: set[int] = set()
    taken_prior: set[int] = set()
    agreeing = []
    for first, second in sorted(pairs, key=lambda pair: (away[pair], pair)):
        if away[first, second] <= _AGREE_MM and first not in taken_current and second not in taken_prior:
            agreeing.append((first, second))
            taken_current.add(first)
            taken_prior.add(second)
    return agreeing


def _centre(result: Analysed, number: int) -> Points:
    return np.array(result.findings[number].centre_lps)
