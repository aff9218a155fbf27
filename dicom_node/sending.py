"""The way of a result to its destinations, and the proof that it is there. Each method is one question to one part, or one row written."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import dicom_node
from dicom_node import deliver, encode, journal, receive
from dicom_node.clock import Clock
from dicom_node.config import Config, DeliverSection, Peer
from dicom_node.errors import (
    Again,
    ImageMissing,
    NoCommitment,
    NoPresentationContext,
    NoSuchDestination,
    NotConfirmed,
    ObjectMissing,
    PeerError,
    ReplacementMissing,
    StatusRefused,
)
from dicom_node.log import (
    CommitmentUnavailable,
    DeliveryFailed,
    NoDestination,
    ObjectDelivered,
    ObjectsNotReplaced,
    ObjectsReplaced,
    ProofMissing,
    log,
    log_proof,
)
from dicom_node.values import (
    Accepted,
    AETitle,
    Analysed,
    DeliveryState,
    DicomObject,
    Held,
    Holding,
    Key,
    NotAnalysed,
    ObjectKind,
    PeerName,
    Priority,
    Proof,
    Reason,
    ReportRef,
    Result,
    Role,
    SeriesHeaders,
    StoredSeries,
    Withdrawn,
    derive_uid,
    derive_withdrawal_key,
)
from dicom_node.values.reasons import Withdrawal
from dicom_node.values.records import DeliveryRecord, ResultRecord, SentObject


@dataclass(frozen=True, slots=True)
class Destination:
    """A peer that receives results, and the form in which it gets one: what it wants, as far as it takes that and the result can be
    written so, or what is `instead`."""

    name: PeerName
    peer: Peer
    profile: encode.Profile
    instead: tuple[encode.SteppedDown, ...] = ()
    takes_notes: bool = False  # that reject what a result replaces

    def stands_for(self, kind: ObjectKind) -> tuple[ObjectKind, ...]:
        """In place of which kinds it gets one of this kind."""
        return tuple(change.wanted for change in self.instead if change.sent is kind)


@dataclass(frozen=True, slots=True)
class WithdrawalMade:
    """A withdrawal of what stands, what says so where, and the destinations of its objects that are not told, since nothing could be made
    for them."""

    standing: journal.Standing
    result: Withdrawn
    deliveries: tuple[DeliveryRecord, ...]
    untold: tuple[str, ...]


# The headers of stored images. Raises SpoolError; ImageMissing where one is gone for good.
ReadHeaders = Callable[[StoredSeries], SeriesHeaders]

Job = TypeVar("Job", journal.DeliveryJob, journal.ProofJob)

_DEAD = (DeliveryState.REFUSED, DeliveryState.GIVEN_UP)


class Sending:
    """What `pipeline.send` and `pipeline.prove` work with; a part of the node."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        engine: journal.SqlEngine,
        client: journal.Client,
        kept: journal.Kept,
        read_headers: ReadHeaders,
    ) -> None:
        self._config, self._clock, self._engine, self._client, self._kept = config, clock, engine, client, kept
        self._read_headers = read_headers
        self.making = threading.Lock()  # objects are made anew one delivery after the other: each takes seconds and memory
        self.title = config.node.ae_title
        self.limits: DeliverSection = config.node.deliver
        self._commitments = journal.Commitments(engine, client, clock, self.limits)

    def destinations(self, calling: AETitle, result: Result, headers: SeriesHeaders) -> tuple[Destination, ...]:
        """Who receives a result of images that came from a caller; nobody, where the node fetched them itself, as a prior's, or where the
        package runs in the shadow."""
        if (result.package is not None and result.package.is_shadow) or self.is_fetched(result.study_instance_uid):
            return ()
        found = tuple(self._destination(name, (), (result, headers)) for name in find_receivers(self._config, calling))
        if not found:
            log(NoDestination(calling))
        return found

    def destination(
        self, job: journal.DeliveryJob, refused: Collection[str] = (), source: tuple[Result, SeriesHeaders] | None = None
    ) -> Destination:
        """The destination of a delivery of this source; `refused` are further SOP classes that it does not take. None: whatever it gets."""
        return self._destination(job.destination, refused, source)

    def is_heard_of(self, package: str, source: StoredSeries) -> bool:
        """Whether somebody who receives the results of a caller's images is told that a package has not analysed a study."""
        is_heard = any(self._config.peers[name].hears_of(package) for name in find_receivers(self._config, source.calling))
        return is_heard and not self.is_fetched(source.study_instance_uid)

    def wants_scores(self, source: StoredSeries) -> bool:
        """Whether somebody who receives the results of a series gets, and takes, the score of each voxel."""
        receivers = find_receivers(self._config, source.calling)
        is_wanted = any(ObjectKind.SCORES in self._destination(name, (), None).profile.objects for name in receivers)
        return is_wanted and not self.is_fetched(source.study_instance_uid)

    def is_fetched(self, study_instance_uid: str) -> bool:
        """Whether the node had all that is here of a study sent to itself, as that of a prior."""
        with self._engine.begin() as connection:
            return journal.is_fetched(connection, study_instance_uid)

    def find_replaced(self, result: Result, destination: PeerName) -> tuple[ReportRef, ...]:
        """The reports that a result's report replaces at a destination; none where nothing was sent there before. Of a withdrawal all
        objects that it withdraws there, and of what was not analysed all of the earlier result."""
        if isinstance(result, Withdrawn):
            return result.objects_at(destination.text)
        with self._engine.begin() as connection:
            if isinstance(result, NotAnalysed):
                return () if result.earlier is None else journal.find_made(connection, result.earlier.key, destination.text)
            keys = self._find_replaced_keys(connection, result, destination)
            reports = [journal.find_report(connection, key, destination.text) for key in keys]
        return tuple(report for report in reports if report is not None)

    def find_rejected(self, result: Result, destination: Destination) -> tuple[str, tuple[ReportRef, ...]] | None:
        """The key of what a result replaces, and its objects at a destination that is told so by a note; None for no note."""
        if not destination.takes_notes:
            return None
        if isinstance(result, Withdrawn):
            objects = result.objects_at(destination.name.text)
            return (result.key, objects) if objects else None
        if isinstance(result, NotAnalysed):
            return None  # what says that nothing was analysed takes the place of nothing
        with self._engine.begin() as connection:
            keys = self._find_replaced_keys(connection, result, destination.name)
            made = tuple(one for key in keys for one in journal.find_made(connection, key, destination.name.text))
        return (keys[0], made) if made else None

    def _find_replaced_keys(self, connection: journal.Connection, result: Analysed, destination: PeerName) -> tuple[str, ...]:
        """The predecessor's, and those of what has said there since that nothing was analysed."""
        before = [] if result.predecessor_key is None else [result.predecessor_key]
        return (*before, *journal.find_refusals(connection, result, destination.text))

    def find_prior(self, result: Result, destination: PeerName) -> ReportRef | None:
        """The report of the result that a result was compared with, at a destination; None where nothing was sent there."""
        if not isinstance(result, Analysed) or result.comparison is None:
            return None
        with self._engine.begin() as connection:
            return journal.find_report(connection, result.comparison.prior.result_key, destination.text)

    def keep_objects(self, result: Result, destination: Destination, objects: Sequence[DicomObject]) -> DeliveryRecord:
        """Keep the objects' bytes; gives the delivery that they are to be."""
        queued = tuple(
            SentObject(
                number=number,
                role=made.role,
                sop_class_uid=made.sop_class_uid,
                sop_instance_uid=made.sop_instance_uid,
                series_instance_uid=made.series_instance_uid,
                file=self._kept.write_bytes(made.content, suffix="dcm"),
                instead_of=destination.stands_for(made.kind),
            )
            for number, made in enumerate(objects)
        )
        return DeliveryRecord(result.key, destination.name.text, queued)

    def find_waiting(self, job: journal.DeliveryJob) -> tuple[journal.Waiting, ...]:
        """The objects that the destination has not acknowledged; those of a peer that is no destination any more are given up.

        A note that rejects an earlier result waits until everything else is acknowledged: the archive must not be left without a result.
        That of a withdrawal waits for nothing.
        """
        peer = self._config.peers.get(job.destination)
        is_destination = peer is not None and "receive" in peer.may
        with self._engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
            first = tuple(one for one in waiting if one.role is not Role.REJECTION)
            if is_destination and self._is_withdrawal(connection, job):
                return waiting
            if is_destination and (first or journal.holds_all(connection, job)):
                return first or waiting
            error: type[Exception] = ReplacementMissing if is_destination else NoSuchDestination
            for one in waiting:
                now = self._clock.now()
                journal.write_outcome(connection, job, one.number, DeliveryState.GIVEN_UP, None, error.__name__, now=now)
        if waiting:
            log(DeliveryFailed(Key(job.result_key[:16]), PeerName(job.destination), error, 0.0))
        return ()

    def _is_withdrawal(self, connection: journal.Connection, job: journal.DeliveryJob) -> bool:
        row = journal.find_row(connection, job.result_key)
        return row is not None and journal.is_withdrawal(row.key, row.predecessor)

    def paths(self, waiting: Sequence[journal.Waiting]) -> tuple[Path, ...]:
        """Where their files lie."""
        return tuple(self._kept.path(one.file) for one in waiting)

    def write_outcomes(self, job: journal.DeliveryJob, waiting: Sequence[journal.Waiting], answers: deliver.Answers) -> None:
        """Record each object's answer, and what the destination accepts; what may work later is tried again.

        Where it does not take the class of one, that one, and what was held back for it, wait on: `write_anew` says what becomes of them.
        """
        key, peer = Key(job.result_key[:16]), PeerName(job.destination)
        unasked = Proof.NONE if self._config.peers[job.destination].proof_asked is Proof.NONE else None
        refused = answers.refused
        ended: list[type[Exception]] = []
        with self._engine.begin() as connection:
            self._write_acceptance(connection, job, answers)
            for one, answer in zip(waiting, answers.sent, strict=True):
                if refused and (answer.is_class_refused or (answer.status is None and answer.error is None)):
                    continue
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
            if not refused and self._try_again(connection, job) is None:
                self._start_proof(connection, job)
        if ended:
            log(DeliveryFailed(key, peer, ended[0], 0.0))

    def _write_acceptance(self, connection: journal.Connection, job: journal.DeliveryJob, answers: deliver.Answers) -> None:
        refused: dict[str, int | None] = {**dict.fromkeys(answers.not_accepted), **answers.refused}
        journal.write_acceptance(connection, job.destination, refused, answers.accepted, answers.stored, self._clock.now())

    # -- other objects in place of what a destination does not take --------------------------------------------------

    def asked_classes(self, destination: Destination) -> tuple[str, ...]:
        """The SOP classes that a destination is asked about: those of what it wants, and of what may take its place."""
        notes = [ObjectKind.REJECTION] if destination.peer.rejection_notes else []
        return encode.find_classes([*destination.peer.wanted, *notes])

    def find_source(self, job: journal.DeliveryJob) -> tuple[Result, SeriesHeaders] | None:
        """What objects are made from: the result of a delivery and the headers of its images; None where one of them has left."""
        with self._engine.begin() as connection:
            row = journal.find_row(connection, job.result_key)
        result = None if row is None else self._kept.find_value(row.kept)
        if row is None or result is None:
            return None
        assert isinstance(result, Analysed | NotAnalysed)
        headers = self.find_headers(row.study_instance_uid, row.series_instance_uid)
        return None if headers is None else (result, headers)

    def find_headers(self, study_instance_uid: str, series_instance_uid: str) -> SeriesHeaders | None:
        """The headers of a series; None where an image of it has left."""
        with self._engine.begin() as connection:
            stored = journal.read_stored_series(connection, study_instance_uid, series_instance_uid)
        try:
            return None if stored is None else self._read_headers(stored)
        except ImageMissing:
            return None

    def write_anew(
        self,
        job: journal.DeliveryJob,
        refused: Mapping[str, int | None],
        destination: Destination,
        source: tuple[Result, SeriesHeaders] | None,
        objects: Sequence[DicomObject] | Reason,
    ) -> None:
        """Let objects take the place of those that a destination does not take, and send them; what has nothing in its place is refused.

        `refused`: by SOP class the status of its answer, None where there was no presentation context. `source` is None where the images
        or the result have left; then, or where there is a reason for no objects, only what the destination takes is sent.
        """
        key, peer = Key(job.result_key[:16]), destination.name
        made: tuple[SentObject, ...] = ()
        if isinstance(objects, Reason):
            log(ObjectsNotReplaced(key, peer, type(objects)))
        elif source is not None:
            made = self.keep_objects(source[0], destination, [one for one in objects if one.sop_class_uid not in refused]).objects
        forms = {kind: (form.role, form.sop_class_uid) for kind, form in encode.KINDS.items()}
        with self._engine.begin() as connection:
            done = journal.replace_objects(connection, job, refused, made, forms, self._clock.now())
            # Before the transaction ends: a crash in between comes here again, one after it does not.
            self._kept.write_record(done.delivery)
            if self._try_again(connection, job, at_once=done.is_new or done.refused > 0) is None:
                self._start_proof(connection, job)
        if done.refused:
            log(DeliveryFailed(key, peer, NoPresentationContext, 0.0))
        if done.is_new:
            log(ObjectsReplaced(key, peer, len(refused)))

    # -- a person withdraws a result ---------------------------------------------------------------------------------

    def find_standing(self, study_instance_uid: str, package: str) -> tuple[journal.Standing, ...]:
        """The results of a study, of all packages or one, that stand."""
        with self._engine.begin() as connection:
            return journal.find_standing(connection, study_instance_uid, package)

    def make_withdrawn(self, standing: journal.Standing, reason: Withdrawal) -> Withdrawn:
        """What takes the place of a result; without its package where its value has left the node."""
        value = self._kept.find_value(standing.kept)
        package = value.package if isinstance(value, Analysed | NotAnalysed) else None
        return Withdrawn(
            key=derive_withdrawal_key(standing.key),
            study_instance_uid=standing.study_instance_uid,
            series_instance_uid=standing.series_instance_uid,
            package=package,
            reason=reason,
            predecessor_key=standing.key,
            withdrawn_keys=standing.keys,
            places=standing.places,
        )

    def find_destination(self, name: str, result: Result, headers: SeriesHeaders) -> Destination | None:
        """A peer that has received results, as a destination of another one; None where it receives none any more."""
        peer = self._config.peers.get(name)
        return self._destination(name, (), (result, headers)) if peer is not None and "receive" in peer.may else None

    def write_withdrawals(self, study_instance_uid: str, package: str, made: Sequence[WithdrawalMade], action: str, actor: str) -> bool:
        """Record withdrawals, end what of the results was not sent, and start what says so: all or nothing.

        False, and nothing, where they are not of all that stands, or do not name all that was sent.
        """
        now = self._clock.now()
        rows = [(one, self._record_withdrawal(one, now)) for one in made]
        with self._engine.begin() as connection:
            journal.begin_writing(connection)
            journal.hold_study(connection, study_instance_uid)
            found = journal.find_standing(connection, study_instance_uid, package)
            if not _are_covered(found, [one.standing for one in made]):
                return False
            for one, record in rows:
                journal.stop_sending(connection, self._client, one.standing.keys)
                journal.write_result(connection, record)
                # Before the transaction ends: a journal that is made again must know of it, and a person who sees no answer asks again.
                self._kept.write_record(record)
                for wanted in one.deliveries:
                    self._kept.write_record(journal.start_delivery(connection, self._client, wanted))
            journal.write_action(connection, actor, action, journal.name_study(study_instance_uid), now)
            journal.settle_study(connection, study_instance_uid, now)
        return True

    def _record_withdrawal(self, made: WithdrawalMade, now: float) -> ResultRecord:
        standing = made.standing
        choice = Accepted(standing.package, standing.series_instance_uid, standing.volume, rank=(), chosen=True)
        return ResultRecord.of(choice, made.result, self._kept.write_value(made.result), now)

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
            if delay_s is None:
                self._start_proof(connection, job)  # of what was acknowledged before
        log(DeliveryFailed(Key(job.result_key[:16]), PeerName(job.destination), type(error), delay_s or 0.0))

    def write_broken(self, job: journal.DeliveryJob, error: Exception) -> None:
        """Record a fault of the node's own while it sent: it must not be tried for ever unseen."""
        with self._engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
        self.write_failure(job, waiting, ObjectMissing() if isinstance(error, FileNotFoundError) else error)

    def _try_again(self, connection: journal.Connection, job: journal.DeliveryJob, *, at_once: bool = False) -> float | None:
        """Queue the next attempt where something is still queued; gives its delay, None for none."""
        waiting = journal.find_waiting(connection, job)
        if not waiting:
            return None
        at_once = at_once or all(one.role is Role.REJECTION for one in waiting)  # it was not their turn before
        return self._start_next(connection, job, self._client.enqueue_delivery, delay_s=0.0 if at_once else None)

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
        self,
        connection: journal.Connection,
        job: Job,
        enqueue: Callable[[journal.Connection, Job, Priority, float], None],
        delay_s: float | None = None,
    ) -> float:
        """Queue the next attempt, after the delay that is due where none is given; gives its delay."""
        delay_s = self.limits.delay_s(job.attempt) if delay_s is None else delay_s
        following = dataclasses.replace(job, attempt=job.attempt + 1)
        enqueue(connection, following, journal.find_priority(connection, job.result_key), delay_s)
        journal.write_next_try(connection, job, self._clock.now() + delay_s)
        return delay_s

    def _destination(self, name: str, refused: Collection[str], source: tuple[Result, SeriesHeaders] | None) -> Destination:
        with self._engine.begin() as connection:
            believed = journal.read_refused_classes(connection, name, self._clock.now())
        unwritable = frozenset() if source is None else encode.find_unwritable(*source, self._config.peers[name].wanted)
        return make_destination(self._config, name, believed | set(refused), unwritable)


