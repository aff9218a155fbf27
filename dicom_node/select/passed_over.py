"""Packages that a study is for, and that take nothing of it: the absence of a result, with the reason that comes nearest."""

from collections.abc import Sequence

from dicom_node.package import Package
from dicom_node.values import Accepted, Answer, AssembledSeries, Reason, Refused, SeriesHeaders
from dicom_node.values.reasons import NotSuitable, OutOfService

from .conditions import find_failed
from .subjects import VolumeView

_KIND_OF_STUDY = "Modality"


def find_passed_over(packages: Sequence[Package], study: Sequence[AssembledSeries], answers: Sequence[Answer]) -> tuple[Refused, ...]:
    """Of each package that takes no volume of the study, the refusal of the one that comes nearest, with a reason in any case.

    Nearest is what fails the fewest conditions; of several, the series with most instances, then the order of `answers`. A package is
    passed over only where a series is of its modality: nobody expects of a study of the head what a model for mammograms finds. What is
    refused because a package is out of service is judged again when it is not.
    """
    headers = {one.headers.series_instance_uid: one.headers for one in study}
    found = []
    for package in packages:
        own = [answer for answer in answers if answer.package == package.ref.name]
        refused = [answer for answer in own if isinstance(answer, Refused) and _is_of_kind(package, headers[answer.series_instance_uid])]
        is_awaited = any(isinstance(answer, Accepted) or isinstance(answer.reason, OutOfService) for answer in own)
        if refused and not is_awaited:
            nearest = min(refused, key=lambda one: (max(len(one.failed), 1), -len(headers[one.series_instance_uid].instances)))
            found.append(Refused(nearest.package, nearest.series_instance_uid, nearest.volume, nearest.failed, _reason_of(nearest)))
    return tuple(found)


def _is_of_kind(package: Package, headers: SeriesHeaders) -> bool:
    """Whether a series meets what the package wants of the modality."""
    of_kind = tuple(one for one in package.manifest.accept.conditions if one.attribute == _KIND_OF_STUDY)
    return not find_failed(of_kind, VolumeView(None, headers.instances))


def _reason_of(refused: Refused) -> Reason:
    """Its own, else the first condition that it fails."""
    if refused.reason is not None:
        return refused.reason
    first, *_ = refused.failed
    return NotSuitable(first.subject, first.wanted, first.found)
