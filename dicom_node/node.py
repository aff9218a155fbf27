"""The parts of a node, built from its configuration and handed to each other."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dicom_node
from dicom_node import assemble, deliver, encode, infer, journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config, DeliverSection, Peer
from dicom_node.errors import Again, PackageWithdrawn, PeerError, Problem, SettingsError
from dicom_node.log import (
    CountFailed,
    DeliveryFailed,
    InferenceDone,
    ObjectDelivered,
    ResultMade,
    ResultRefused,
    SeriesComplete,
    StudyJudged,
    log,
)
from dicom_node.package import Package, load_package
from dicom_node.values import (
    Accepted,
    AETitle,
    Analysed,
    Answer,
    CompletenessRule,
    DeliveryState,
    DicomObject,
    Geometry,
    Key,
    NotAnalysed,
    PackageName,
    PeerName,
    Reason,
    ReportRef,
    Reservation,
    Result,
    ResultIdentity,
    SeriesHeaders,
    StoredSeries,
    derive_digest,
    derive_key,
)
from dicom_node.values.reasons import ModelFailed, ModelTooSlow

# A change in what `encode` writes for the same result gets another number, and with it other UIDs.
_ENCODER = "1"


@dataclass(frozen=True, slots=True)
class Destination:
    """A peer that receives results, and the form in which it gets them."""

    name: PeerName
    peer: Peer
    profile: encode.Profile


class Node:
    """What the pipeline works with. Each method is one question to one part, or one row written."""

    def __init__(
        self, config: Config, packages: Sequence[Package], clock: Clock, device: infer.Device, out_of_service: Mapping[str, Reason]
    ) -> None:
        self.config, self.packages, self.clock = config, tuple(packages), clock
        self.out_of_service = out_of_service  # by package name; the others passed their example
        self.title = config.node.ae_title
        self.limits: DeliverSection = config.node.deliver
        self._device = device
        self._engine = journal.open_engine(config.database)
        self.kept = journal.Kept(config.kept)
        self._client = journal.Client(self._engine, look_delay_s=config.first_look_s)

    # -- is the series complete? -------------------------------------------------------------------------------------

    def count_at_sender(self, job: journal.Look) -> int | None:
        """How many instances of the series its sender holds; None where it may not be asked, or does not say."""
        with self._engine.begin() as connection:
            found = journal.read_open_series(connection, job)
        if found is None:
            return None
        name = self._peer_of(found.calling)
        if name is None or "count" not in self.config.peers[name].may:
            return None
        try:
            return deliver.ask_count(
                PeerName(name),
                self.config.peers[name],
                self.title,
                found.study_instance_uid,
                found.series_instance_uid,
                self.limits,
            )
        except PeerError as error:
            log(CountFailed(peer=PeerName(name), error=type(error)))
            return None

    @contextmanager
    def looking_at(self, job: journal.Look) -> Iterator["Looking | None"]:
        """The series of a look, unchanged until the block ends; None where there is nothing to decide any more."""
        with self._engine.begin() as connection:
            found = journal.read_open_series(connection, job)
            yield None if found is None else Looking(connection, self._client, job, found)

    # -- a study -----------------------------------------------------------------------------------------------------

    def read_complete_series(self, job: journal.StudyJob) -> tuple[StoredSeries, ...]:
        """What is complete of the study at this moment."""
        with self._engine.begin() as connection:
            return journal.read_complete_series(connection, job.study_instance_uid)

    def read_headers(self, stored: StoredSeries) -> SeriesHeaders:
        """The headers of a series, from the spool's files."""
        return spool.read_headers(
            self.config.spool,
            stored.instances,
            series_instance_uid=stored.series_instance_uid,
            study_instance_uid=stored.study_instance_uid,
            rule=stored.rule,
        )

    def write_answers(self, job: journal.StudyJob, answers: tuple[Answer, ...]) -> None:
        """Record what every package said to every volume of the study."""
        with self._engine.begin() as connection:
            journal.write_answers(connection, job.study_instance_uid, answers)
        series = len({answer.series_instance_uid for answer in answers})
        chosen = sum(isinstance(answer, Accepted) and answer.chosen for answer in answers)
        log(StudyJudged(study=derive_key(job.study_instance_uid), series=series, chosen=chosen))

    def package(self, choice: Accepted) -> Package:
        """The package of a choice; raises PackageWithdrawn where a job goes on after a restart that put it out of service."""
        in_service = {package.ref.name: package for package in self.packages if package.ref.name not in self.out_of_service}
        if choice.package not in in_service:
            raise PackageWithdrawn(PackageName(choice.package))
        return in_service[choice.package]

    def identify(self, choice: Accepted, stored: StoredSeries) -> ResultIdentity:
        """The key of the result that this choice leads to: a digest of everything that its objects depend on.

        The newest result of the same package on the same volume is the predecessor, unless it was made from the same.
        """
        inputs = (
            "result",
            *sorted(instance.digest for instance in stored.instances),
            str(choice.volume),
            self.package(choice).ref.digest,
            stored.rule.value,
            self.config.node.language,
            _ENCODER,
        )
        with self._engine.begin() as connection:
            latest = journal.find_latest(connection, stored.study_instance_uid, choice)
        if latest is None:
            return ResultIdentity(derive_digest(*inputs), None)
        key, predecessor = latest
        if derive_digest(*inputs, predecessor) == key or derive_digest(*inputs) == key:
            return ResultIdentity(key, predecessor or None)
        return ResultIdentity(derive_digest(*inputs, key), key)

    def find_result(self, choice: Accepted, identity: ResultIdentity) -> Result | None:
        """The result of a key, where an earlier job made it."""
        with self._engine.begin() as connection:
            name = journal.find_result(connection, choice, identity.key)
        if name is None:
            return None
        result = self.kept.read_value(name)
        assert isinstance(result, Analysed | NotAnalysed)
        # A process that died or hung says nothing about the images: who asks again gets another try.
        is_final = isinstance(result, Analysed) or not isinstance(result.reason, ModelFailed | ModelTooSlow)
        return result if is_final else None

    def infer(self, choice: Accepted, identity: ResultIdentity, stored: StoredSeries, geometry: Geometry) -> Result:
        """Run the choice's package on its volume in the inference process."""
        package = self.package(choice)
        unproven = stored.rule is CompletenessRule.QUIET_TIME
        start = self.clock.monotonic()
        result = self._device.run(
            infer.Request(
                package=str(package.folder),
                spool=str(self.config.spool),
                stored=stored,
                geometry=geometry,
                identity=identity,
                reservations=(Reservation.COMPLETENESS_NOT_PROVEN,) if unproven else (),
                package_digest=package.ref.digest,
            ),
            time_limit_s=package.manifest.running.time_limit_s,
            memory_limit_mb=package.manifest.running.memory_limit_mb,
        )
        study = derive_key(stored.study_instance_uid)
        log(InferenceDone(study=study, result=Key(identity.key[:16]), seconds=self.clock.monotonic() - start))
        return result

    def write_result(self, choice: Accepted, result: Result) -> None:
        """Record a result; the same key again changes nothing."""
        kept = self.kept.write_value(result)
        with self._engine.begin() as connection:
            journal.write_result(connection, choice, result, kept, self.clock.now())
        study, key = derive_key(result.study_instance_uid), Key(result.key[:16])
        if isinstance(result, NotAnalysed):
            log(ResultRefused(study=study, result=key, reason=type(result.reason)))
        else:
            seconds = sum(stage.seconds for stage in result.stages)
            log(ResultMade(study=study, result=key, findings=len(result.findings), seconds=seconds))

    def close_study(self, job: journal.StudyJob, failure: type[BaseException] | None = None) -> None:
        """The job of a study is finished, or ended by an error that nobody expected."""
        name = None if failure is None else failure.__name__
        with self._engine.begin() as connection:
            journal.close_study(connection, job.study_instance_uid, job.generation, name)

    def take_up_forgotten(self) -> int:
        """Start the jobs that should be there and are not; gives how many."""
        live = self._client.find_live()
        with self._engine.begin() as connection:
            return journal.take_up_forgotten(connection, self._client, live, self.clock.now())

    # -- delivery ----------------------------------------------------------------------------------------------------

    def destinations(self, calling: AETitle) -> tuple[Destination, ...]:
        """Who receives the results of images that came from a caller."""
        source = self._peer_of(calling)
        return tuple(
            self._destination(name)
            for name, peer in self.config.peers.items()
            if "receive" in peer.may and (not peer.results_for or source in peer.results_for)
        )

    def destination(self, job: journal.DeliveryJob) -> Destination:
        """The destination of a delivery."""
        return self._destination(job.destination)

    def find_replaced(self, result: Result, destination: PeerName) -> ReportRef | None:
        """The report that a result's report replaces at a destination; None where nothing was sent there before."""
        if not isinstance(result, Analysed) or result.predecessor_key is None:
            return None
        with self._engine.begin() as connection:
            return journal.find_report(connection, result.predecessor_key, destination.text)

    def start_delivery(self, result: Result, destination: PeerName, objects: tuple[DicomObject, ...]) -> None:
        """Keep the objects' bytes and queue them; the same again changes nothing."""
        if not objects:
            return
        waiting = tuple(
            journal.Waiting(
                number=number,
                role=made.role,
                sop_class_uid=made.sop_class_uid,
                sop_instance_uid=made.sop_instance_uid,
                series_instance_uid=made.series_instance_uid,
                file=self.kept.write_bytes(made.content, suffix="dcm"),
            )
            for number, made in enumerate(objects)
        )
        with self._engine.begin() as connection:
            journal.start_delivery(connection, self._client, result.key, destination.text, waiting)

    def find_waiting(self, job: journal.DeliveryJob) -> tuple[journal.Waiting, ...]:
        """The objects that the destination has not acknowledged; those of a peer that is no destination any more are given up."""
        peer = self.config.peers.get(job.destination)
        with self._engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
            if peer is not None and "receive" in peer.may:
                return waiting
            for one in waiting:
                journal.write_outcome(connection, job, one.number, DeliveryState.GIVEN_UP, None, "NoSuchDestination")
        return ()

    def paths(self, waiting: Sequence[journal.Waiting]) -> tuple[Path, ...]:
        """Where their files lie."""
        return tuple(self.kept.path(one.file) for one in waiting)

    def write_outcomes(self, job: journal.DeliveryJob, waiting: Sequence[journal.Waiting], sent: Sequence[deliver.Sent]) -> None:
        """Record each object's answer; what may work later is tried again."""
        last = job.attempt + 1 >= self.limits.tries
        with self._engine.begin() as connection:
            for one, answer in zip(waiting, sent, strict=True):
                state = _state_after(answer, last=last)
                error = None if answer.error is None else type(answer.error).__name__
                journal.write_outcome(connection, job, one.number, state, answer.status, error)
                log(ObjectDelivered(Key(job.result_key[:16]), PeerName(job.destination), state, answer.status or 0))
            self._try_again(connection, job)

    def write_failure(self, job: journal.DeliveryJob, waiting: Sequence[journal.Waiting], error: PeerError) -> None:
        """Record that the peer was not reached, or does not want the objects."""
        state = DeliveryState.QUEUED
        if error.again is Again.NEVER:
            state = DeliveryState.REFUSED
        elif job.attempt + 1 >= self.limits.tries:
            state = DeliveryState.GIVEN_UP
        with self._engine.begin() as connection:
            for one in waiting:
                journal.write_outcome(connection, job, one.number, state, None, type(error).__name__)
            delay_s = self._try_again(connection, job)
        log(DeliveryFailed(Key(job.result_key[:16]), PeerName(job.destination), type(error), delay_s))

    def _try_again(self, connection: journal.Connection, job: journal.DeliveryJob) -> float:
        """Queue the next attempt where something is still queued; gives its delay, 0 for none."""
        if not journal.find_waiting(connection, job):
            return 0.0
        delay_s = min(self.limits.first_retry_s * 2.0**job.attempt, self.limits.longest_retry_s)
        following = dataclasses.replace(job, attempt=job.attempt + 1)
        self._client.enqueue_delivery(connection, following, delay_s)
        return delay_s

    def _destination(self, name: str) -> Destination:
        profile = encode.Profile(language=self.config.node.language, ae_title=self.title, node_version=dicom_node.__version__)
        return Destination(PeerName(name), self.config.peers[name], profile)

    def _peer_of(self, calling: AETitle) -> str | None:
        return next((name for name, peer in self.config.peers.items() if peer.ae_title == calling.text), None)


