"""A result compared with the one that the same model gave for an earlier study of the patient.

Nothing but the two results is asked for: the images of the prior may have left long ago.
"""

import dataclasses
from datetime import date
from itertools import count

from dicom_node.values import (
    Analysed,
    Change,
    ChangeCategory,
    Comparison,
    Finding,
    PriorFinding,
    PriorRef,
    Registration,
)

from .change import find_change
from .match import LONGEST_MM, find_pairs, is_certain
from .places import is_inside, move
from .register import register
from .sizes import volume_mm3

# A finding in the outermost voxels of a scan may have been cut off by it.
_MARGIN_MM = 5.0


def compare_with_prior(current: Analysed, prior: Analysed, reference: PriorRef, study_date: str) -> Analysed:
    """The current result with its comparison, each of its findings with its change; matched ones by the prior's tracking names.

    `study_date` is the current study's (DA). The result as it was where there is nothing to compare: the prior's day is not before this
    one, or one of the two has no place in the patient, as projections have none.
    """
    days = days_between(reference.study_date, study_date)
    if days is None or days <= 0 or current.geometry.lps_from_index is None or prior.geometry.lps_from_index is None:
        return current
    registration = register(current, prior)
    pairs = {pair.current: pair for pair in find_pairs(current, prior, registration)}
    matched = {pair.prior for pair in pairs.values()}
    taken = {finding.tracking_identifier for finding in prior.findings}
    findings = []
    for number, finding in enumerate(current.findings):
        if number in pairs:
            pair = pairs[number]
            before = prior.findings[pair.prior]
            change = find_change(finding, before, current.geometry, prior.geometry, pair.distance_mm, days)
            name, uid = before.tracking_identifier, before.tracking_uid
        else:
            change = _without_prior(finding, current, prior, registration)
            name, uid = _free_name(finding, current, taken), finding.tracking_uid
        taken.add(name)
        findings.append(dataclasses.replace(finding, tracking_identifier=name, tracking_uid=uid, change=change))
    unmatched = tuple(
        PriorFinding(finding.number, finding.tracking_identifier, finding.tracking_uid, _gone(finding, current, prior, registration))
        for number, finding in enumerate(prior.findings)
        if number not in matched
    )
    comparison = Comparison(reference, days, registration, LONGEST_MM, is_certain(registration), unmatched)
    return dataclasses.replace(current, findings=tuple(findings), comparison=comparison)


def days_between(earlier: str, later: str) -> int | None:
    """Days from one date (DA) to another; None where one of them is none."""
    try:
        return (date.fromisoformat(later) - date.fromisoformat(earlier)).days
    except ValueError:
        return None


def _without_prior(finding: Finding, current: Analysed, prior: Analysed, registration: Registration) -> Change:
    """New, where that can be said: the scans fit, and the prior shows the place."""
    place = move(registration.current_from_prior, finding.centre_lps, backwards=True)
    is_seen = is_certain(registration) and is_inside(place, prior.geometry, _MARGIN_MM)
    category = ChangeCategory.NEW if is_seen else ChangeCategory.NOT_COMPARED
    return Change(category, volume_mm3=round(volume_mm3(finding, current.geometry), 1))


def _gone(finding: Finding, current: Analysed, prior: Analysed, registration: Registration) -> Change:
    """Gone, where that can be said: the scans fit, and the current one shows the place."""
    is_seen = is_certain(registration) and is_inside(
        move(registration.current_from_prior, finding.centre_lps), current.geometry, _MARGIN_MM
    )
    category = ChangeCategory.GONE if is_seen else ChangeCategory.NOT_COMPARED
    return Change(category, prior_number=finding.number, prior_volume_mm3=round(volume_mm3(finding, prior.geometry), 1))


def _free_name(finding: Finding, current: Analysed, taken: set[str]) -> str:
    """The finding's own tracking identifier, or the next one that no other finding of the two scans has."""
    if finding.tracking_identifier not in taken:
        return finding.tracking_identifier
    return next(name for number in count(1) if (name := f"{current.package.name} {number}") not in taken)
