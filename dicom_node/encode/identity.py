"""UIDs, numbers and times of an object: derived from its inputs, so that the same inputs give the same bytes."""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from dicom_node.values import ObjectKind, Role, derive_uid

from .kinds import KINDS
from .profile import Profile


@dataclass(frozen=True, slots=True)
class ObjectUids:
    """What an object is called. `dimension_organization` is a segmentation's only."""

    instance: str
    series: str
    dimension_organization: str


@lru_cache(maxsize=1024)
def derive_object_uids(result_key: str, kind: ObjectKind, profile: Profile, number: int = 1) -> ObjectUids:
    """The UIDs of the object of this kind that a result gives under this profile, whether or not it was ever made.

    `number` counts the instances of one series from 1, where the kind has several.
    """
    names = result_key, KINDS[kind].role, profile.digest_of(kind)
    return ObjectUids(
        instance=derive_uid(*names, "instance", *([] if number == 1 else [str(number)])),
        series=derive_uid(*names, "series"),
        dimension_organization=derive_uid(*names, "dimension organization"),
    )


def derive_series_number(package_name: str, role: Role, taken: int | None) -> int:
    """A number from 9000 on, the same for the same model and role, and not `taken`, the number of the source series."""
    number = 9000 + 20 * (zlib.crc32(package_name.encode()) % 400) + list(Role).index(role)
    return number + 8000 if number == taken else number


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A date (DA) and a time (TM) as DICOM writes them, on the clock of the source images; ordered by time."""

    date: str
    time: str


# What the object of an instance without any legal date carries: a date that nobody takes for true.
NO_MOMENT = Moment("19000101", "000000")

# Where a source instance says when it came to be, in the order of PS3.6. The latest of all counts, so their order decides nothing.
DATE_TIMES = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
)
ACQUISITION_DATE_TIME = "AcquisitionDateTime"

_DATE = re.compile(r"(\d{4})[.]?(0[1-9]|1[0-2])[.]?(0[1-9]|[12]\d|3[01])")  # with dots: ACR-NEMA's form
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d)(?:[.](\d{1,6}))?)?)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{2,6}(?:[.]\d{1,6})?)?(?:[+-]\d{4})?")


def find_latest_moment(instances: Iterable[dict[str, str]]) -> Moment:
    """The latest of the study, series, acquisition and content date-times of all instances (texts by keyword).

    A date without a time counts from midnight, a time without a date counts nothing. NO_MOMENT where there is none.
    The offset of an Acquisition DateTime is left out: the other attributes are on the same clock without saying so.
    """
    return max((moment for texts in instances for moment in _moments(texts)), default=NO_MOMENT)


def _moments(texts: dict[str, str]) -> Iterator[Moment]:
    pairs = [(texts.get(date, ""), texts.get(time, "")) for date, time in DATE_TIMES]
    combined = _DATE_TIME.fullmatch(texts.get(ACQUISITION_DATE_TIME, ""))
    if combined is not None:
        pairs.append((combined[1], combined[2] or ""))
    for date, time in pairs:
        legal = _DATE.fullmatch(date)
        if legal is not None:
            yield Moment("".join(legal.groups()), _legal_time(time))


def _legal_time(text: str) -> str:
    match = _TIME.fullmatch(text)
    if match is None:
        return "000000"
    hours, minutes, seconds, fraction = match.groups()
    return f"{hours}{minutes or '00'}{seconds or '00'}" + (f".{fraction}" if fraction and int(fraction) else "")