@dataclass(frozen=True, slots=True)
class Looking:
    """A series in the moment of decision: nothing about it changes until the transaction ends."""

    connection: journal.Connection
    client: journal.Client
    job: journal.Look
    found: journal.OpenSeries

    def seen(self, counted: int | None) -> assemble.SeriesSeen:
        """The evidence for completeness."""
        return assemble.SeriesSeen(
            instances=self.found.instances,
            last_seen=self.found.last_seen,
            feeding=self.found.feeding,
            counted=counted,
            broken_at=self.found.broken_at,
        )

    def close(self, rule: CompletenessRule) -> None:
        """The series is complete."""
        journal.close_series(self.connection, self.client, self.found, rule)
        log(SeriesComplete(derive_key(self.found.series_instance_uid), self.found.instances, rule))

    def again(self, seconds: float) -> None:
        """Look again after so many seconds."""
        following = dataclasses.replace(self.job, number=self.job.number + 1)
        self.client.enqueue_look(self.connection, following, seconds)


def load_packages(config: Config) -> tuple[Package, ...]:
    """All model packages of a configuration; raises SettingsError with the problems of all of them."""
    packages: list[Package] = []
    problems: list[Problem] = []
    for folder in config.models:
        try:
            packages.append(load_package(folder))
        except SettingsError as error:
            problems += error.problems
    names = [package.ref.name for package in packages]
    for package in packages:
        if names.count(package.ref.name) > 1:
            problems.append(Problem(package.folder / "package.toml", "package.name", package.ref.name, "a name of its own"))
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(packages)


def _state_after(answer: deliver.Sent, *, last: bool) -> DeliveryState:
    match answer.outcome:
        case deliver.Outcome.DONE | deliver.Outcome.WARNED:
            return DeliveryState.SENT
        case deliver.Outcome.NEVER:
            return DeliveryState.REFUSED
        case deliver.Outcome.RETRY_LATER:
            return DeliveryState.GIVEN_UP if last else DeliveryState.QUEUED
