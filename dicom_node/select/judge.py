"""Every package is asked about every volume of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from dicom_node.package import Package, Preference
from dicom_node.values import Accepted, Answer, AssembledSeries, Reason, Refused

from .conditions import find_failed
from .subjects import VolumeView, find_values, name_subject, parse_number, render_found, view_volume

# The rank of what a preference finds nothing to order by: after all else. Finite, so that it can be written anywhere.
LAST = 1e30


_NONE: Mapping[str, Reason] = MappingProxyType({})


def judge(
    packages: Sequence[Package], study: Sequence[AssembledSeries], out_of_service: Mapping[str, Reason] = _NONE
) -> tuple[Answer, ...]:
    """The answer of each package to each volume of each series: Accepted with its rank, or Refused with all that failed.

    A package takes its `series_per_study` best volumes (`chosen`); equal ranks are settled by the larger number of slices, then
    by Series Instance UID. Answers come by package as given, then series by UID, then volume, so that neither the order of
    arrival nor that of `study` changes anything. A package whose name is in `out_of_service` refuses for that reason what it
    would have accepted.
    """
    answers: list[Answer] = []
    series = sorted(study, key=lambda one: one.headers.series_instance_uid)
    for package in packages:
        answers += _choose([_ask(package, one, volume, out_of_service) for one in series for volume in range(len(one.volumes))], package)
    return tuple(answers)


def _ask(package: Package, series: AssembledSeries, volume: int, out_of_service: Mapping[str, Reason]) -> Answer:
    name, uid = package.manifest.package.name, series.headers.series_instance_uid
    geometry = series.volumes[volume]
    if isinstance(geometry, Reason):
        return Refused(name, uid, volume, reason=geometry)
    view = view_volume(series.headers, geometry)
    failed = find_failed(package.manifest.accept.conditions, view)
    if failed:
        return Refused(name, uid, volume, failed=failed)
    if name in out_of_service:
        return Refused(name, uid, volume, reason=out_of_service[name])
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
        words = _find_words(preference, values)
        return float(preference.values.index(words[0]) if words else len(preference.values))
    number = parse_number(values[0])
    if number is None:
        return LAST
    return number if preference.order == "smallest" else -number


def _render_found(preference: Preference, view: VolumeView) -> str:
    values = find_values(preference, view)[-1]
    return render_found(preference, values, _find_words(preference, values))


def _find_words(preference: Preference, values: tuple[str, ...]) -> list[str]:
    """The words of the package that occur, in its order and as it writes them."""
    text = "\\".join(values).casefold()
    return [word for word in preference.values if word.casefold() in text]
