"""Which finding of the prior is which one now."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dicom_node.values import Analysed, Finding, Registration

from .places import move
from .sizes import radius_mm

LONGEST_MM = 30.0  # no two findings further apart are taken for one, however uncertain the registration is
# Above it nothing is paired, and nothing called new or gone: the counterpart may lie beyond the reach, and a neighbour within.
_LARGEST_ERROR_MM = 15.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Indices of two findings that are taken for one, and how far apart they lie once the scans are laid over each other."""

    current: int
    prior: int
    distance_mm: float


def find_pairs(current: Analysed, prior: Analysed, registration: Registration) -> tuple[Pair, ...]:
    """One to one, in the order of the current findings: of all assignments the one with the least distance in sum, where a finding
    that stays alone counts as much as the longest distance at which it could be paired.

    Two can be one where kind and side are the same and the centres lie within twice the registration's error and the larger radius,
    at most `LONGEST_MM`. None where the registration is not certain: the nearest is as likely as not another one.
    """
    if not current.findings or not prior.findings or not is_certain(registration):
        return ()
    moved = move(registration.current_from_prior, [finding.centre_lps for finding in prior.findings])
    centres = np.array([finding.centre_lps for finding in current.findings])
    distances_mm = np.linalg.norm(centres[:, None] - moved[None], axis=-1)
    radii_mm = np.maximum(
        np.array([radius_mm(finding, current.geometry) for finding in current.findings])[:, None],
        np.array([radius_mm(finding, prior.geometry) for finding in prior.findings])[None],
    )
    reach_mm = np.minimum(2 * registration.error_mm + radii_mm, LONGEST_MM)
    alike = np.array([[are_alike(one, other) for other in prior.findings] for one in current.findings])
    costs = np.where(alike, np.minimum(distances_mm - reach_mm, 0.0), 0.0)
    return tuple(
        Pair(int(one), int(other), round(float(distances_mm[one, other]), 1))
        for one, other in zip(*linear_sum_assignment(costs), strict=True)
        if costs[one, other] < 0
    )


def are_alike(one: Finding, other: Finding) -> bool:
    """Whether two findings may be one: of the same kind, and not on different sides."""
    same_type = (one.type.value, one.type.scheme) == (other.type.value, other.type.scheme)
    return same_type and (one.laterality is None or other.laterality is None or one.laterality is other.laterality)


def is_certain(registration: Registration) -> bool:
    """Whether the scans fit well enough to say anything of single findings."""
    return registration.error_mm <= _LARGEST_ERROR_MM
