"""What stands outside the node: a sender that keeps a ledger of what was acknowledged, and a checker that holds it against the archive."""

import contextlib
import functools
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.part10 import Encoded
from tests.peers.sender import Aborted, Rejected

RETRY_S = 0.3
TAKEN = 0x0000


@dataclass
class Sending:
    """One study on its way in. `acknowledged` holds the digest of each instance that was answered with success."""

    study_instance_uid: str
    instances: Sequence[Encoded]
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: int = 0  # answers other than success, and associations that were not accepted or broke
    began: float = field(default_factory=monotonic)
    late: set[str] = field(default_factory=set)  # held back until `release`
    _stop: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Send what was held back."""
        self.late.clear()

    @property
    def is_sent(self) -> bool:
        return len(self.acknowledged) == len(self.instances)

    def start(self, port: int, *, by_turns: int = 1) -> "Sending":
        """Send from so many threads, each the whole study but for what is acknowledged already, until all of it is."""
        for _ in range(by_turns):
            threading.Thread(target=self._send, args=(port,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._stop.set()

    def _send(self, port: int) -> None:
        """As a modality does: what was not acknowledged is sent again."""
        while not self._stop.is_set() and not self.is_sent:
            with contextlib.suppress(OSError, Aborted, Rejected, AssertionError), Modality(port) as modality:
                for instance in self.instances:
                    if self._stop.is_set():
                        return
                    if instance.sop_instance_uid in self.acknowledged or instance.sop_instance_uid in self.late:
                        continue
                    status = modality.store(instance)
                    if status != TAKEN:
                        self.refused += 1
                        break
                    self.acknowledged[instance.sop_instance_uid] = hashlib.sha256(instance.data_set).hexdigest()
                else:
                    if self.is_sent:
                        return
            self.refused += 1
            self._stop.wait(RETRY_S)


@dataclass(frozen=True)
class Verdict:
    """What the archive holds of a study against what was acknowledged. `missing` says for a person what is wrong."""

    lost: int
    doubled: int
    is_finished: bool
    missing: str = ""


def judge(sending: Sending, archive: Archive) -> Verdict:
    """One current result of a segmentation and a report, whose evidence names every acknowledged instance.

    A report that another one names as its predecessor is not current. Two current ones, two of the same evidence, or a segmentation
    that no report names, are doubled; an acknowledged instance that no current report names is lost, where the sender has sent all it
    had. A report of half a study may have found nothing, and names no segmentation.
    """
    own = [one for one in map(read_object, archive.files()) if one.study_instance_uid == sending.study_instance_uid]
    reports = [one for one in own if one.modality == "SR"]
    segmentations = [one for one in own if one.modality == "SEG"]
    replaced = {uid for report in reports for uid in report.predecessors}
    current = [report for report in reports if report.sop_instance_uid not in replaced]
    same_evidence = sum(count - 1 for count in Counter(report.evidence for report in reports).values())
    named_segmentations = {uid for report in reports for uid in report.segmentations}
    held = {one.sop_instance_uid for one in segmentations}
    doubled = max(len(current) - 1, 0) + same_evidence + len(held - named_segmentations) * bool(current)
    named = current[0].evidence if current else frozenset()
    lost = set(sending.acknowledged) - named
    is_finished = sending.is_sent and len(current) == 1 and held == named_segmentations and not lost
    missing = "" if is_finished else f"sent={sending.is_sent} reports={len(reports)} segmentations={len(segmentations)} unnamed={len(lost)}"
    return Verdict(len(lost), doubled, is_finished, missing)


@dataclass(frozen=True)
class Held:
    """An object of the archive, as far as it counts."""

    sop_instance_uid: str
    study_instance_uid: str
    modality: str
    evidence: frozenset[str]  # the source images that a report names
    segmentations: frozenset[str]  # those that it names
    predecessors: tuple[str, ...]


def read_object(path: Path) -> Held:
    """The object in a file; a file is parsed once, unless it was written again."""
    return _parse(path, path.stat().st_mtime_ns)


@functools.cache
def _parse(path: Path, _: int) -> Held:
    found = dcmread(path, stop_before_pixels=True)
    uids = str(found.SOPInstanceUID), str(found.StudyInstanceUID)
    images, segmentations = _evidence(found)
    return Held(*uids, str(found.Modality), images, segmentations, tuple(_predecessors(found)))


def count_resent(archive: Archive) -> int:
    """Objects that the archive acknowledged more than once under one UID, which is allowed: it holds one."""
    record = archive.folder / "record.jsonl"
    lines = record.read_text().splitlines() if record.exists() else []
    taken = Counter(stored["sop_instance_uid"] for stored in map(json.loads, lines) if stored["status"] == TAKEN)
    return sum(count > 1 for count in taken.values())


def count_in_spool(sending: Sending, spool: Path) -> int:
    """How many acknowledged instances are not in the spool with the bytes that were acknowledged."""
    names = {path.stem.rpartition("-")[2] for path in spool.rglob("*.dcm")}
    return sum(digest not in names for digest in sending.acknowledged.values())


def _evidence(report: Dataset) -> tuple[frozenset[str], frozenset[str]]:
    """The source images that a report names (PS3.3 C.17.2.3), and its segmentations."""
    images, segmentations = set(), set()
    for study in report.get("CurrentRequestedProcedureEvidenceSequence", ()):
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                is_image = item.ReferencedSOPClassUID != "1.2.840.10008.5.1.4.1.1.66.4"
                (images if is_image else segmentations).add(str(item.ReferencedSOPInstanceUID))
    return frozenset(images), frozenset(segmentations)


def _predecessors(report: Dataset) -> list[str]:
    return [
        str(item.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
