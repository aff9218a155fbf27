"""One series as it came in."""

from dataclasses import dataclass
from enum import StrEnum

from .instance import InstanceHeaders, InstanceRef
from .keys import AETitle
from .reasons import Reason


class CompletenessRule(StrEnum):
    """Which evidence said that a series is complete; a result by QUIET_TIME carries *completeness not proven*."""

    COUNT = "count"  # the PACS counts as many instances as are here
    QUIET_TIME = "quiet-time"  # nothing came for the configured time, and no open association still feeds it
    OPERATOR = "operator"  # a person said so (replay)


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A complete series as the spool holds it, sorted by SOP Instance UID; `calling` is the title of who sent it last."""

    series_instance_uid: str
    study_instance_uid: str
    instances: tuple[InstanceRef, ...]
    rule: CompletenessRule
    calling: AETitle


@dataclass(frozen=True, slots=True)
class SeriesHeaders:
    """All readable instances of one series, sorted by SOP Instance UID so that the order of arrival changes nothing.

    `unreadable` names the instances whose header could not be read, with the reason; they are in no volume.
    """

    series_instance_uid: str
    study_instance_uid: str
    instances: tuple[InstanceHeaders, ...]
    unreadable: tuple[tuple[str, Reason], ...] = ()
    rule: CompletenessRule = CompletenessRule.QUIET_TIME

    @property
    def digests(self) -> tuple[str, ...]:
        """The sorted digests of the instances: what a result key is made from."""
        return tuple(sorted(headers.instance.digest for headers in self.instances))
