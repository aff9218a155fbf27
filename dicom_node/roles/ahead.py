"""While images still arrive: they are read as they come, in the time that the worker and its inference process have to spare."""

import threading

from dicom_node import journal
from dicom_node.clock import Clock
from dicom_node.node import Node
from dicom_node.values import InstanceRef

LOOK_S = 0.2
_SERIES = 4  # that arrive at once; of more, the others are read when they are complete
_AT_ONCE = 16  # images: 20 ms of work, and a quarter of a second where they are compressed; a task for the model waits for it
_LARGEST_BYTES = 10 << 20  # of a group
_KNOWN = 20_000  # files


class Ahead:
    """Reads what arrives."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node, self._clock = node, clock
        self._since = 0.0
        self._read = dict[str, None]()  # files, the oldest first

    def look(self, stop: threading.Event) -> None:
        """Read what is new; then as long as that took is left to what is more urgent."""
        for instances in self.find_new():
            start = self._clock.monotonic()
            self._node.read_ahead(instances)
            if self._clock.wait(self._clock.monotonic() - start, stop):
                return

    def find_new(self) -> list[tuple[InstanceRef, ...]]:
        """What has come of open series since the last look, a few at a time."""
        with self._node.engine.begin() as connection:
            arriving = journal.read_arriving(connection, self._since, _SERIES)
        self._since = max((last_seen for last_seen, _ in arriving), default=self._since)
        new = [instance for _, instances in arriving for instance in instances if instance.file not in self._read]
        self._read.update((instance.file, None) for instance in new)
        while len(self._read) > _KNOWN:
            del self._read[next(iter(self._read))]
        return _group(new)


def _group(instances: list[InstanceRef]) -> list[tuple[InstanceRef, ...]]:
    """A few at a time, and fewer where they are large; what is larger still is read when it is wanted."""
    groups, group, size_bytes = list[tuple[InstanceRef, ...]](), list[InstanceRef](), 0
    for instance in instances:
        if instance.length > _LARGEST_BYTES:
            continue
        if group and (len(group) == _AT_ONCE or size_bytes + instance.length > _LARGEST_BYTES):
            groups.append(tuple(group))
            group, size_bytes = [], 0
        group.append(instance)
        size_bytes += instance.length
    return [*groups, tuple(group)] if group else groups
