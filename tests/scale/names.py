"""Studies by number, with UIDs as scanners write them; the same number gives the same study."""

import hashlib
from dataclasses import dataclass

from dicom_node.values import derive_digest, derive_key

SERIES = 2
_CT, _EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
_SCANNERS = 8


@dataclass(frozen=True, slots=True)
class Named:
    """The names of one study and of what is made of it."""

    number: int
    study: str
    series: tuple[str, ...]
    result_key: str
    made: tuple[str, str, str]  # the segmentation, the report, their series

    @property
    def key(self) -> str:
        return derive_key(self.study).text


def name_study(number: int) -> Named:
    """Every second study has UIDs that count up as scanners' do; the others have UIDs without any order (PS3.5 B.2)."""
    if number % 2:
        study = _unordered(f"study {number}")
        series = tuple(_unordered(f"series {number} {index}") for index in range(SERIES))
    else:
        root = f"1.2.840.113619.2.404.3.{2831164355 + number % _SCANNERS}.{100 + number % 7}.{1700000000 + 43 * number}"
        study = f"{root}.1"
        series = tuple(f"{root}.{2 + index}" for index in range(SERIES))
    made = (_unordered(f"seg {number}"), _unordered(f"report {number}"), _unordered(f"made {number}"))
    return Named(number, study, series, derive_digest("result", str(number)), made)


def instance_row(named: Named, index: int, received_at: float, removed_at: float | None) -> tuple[object, ...]:
    """A row of `node_instances` in the order of `INSTANCE_COLUMNS`, as receipts write it."""
    number = named.number
    digest = hashlib.blake2b(f"{number} {index}".encode()).hexdigest()
    uid = f"2.25.{int(digest[64:96], 16)}" if number % 2 else f"{named.series[index % SERIES]}.{index}"
    file = f"{digest[96:98]}/{digest[96:128]}-{digest[:64]}.dcm"
    series = named.series[index % SERIES]
    return (uid, series, named.study, _CT, _EXPLICIT, digest[:64], file, 640, 526_336, received_at, removed_at, removed_at)


INSTANCE_COLUMNS = (
    *("sop_instance_uid", "series_instance_uid", "study_instance_uid", "sop_class_uid", "transfer_syntax_uid", "digest", "file"),
    *("offset", "length", "received_at", "removing_at", "removed_at"),
)


def _unordered(text: str) -> str:
    return f"2.25.{int(hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), 16)}"
