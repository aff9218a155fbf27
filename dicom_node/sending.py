"""The way of a result to its destinations, and the proof that it is there. Each method is one question to one part, or one row written."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import dicom_node
from dicom_node import deliver, encode, journal, receive
from dicom_node.clock import Clock
from dicom_node.config import Config, DeliverSection, Peer
from dicom_node.errors import (
    Again,
    NoCommitment,
    NoSuchDestination,
    NotConfirmed,
    ObjectMissing,
    PeerError,
    StatusRefused,
)
from dicom_node.log import (
    CommitmentUnavailable,
    DeliveryFailed,
    NoDestination,
    ObjectDelivered,
    ProofMissing,
    log,
    log_proof,
)
from dicom_node.values import (
    AETitle,
    Analysed,
    DeliveryState,
    DicomObject,
    Held,
    Holding,
    Key,
    ObjectKind,
    PeerName,
    Priority,
    Proof,
    ReportRef,
    Result,
    derive_uid,
)
from dicom_node.values.records import DeliveryRecord, SentObject


@dataclass(frozen=True, slots=True)
class Destination:
    """A peer that receives results, and the form in which it gets them."""

    name: PeerName
    peer: Peer
    profile: encode.Profile


Job = TypeVar("Job", journal.DeliveryJob, journal.ProofJob)

_DEAD = (DeliveryState.REFUSED, DeliveryState.GIVEN_UP)


class Sending:
    """What `pipeline.send` and `pipeline.prove` work with; a part of the node."""

    def __init__(self, config: Config, clock: Clock, engine: journal.SqlEngine, client: journal.Client, kept: journal.Kept) -> None:
        self._config, self._clock, self._engine, self._client, self._kept = config, clock, engine, client, kept
        self.title = config.node.ae_title
        self.limits: DeliverSection = config.node.deliver
        self._commitments = journal.Commitments(engine, client, clock, self.limits)

    def destinations(self, calling: AETitle) -> tuple[Destination, ...]:
        """Who receives the results of images that came from a caller."""
        source = find_peer(self._config, calling)
        found = tuple(
            self._destination(name)
            for name, peer in self._config.peers.items()
            if "receive" in peer.may and (not peer.results_for or source in peer.results_for)
        )
        if not found:
            log(NoDestination(calling))
        return found

    def destination(self, job: journal.DeliveryJob) -> Destination:
        """The destination of a delivery."""
        return self._destination(job.destination)

    def find_replaced(self, result: Result, destination: PeerName) -> ReportRef | None:
        """The report that a result's report replaces at a destination; None where nothing was sent there before."""
        if not isinstance(result, Analysed) or result.predecessor_key is None:
            return None
        with self._engine.begin() as connection:
            return journal.find_report(connection, result.predecessor_key, destination.text)

    def keep_objects(self, result: Result, destination: PeerName, objects: tuple[DicomObject, ...]) -> DeliveryRecord:
        """Keep the objects' bytes; gives the delivery that they are to be."""
        queued = tuple(
            SentObject(
                number=number,
                role=made.role,
                sop_class_uid=made.sop_class_uid,
                sop_instance_uid=made.sop_instance_uid,
                series_instance_uid=made.series_instance_uid,
                file=self._kept.write_bytes(made.content, suffix="dcm"),
            )
            for number, made in enumerate(objects)
        )
        return DeliveryRecord(result.key, destination.text, queued)

    def find_waiting(self, job: journal.DeliveryJob) -> tuple[journal.Waiting, ...]:
        """The objects that the destination has not acknowledged; those of a peer that is no destination any more are given up."""
        peer = self._config.peers.get(job.destination)
        with self._engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
            if peer is not None and "receive" in peer.may:
                return waiting
            for one in waiting:
                error, now = NoSuchDestination.__name__, self._clock.now()
                journal.write_outcome(connection, job, one.number, DeliveryState.GIVEN_UP, None, error, now=now)
        if waiting:
            log(DeliveryFailed(Key(job.result_key[:16]), PeerName(job.destination), NoSuchDestination, 0.0))
        return ()

    def paths(self, waiting: Sequence[journal.Waiting]) -> tuple[Path, ...]:
        """Where their files lie."""
        return tuple(self._kept.path(one.file) for one in waiting)

    def write_outcomes(self, job: journal.DeliveryJob, waiting: Sequence[journal.Waiting], sent: Sequence[deliver.Sent]) -> None:
        """Record each object's answer; what may work later is tried again."""
        key, peer = Key(job.result_key[:16]), PeerName(job.destination)
        unasked = Proof.NONE if self._config.peers[job.destination].proof_asked is Proof.NONE else None
        ended: list[type[Exception]] = []
        with self._engine.begin() as connection:
            for one, answer in zip(waiting, sent, strict=True):
                state, error = self._state_after(answer, job.attempt, one.failures), answer.error
                name, failed = None if error is None else type(error).__name__, answer.outcome is deliver.Outcome.RETRY_FEW
                now, number = self._clock.now(), one.number
                if not journal.write_outcome(
                    connection, job, number, state, answer.status, name, now=now, proof=unasked, has_failed=failed
                ):
                    continue  # another try has sent it meanwhile, or a person ended it
                log(ObjectDelivered(key, peer, state, answer.status or 0))
                if state in _DEAD:
                    ended.append(StatusRefused if error is None else type(error))
            if not self._try_again(connection, job):
                self._start_proof(connection, job)
        if ended:
            log(DeliveryFailed(key, peer, ended[0], 0.0))

    def write_failure(self, job: journal.DeliveryJob, waiting: Sequence[journal.Waiting], error: Exception) -> None:
        """Record that the peer was not reached, or does not want the objects; or what nobody expected, which is tried few times."""
        is_ours = not isinstance(error, PeerError)
        with self._engine.begin() as connection:
            for one in waiting:
                match error:
                    case PeerError(again=Again.NEVER):
                        state = DeliveryState.REFUSED
                    case PeerError():
                        state = DeliveryState.GIVEN_UP if job.attempt + 1 >= self.limits.tries else DeliveryState.QUEUED
                    case _:
                        state = DeliveryState.GIVEN_UP if one.failures + 1 >= self.limits.failure_tries else DeliveryState.QUEUED
                now, name = self._clock.now(), type(error).__name__
                journal.write_outcome(connection, job, one.number, state, None, name, now=now, has_failed=is_ours)
            delay_s = self._try_again(connection, job)
            if not delay_s:
                self._start_proof(connection, job)  # of what was acknowledged before
        log(DeliveryFailed(Key(job.result_key[:16]), PeerName(job.destination), type(error), delay_s))

    def write_broken(self, job: journal.DeliveryJob, error: Exception) -> None:
        """Record a fault of the node's own while it sent: it must not be tried for ever unseen."""
        with self._engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
        self.write_failure(job, waiting, ObjectMissing() if isinstance(error, FileNotFoundError) else error)

    def _try_again(self, connection: journal.Connection, job: journal.DeliveryJob) -> float:
        """Queue the next attempt where something is still queued; gives its delay, 0 for none."""
        if not journal.find_waiting(connection, job):
            return 0.0
        return self._start_next(connection, job, self._client.enqueue_delivery)

    # -- proof -------------------------------------------------------------------------------------------------------

    def find_unproven(self, job: journal.ProofJob) -> tuple[journal.Waiting, ...]:
        """The objects that the destination has to show; nobody is asked where it is none any more, or need not show them any more."""
        peer = self._config.peers.get(job.destination)
        with self._engine.begin() as connection:
            unproven = journal.find_unproven(connection, job)
            if peer is not None and "receive" in peer.may and peer.proof_asked is not Proof.NONE:
                return unproven
            is_there = peer is not None and "receive" in peer.may
            for one in unproven:
                error, proof = (None, Proof.NONE) if is_there else (NoSuchDestination, Proof.MISSING)
                self._leave_unproven(connection, job, one, error, proof)
        if unproven and not is_there:
            log(ProofMissing(Key(job.result_key[:16]), PeerName(job.destination), NoSuchDestination, 0.0))
        return ()

    def ask_whether_held(self, job: journal.ProofJob, unproven: Sequence[journal.Waiting]) -> tuple[Holding, ...]:
        """What the destination says of each object; NOT_NOW where its storage commitment report has not come, or is recorded already."""
        peer = self._config.peers[job.destination]
        with self._engine.begin() as connection:
            study = journal.find_study_of(connection, job.result_key) or ""
        objects = [deliver.Acknowledged(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid, study) for one in unproven]
        line = deliver.Line(PeerName(job.destination), peer, self.title, self.limits)
        if peer.proof_asked is Proof.COMMITMENT:
            try:
                self._ask_commitment(job, line, objects)
                return tuple(Holding(one.sop_instance_uid, Held.NOT_NOW, Proof.COMMITMENT) for one in unproven)
            except NoCommitment:
                if job.attempt == 0:
                    log(CommitmentUnavailable(Key(job.result_key[:16]), PeerName(job.destination)))
                if "count" not in peer.may:
                    raise
        found = deliver.ask_held(line, objects)
        return tuple(self._believe(job, one, holding) for one, holding in zip(unproven, found, strict=True))

    def _ask_commitment(self, job: journal.ProofJob, line: deliver.Line, objects: Sequence[deliver.Acknowledged]) -> None:
        """Ask under a transaction of this question's own; the report is recorded here or by the receiver, wherever it comes."""
        transaction_uid = derive_uid("commitment", job.result_key, job.destination, str(job.round), str(job.attempt))
        self._commitments.open(transaction_uid, job)
        deliver.ask_commitment(
            line,
            transaction_uid,
            objects,
            take_report=functools.partial(receive.take_report, peers=(line.destination,), commitments=self._commitments),
            is_answered=lambda: self._commitments.is_answered(transaction_uid),
        )

    def write_unanswered(self, job: journal.ProofJob, unproven: Sequence[journal.Waiting], error: Exception) -> None:
        """Record that the destination was not reached, or does not want to be asked, or what nobody expected, and ask again later; one
        that offers no proof at all is left alone."""
        is_over = isinstance(error, NoCommitment)
        with self._engine.begin() as connection:
            for one in unproven:
                self._leave_unproven(connection, job, one, type(error), proof=Proof.MISSING if is_over else None)
            delay_s = self._ask_again(connection, job)
        log(ProofMissing(Key(job.result_key[:16]), PeerName(job.destination), type(error), delay_s))

    def write_broken_proof(self, job: journal.ProofJob, error: Exception) -> None:
        """Record a fault of the node's own while it asked."""
        with self._engine.begin() as connection:
            unproven = journal.find_unproven(connection, job)
        self.write_unanswered(job, unproven, error)

    def write_proofs(self, job: journal.ProofJob, unproven: Sequence[journal.Waiting], holdings: Sequence[Holding]) -> None:
        """Record what the destination said; what it has lost is sent again, what it did not say is asked again."""
        key, peer = Key(job.result_key[:16]), PeerName(job.destination)
        with self._engine.begin() as connection:
            changed = self._commitments.write(connection, job, unproven, holdings)
            delay_s = self._ask_again(connection, job)
        for holding in holdings:
            match changed.get(holding.sop_instance_uid):
                case None:
                    pass  # its report has come to the receiver
                case DeliveryState.SENT:
                    log(ProofMissing(key, peer, NotConfirmed, delay_s))
                case state:
                    log_proof(key, peer, state, holding.proof)

    def _believe(self, job: journal.ProofJob, one: journal.Waiting, holding: Holding) -> Holding:
        """Many archives file first and list later: that an object is not listed counts when it was asked for several times.

        More often, and with the growing delays of the questions longer, each time that the object had to be sent again.
        """
        asked, needed = job.attempt + 1, min(self.limits.failure_tries * (one.lost + 1), self.limits.proof_tries)
        return dataclasses.replace(holding, held=Held.NOT_NOW) if holding.held is Held.NO and asked < needed else holding

    def _ask_again(self, connection: journal.Connection, job: journal.ProofJob) -> float:
        """Start the next question where something is still unproven, gives its delay; or leave it so, after as many as configured: 0."""
        unproven = journal.find_unproven(connection, job)
        if job.attempt + 1 >= self.limits.proof_tries:
            for one in unproven:
                self._leave_unproven(connection, job, one, NotConfirmed, Proof.MISSING)
            return 0.0
        if not unproven:
            return 0.0
        return self._start_next(connection, job, self._client.enqueue_proof)

    def _leave_unproven(
        self,
        connection: journal.Connection,
        job: journal.ProofJob,
        one: journal.Waiting,
        error: type[Exception] | None,
        proof: Proof | None,
    ) -> None:
        """The object stays acknowledged. MISSING: nobody asks until a person says so; a report that comes late is believed all the same."""
        name, now = None if error is None else error.__name__, self._clock.now()
        journal.write_proof(connection, job, one.number, DeliveryState.SENT, name, now=now, proof=proof)

    def _start_proof(self, connection: journal.Connection, job: journal.DeliveryJob) -> None:
        """Nothing is left to send: what the destination has to prove is asked for."""
        asked = journal.ProofJob(job.result_key, job.destination, attempt=0, round=int(self._clock.now()))
        if journal.find_unproven(connection, asked):
            self._client.enqueue_proof(connection, asked, journal.find_priority(connection, job.result_key))

    def _state_after(self, answer: deliver.Sent, attempt: int, failures: int) -> DeliveryState:
        """Where an object stands after an answer to try number `attempt` (from 0); it failed `failures` times before."""
        match answer.outcome:
            case deliver.Outcome.DONE | deliver.Outcome.WARNED:
                return DeliveryState.SENT
            case deliver.Outcome.NEVER:
                return DeliveryState.REFUSED
            case deliver.Outcome.RETRY_FEW:
                return DeliveryState.REFUSED if failures + 1 >= self.limits.failure_tries else DeliveryState.QUEUED
            case deliver.Outcome.RETRY_LATER:
                return DeliveryState.GIVEN_UP if attempt + 1 >= self.limits.tries else DeliveryState.QUEUED

    def _start_next(
        self, connection: journal.Connection, job: Job, enqueue: Callable[[journal.Connection, Job, Priority, float], None]
    ) -> float:
        """Queue the next attempt; gives its delay."""
        delay_s = self.limits.delay_s(job.attempt)
        following = dataclasses.replace(job, attempt=job.attempt + 1)
        enqueue(connection, following, journal.find_priority(connection, job.result_key), delay_s)
        journal.write_next_try(connection, job, self._clock.now() + delay_s)
        return delay_s

    def _destination(self, name: str) -> Destination:
        peer = self._config.peers[name]
        segmentation = ObjectKind.LABEL_MAP if peer.segmentation == "labelmap" else ObjectKind.SEGMENTATION
        profile = encode.Profile(
            ae_title=self.title,
            node_version=dicom_node.__version__,
            language=self._config.node.language,
            objects=(segmentation, ObjectKind.REPORT_3D),
        )
        return Destination(PeerName(name), peer, profile)


def find_peer(config: Config, calling: AETitle) -> str | None:
    """The name of the peer that calls by a title; None where it is none that is configured."""
    return next((name for name, peer in config.peers.items() if peer.ae_title == calling.text), None)