def _are_covered(found: Sequence[journal.Standing], made: Sequence[journal.Standing]) -> bool:
    """Whether withdrawals are of all that stands now, and name all that may be anywhere; what was on its way may have failed since."""
    if [one.keys for one in found] != [one.keys for one in made]:
        return False
    named = {(place.destination, one) for standing in made for place in standing.places for one in place.objects}
    return all((place.destination, one) in named for standing in found for place in standing.places for one in place.objects)


def make_destination(config: Config, name: str, refused: Collection[str], unwritable: Collection[ObjectKind] = ()) -> Destination:
    """A destination that does not take these SOP classes, of a result that cannot be written as these kinds."""
    peer = config.peers[name]
    objects, instead = encode.step_down(peer.wanted, refused, unwritable)
    if not any(map(encode.is_for_people, objects)):  # nothing that is read would be silence: so it is refused, and said
        objects, instead = encode.step_down(peer.wanted, (), unwritable)
    profile = encode.Profile(
        ae_title=config.node.ae_title,
        node_version=dicom_node.__version__,
        language=peer.language or config.node.language,
        objects=objects,
        most_frames=peer.most_frames,
    )
    takes_notes = peer.rejection_notes and encode.KINDS[ObjectKind.REJECTION].sop_class_uid not in refused
    return Destination(PeerName(name), peer, profile, instead, takes_notes)


def find_receivers(config: Config, calling: AETitle) -> tuple[str, ...]:
    """The names of the peers that receive the results of images that came from a caller."""
    source = find_peer(config, calling)
    return tuple(
        name for name, peer in config.peers.items() if "receive" in peer.may and (not peer.results_for or source in peer.results_for)
    )


def find_peer(config: Config, calling: AETitle) -> str | None:
    """The name of the peer that calls by a title; None where it is none that is configured."""
    return next((name for name, peer in config.peers.items() if peer.ae_title == calling.text), None)
