"""Headers that were read while images still arrived, so that nothing of it is left to do when the last one is here.

A file of the spool never changes, so what was read of it stays true; that it is still there is looked at when its header is wanted.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.values import CompletenessRule, InstanceHeaders, InstanceRef, Reason, SeriesHeaders

from .part10 import read_headers, read_instance

# Some ten thousand bytes each; what comes beyond this is read when it is wanted.
_HEADERS = 6_000
_LONGEST_BYTES = 1 << 16  # of one header: private elements of many megabytes do exist


class HeadersAhead:
    """Reads headers, and those ahead that will be wanted soon. Several threads may use it at once."""

    def __init__(self) -> None:
        self._found: dict[str, InstanceHeaders | Reason] = {}  # by file, the oldest first
        self._lock = threading.Lock()

    def read_ahead(self, root: Path, instances: Sequence[InstanceRef]) -> tuple[InstanceHeaders, ...]:
        """Read what is not known yet; gives the new ones. What cannot be read now is left to whoever wants it."""
        new = []
        for instance in instances:
            with self._lock:
                is_known = instance.file in self._found
            if is_known:
                continue
            try:
                found = read_instance(root, instance)
            except SpoolFailed:
                continue
            if isinstance(found, InstanceHeaders):
                if len(found.data_set) > _LONGEST_BYTES:
                    continue
                new.append(found)
            with self._lock:
                self._found[instance.file] = found
                while len(self._found) > _HEADERS:
                    del self._found[next(iter(self._found))]
        return tuple(new)

    def read_headers(
        self, root: Path, instances: Sequence[InstanceRef], *, series_instance_uid: str, study_instance_uid: str, rule: CompletenessRule
    ) -> SeriesHeaders:
        """As `read_headers` without a memory gives them; what was read ahead is forgotten then. Raises SpoolFailed."""

        def read(root: Path, instance: InstanceRef) -> InstanceHeaders | Reason:
            with self._lock:
                found = self._found.pop(instance.file, None)
            return found if found is not None and (root / instance.file).exists() else read_instance(root, instance)

        return read_headers(root, instances, series_instance_uid, study_instance_uid, rule, read=read)
