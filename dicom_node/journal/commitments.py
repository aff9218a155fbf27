"""What destinations say of what they acknowledged, and which questions may be answered: storage commitment (PS3.4 annex J), C-FIND."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from dicom_node.clock import Clock
from dicom_node.config import DeliverSection
from dicom_node.errors import CommitmentRefused, NotConfirmed, NotHeld
from dicom_node.values import CommitmentReport, DeliveryState, Held, Holding, PeerName, TakenReport

from .deliveries import Waiting, find_acknowledged, write_next_try, write_proof
from .engine import Client, DeliveryJob, ProofJob
from .results import find_priority
from .tables import commitments


class Commitments:
    """Transactions and what is said of objects. A transaction is answered once: the same report again changes nothing."""

    def __init__(self, engine: sa.Engine, client: Client, clock: Clock, limits: DeliverSection) -> None:
        self._engine, self._client, self._clock, self._limits = engine, client, clock, limits

    def open(self, transaction_uid: str, job: ProofJob) -> None:
        """Make a transaction known before it is asked for, since its report may come first; one that is known stays as it is."""
        here = commitments.c.transaction_uid == transaction_uid
        with self._engine.begin() as connection:
            if connection.execute(sa.select(commitments.c.asked_at).where(here)).first() is None:
                row = {"transaction_uid": transaction_uid, "result_key": job.result_key, "destination": job.destination}
                connection.execute(commitments.insert().values(**row, asked_at=self._clock.now()))

    def is_answered(self, transaction_uid: str) -> bool:
        """Whether its report has come."""
        here = commitments.c.transaction_uid == transaction_uid
        with self._engine.begin() as connection:
            return connection.execute(sa.select(commitments.c.answered_at).where(here)).scalar_one_or_none() is not None

    def report(self, report: CommitmentReport, peers: tuple[PeerName, ...]) -> TakenReport | None:
        """Record what one of the peers says; None where none of them was asked so.

        What a peer cannot say now changes nothing: the question is asked again by itself, as one is that gets no answer.
        """
        here = sa.and_(
            commitments.c.transaction_uid == report.transaction_uid, commitments.c.destination.in_([peer.text for peer in peers])
        )
        with self._engine.begin() as connection:
            asked = connection.execute(sa.select(commitments).where(here).with_for_update()).first()
            if asked is None:
                return None
            changed: Mapping[str, DeliveryState] = {}
            if asked.answered_at is None:
                connection.execute(commitments.update().where(here).values(answered_at=self._clock.now()))
                job = ProofJob(asked.result_key, asked.destination, attempt=0)
                decided = [holding for holding in report.holdings if holding.held is not Held.NOT_NOW]
                changed = self.write(connection, job, find_acknowledged(connection, job), decided)
        return TakenReport(asked.result_key, PeerName(asked.destination), tuple(changed.items()))

    def write(
        self, connection: sa.Connection, job: ProofJob, objects: Sequence[Waiting], holdings: Sequence[Holding]
    ) -> Mapping[str, DeliveryState]:
        """Record what a destination said of objects, and queue anew what it has lost; gives what has changed, by SOP Instance UID.

        An object that was lost as often as a failing one is tried (`failure_tries`) is given up.
        """
        now, said = self._clock.now(), {holding.sop_instance_uid: holding for holding in holdings}
        changed: dict[str, DeliveryState] = {}
        for one in objects:
            holding = said.get(one.sop_instance_uid)
            if holding is None:
                continue
            state, error = self._state_after(holding, one.lost + 1)
            proof = holding.proof if state is DeliveryState.CONFIRMED else None
            if write_proof(connection, job, one.number, state, error, now=now, proof=proof, status=holding.reason):
                changed[one.sop_instance_uid] = state
        if set(changed.values()) & {DeliveryState.QUEUED, DeliveryState.GIVEN_UP, DeliveryState.REFUSED}:
            self._close_all(connection, job)
        if DeliveryState.QUEUED in changed.values():
            delay_s = self._limits.delay_s(max(one.lost for one in objects))
            again = DeliveryJob(job.result_key, job.destination, attempt=0, round=int(now))
            self._client.enqueue_delivery(connection, again, find_priority(connection, job.result_key), delay_s)
            write_next_try(connection, again, now + delay_s)
        return changed

    def _close_all(self, connection: sa.Connection, job: ProofJob) -> None:
        """Reports that are still under way speak of an object as it was before it was lost: none of them is believed any more."""
        here = sa.and_(commitments.c.result_key == job.result_key, commitments.c.destination == job.destination)
        still_open = commitments.c.answered_at.is_(None)
        connection.execute(commitments.update().where(here, still_open).values(answered_at=self._clock.now()))

    def _state_after(self, holding: Holding, times: int) -> tuple[DeliveryState, str | None]:
        """The state of an object and the name of its error; `times`: how often it was lost, if it is lost now."""
        match holding.held:
            case Held.YES:
                return DeliveryState.CONFIRMED, None
            case Held.NO:
                is_over = times >= self._limits.failure_tries
                return (DeliveryState.GIVEN_UP if is_over else DeliveryState.QUEUED), NotHeld.__name__
            case Held.NOT_NOW:
                return DeliveryState.SENT, NotConfirmed.__name__
            case Held.NEVER:
                return DeliveryState.REFUSED, CommitmentRefused.__name__
