"""Sends study after study, as many at once as it may; the next one when one is over: as fast as the node finishes them."""

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from tests.faults.outside import RETRY_S, TAKEN, Sending
from tests.peers.modality import Modality
from tests.peers.part10 import Encoded
from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE, Aborted, RawAssociation, Rejected, encode_store_request

from .ledger import Ledger, UnderWay
from .studies import Kind, Studies, Study

OVER_LIMIT_S = 300.0  # a study that takes longer is not waited for, and lost
_STRANGERS = 3


@dataclass
class Sender:
    """So many threads, each with a study under way, until `until` (monotonic seconds)."""

    port: int
    studies: Studies
    ledger: Ledger
    at_once: int
    until: float
    begun: int = 0
    acknowledged: int = 0  # images, those that came twice included
    refused: int = 0  # calls and objects, as they should be
    broken: int = 0
    again: int = 0  # what was answered with another status than success, and sent again
    failures: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        for number in range(self.at_once):
            self._threads.append(threading.Thread(target=self._run, name=f"sender-{number}", daemon=True))
            self._threads[-1].start()

    @property
    def is_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while monotonic() < self.until and not self.failures:
            with self._lock:
                number = next(self._numbers)
                self.begun += 1
            try:
                self._send(self.studies.make(number))
            except AssertionError as error:  # an answer that none of this may get
                self.failures.append(f"study {number}: {error}")

    def _send(self, study: Study) -> None:
        one = self.ledger.begin(Sending(study.study_instance_uid, study.instances))
        instances = study.instances
        match study.kind:
            case Kind.PLAIN:
                self._store_all(one.sending, instances)
            case Kind.TWO_ASSOCIATIONS:
                self._store_halves(one.sending, instances)
            case Kind.DUPLICATES:
                self._store_all(one.sending, instances)
                self._store_again(instances[: len(instances) // 2])
            case Kind.BROKEN:
                self._store_all(one.sending, instances[: len(instances) // 2])
                self._break_off(instances[len(instances) // 2])
                self._store_all(one.sending, instances)
            case Kind.LATE:
                self._store_all(one.sending, instances[: 3 * len(instances) // 4])
                one.reported.wait(OVER_LIMIT_S)
                self._store_all(one.sending, instances)
            case Kind.STRANGER:
                self._be_refused(instances[0])
                self._store_all(one.sending, instances)
        self._wait(one)

    def _wait(self, one: UnderWay) -> None:
        if not one.over.wait(OVER_LIMIT_S):
            self.failures.append(f"{one.sending.study_instance_uid} takes longer than {OVER_LIMIT_S:g} s: {one.verdict}")

    def _store_all(self, sending: Sending, instances: Sequence[Encoded]) -> None:
        """As a modality does: what was not acknowledged is sent again."""
        end = monotonic() + OVER_LIMIT_S
        while left := [one for one in instances if one.sop_instance_uid not in sending.acknowledged]:
            assert monotonic() < end, "the node does not take it"
            with contextlib.suppress(OSError, Aborted, Rejected), Modality(self.port) as modality:
                for instance in left:
                    status = modality.store(instance)
                    if status != TAKEN:
                        break
                    sending.acknowledged[instance.sop_instance_uid] = hashlib.sha256(instance.data_set).hexdigest()
                    self.acknowledged += 1
                else:
                    continue
            self.again += 1
            threading.Event().wait(RETRY_S)

    def _store_halves(self, sending: Sending, instances: Sequence[Encoded]) -> None:
        other = threading.Thread(target=self._store_all, args=(sending, instances[::2]), daemon=True)
        other.start()
        self._store_all(sending, instances[1::2])
        other.join(OVER_LIMIT_S)

    def _store_again(self, instances: Sequence[Encoded]) -> None:
        with contextlib.suppress(OSError, Aborted, Rejected), Modality(self.port) as modality:
            for instance in instances:
                self.acknowledged += modality.store(instance) == TAKEN

    def _break_off(self, instance: Encoded) -> None:
        """Half of an image, then nothing any more."""
        with contextlib.suppress(OSError, Aborted, Rejected):
            association = RawAssociation(self.port, [(instance.sop_class_uid, [instance.transfer_syntax_uid])])
            command = encode_store_request(instance.sop_class_uid, instance.sop_instance_uid, 1)
            message = association.encode_message(1, command, instance.data_set)
            association.connection.sendall(message[: len(message) // 2])
            association.connection.close()
            self.broken += 1

    def _be_refused(self, instance: Encoded) -> None:
        for number in range(_STRANGERS):
            try:
                RawAssociation(self.port, [(CT_IMAGE, [EXPLICIT_LITTLE])], calling=f"STRANGER{number}").connection.close()
            except Rejected:
                self.refused += 1
            except (OSError, Aborted):
                continue
            else:
                raise AssertionError("an unknown title was let in")
        with contextlib.suppress(OSError, Aborted, Rejected), Modality(self.port) as modality:
            nothing = Encoded(instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid, b"\0" * 64)
            assert modality.store(nothing) != TAKEN, "an object that is none was taken"
            self.refused += 1
