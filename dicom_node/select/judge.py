"""Every package is asked about every volume of a study."""

from collections.abc import Sequence
from dataclasses import replace

from dicom_node.package import Package, Preference
from dicom_node.values import Accepted, Answer, AssembledSeries, Reason, Refused

from .conditions import ABSENT, OUTSIDE, find_failed
from .subjects import VolumeView, find_values, is_private, name_subject, parse_number, render_values, view_volume

# The rank of what a preference finds nothing to order by: after all else. Finite, so that it can be written anywhere.
LAST = 1e30


def judge(packages: Sequence[Package], study: Sequence[AssembledSeries]) -> tuple[Answer, ...]:
    """The answer of each package to each volume of each series: Accepted with its rank, or Refused with all that failed.

    A package takes its `series_per_study` best volumes (`chosen`); equal ranks are settled by the larger number of slices, then
    by Series Instance UID. Answers come by package as given, then series by UID, then volume, so that neither the order of
    arrival nor that of `study` changes anything.
    """
    answers: list[Answer] = []
    series = sorted(study, key=lambda one: one.headers.series_instance_uid)
    for package in packages:
        answers += _choose([_ask(package, one, volume) for one in series for volume in range(len(one.volumes))], package)
    return tuple(answers)


def _ask(package: Package, series: AssembledSeries, volume: int) -> Answer:
    name, uid = package.manifest.package.name, series.headers.series_instance_uid
    geometry = series.volumes[volume]
    if isinstance(geometry, Reason):
        return Refused(name, uid, volume, reason=geometry)
    view = view_volume(series.headers, geometry)
    failed = find_failed(package.manifest.accept.conditions, view)
    if failed:
        return Refused(name, uid, volume, failed=failed)
    preferences = package.manifest.accept.prefer
    rank = (*(_rank(preference, view) for preference in preferences), -float(geometry.shape[0]))
    because = tuple((name_subject(preference), _render_found(preference, view)) for preference in preferences)
    return Accepted(name, uid, volume, rank, chosen=False, because=because)


def _choose(answers: list[Answer], package: Package) -> list[Answer]:
    """The same answers, the best of them chosen."""
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    accepted.sort(key=lambda answer: (answer.rank, answer.series_instance_uid, answer.volume))
    best = accepted[: package.manifest.accept.series_per_study]
    return [replace(answer, chosen=True) if isinstance(answer, Accepted) and answer in best else answer for answer in answers]


def _rank(preference: Preference, view: VolumeView) -> float:
    """One key of the order, the smallest first; the worst value within the volume counts."""
    return max(_rank_values(preference, values) for values in find_values(preference, view))


def _rank_values(preference: Preference, values: tuple[str, ...]) -> float:
    if not values:
        return LAST
    if preference.order == "values":
        text = "\\".join(values).casefold()
        return float(next((place for place, word in enumerate(preference.values) if word.casefold() in text), len(preference.values)))
    number = parse_number(values[0])
    if number is None:
        return LAST
    return number if preference.order == "smallest" else -number


def _render_found(preference: Preference, view: VolumeView) -> str:
    values = find_values(preference, view)[-1]
    if not values:
        return ABSENT
    return OUTSIDE if is_private(preference) else render_values(values)
