"""The parts of a node, built from its configuration and handed to each other."""

import dataclasses
import errno
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from dicom_node import assemble, deliver, infer, journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config, PriorityRule
from dicom_node.errors import (
    AnalysisFailed,
    ImageMissing,
    PackageWithdrawn,
    PeerError,
    Problem,
    SettingsError,
    SpoolError,
    SpoolFailed,
)
from dicom_node.log import (
    CountFailed,
    InferenceDone,
    ResultMade,
    ResultRefused,
    SeriesComplete,
    StudyFailed,
    StudyJudged,
    log,
    place_of,
)
from dicom_node.package import Package, load_package
from dicom_node.place import open_secret
from dicom_node.priors import Priors, is_followed
from dicom_node.sending import Destination, Sending, find_peer
from dicom_node.values import (
    Accepted,
    AETitle,
    Analysed,
    Answer,
    AssembledSeries,
    CompletenessRule,
    DicomObject,
    EarlierResult,
    Geometry,
    InstanceRef,
    Key,
    NotAnalysed,
    PackageName,
    PatientDigests,
    PeerName,
    Priority,
    PriorRef,
    Reason,
    Refused,
    Reservation,
    Result,
    ResultIdentity,
    SeriesHeaders,
    StoredSeries,
    StorePriority,
    derive_digest,
    derive_key,
)
from dicom_node.values.reasons import ModelFailed, ModelTooSlow
from dicom_node.values.records import ResultRecord

# A change in what `encode` writes for the same result gets another number, and with it other UIDs.
_ENCODER = "3"
_AHEAD_LIMIT_S = 30.0  # of the inference process, for a few images
_VOLUME_LIMIT_S = 120.0  # for a thousand slices whose pixels are compressed
_AHEAD_VOXELS = 1 << 28  # 512 MiB
_ASSEMBLED = 4  # series whose senders are asked at once; of more, the others are assembled when they are complete


class Node:
    """What the pipeline works with. Each method is one question to one part, or one row written."""

    def __init__(
        self,
        config: Config,
        packages: Sequence[Package],
        clock: Clock,
        device: infer.Device,
        out_of_service: Mapping[str, Reason],
        engine: journal.SqlEngine,
        *,
        reads_ahead: bool = False,
    ) -> None:
        self.config, self.packages, self.clock = config, tuple(packages), clock
        self.out_of_service = out_of_service  # by package name; the others passed their example
        self.title = config.node.ae_title
        self.priorities = tuple(map(_as_rule, config.node.priority))
        self._device = device
        self.engine = engine
        self.images, self.kept = spool.open_spool(config), journal.open_kept(config)
        self.client = journal.Client(self.engine, look_delay_s=config.first_look_s)
        self._headers = spool.HeadersAhead()
        self._ahead = _Ahead(self, device) if reads_ahead else None
        self.sending = Sending(config, clock, engine, self.client, self.kept, self.read_headers)
        self.priors = Priors(config, clock, engine, self.client, self.kept, self.packages)

    # -- is the series complete? -------------------------------------------------------------------------------------

    def count_at_sender(self, job: journal.Look) -> int | None:
        """How many instances of the series its sender holds; None where it may not be asked, or does not say."""
        with self.engine.begin() as connection:
            found = journal.read_open_series(connection, job)
        if found is None:
            return None
        name = find_peer(self.config, found.calling)
        if name is None or "count" not in self.config.peers[name].may:
            return None
        if self._ahead is not None and not found.feeding:
            self._ahead.begin(job, found.instances)
        try:
            return deliver.ask_count(
                PeerName(name),
                self.config.peers[name],
                self.title,
                found.study_instance_uid,
                found.series_instance_uid,
                self.config.node.deliver,
            )
        except PeerError as error:
            log(CountFailed(peer=PeerName(name), error=type(error)))
            return None

    @contextmanager
    def looking_at(self, job: journal.Look) -> Iterator["Looking | None"]:
        """The series of a look, unchanged until the block ends; None where there is nothing to decide any more."""
        with self.engine.begin() as connection:
            found = journal.read_open_series(connection, job)
            yield None if found is None else Looking(connection, self.client, job, found, journal.now(connection, self.clock))

    def find_priority(self, job: journal.Look) -> Priority:
        """How urgent a series is, by the configured rules; an image of it is read only where one of them asks for attributes."""
        with self.engine.begin() as connection:
            sample = journal.read_sample(connection, job)
        if sample is None:
            return Priority.ROUTINE
        asks_header = any(rule.attributes for rule in self.priorities)
        return assemble.find_priority(
            self.priorities,
            calling=sample.calling,
            store_priority=sample.store_priority,
            attributes=self._read_attributes(job, sample) if asks_header else {},
        )

    def _read_attributes(self, job: journal.Look, sample: journal.SeriesSample) -> dict[str, tuple[str, ...]]:
        """What an image's header says; nothing where it cannot be read: that must not keep its series open."""
        rule = CompletenessRule.QUIET_TIME  # not asked here
        only = StoredSeries(job.series_instance_uid, job.study_instance_uid, (sample.instance,), rule, sample.calling)
        try:
            headers = self.read_headers(only)
        except SpoolError:
            return {}
        return {keyword: values for image in headers.instances for keyword, values in image.attributes}

    def seek_prior(self, job: journal.Look) -> None:
        """Begin the search for the patient's earlier study at a PACS, where the series of a look is one that has to wait for it."""
        self.priors.seek(job, self._read_series(job.study_instance_uid, job.series_instance_uid), self.read_headers)

    def take_up_searches(self) -> None:
        """Go on with the searches that were under way when a worker died."""
        self.priors.go_on(self._read_series, self.read_headers)

    def _read_series(self, study_instance_uid: str, series_instance_uid: str) -> StoredSeries | None:
        with self.engine.begin() as connection:
            return journal.read_stored_series(connection, study_instance_uid, series_instance_uid)

    # -- a study -----------------------------------------------------------------------------------------------------

    def read_complete_series(self, job: journal.StudyJob) -> tuple[StoredSeries, ...]:
        """What is complete of the study at this moment."""
        with self.engine.begin() as connection:
            return journal.read_complete_series(connection, job.study_instance_uid)

    def read_headers(self, stored: StoredSeries) -> SeriesHeaders:
        """The headers of a series, from the spool's files. Raises SpoolError; ImageMissing where a file is gone for good."""
        try:
            return self._headers.read_headers(
                self.images.local_root(stored.instances),
                stored.instances,
                series_instance_uid=stored.series_instance_uid,
                study_instance_uid=stored.study_instance_uid,
                rule=stored.rule,
            )
        except SpoolFailed as error:
            if error.errno == errno.ENOENT and self.images.misses_any(stored.instances):
                raise ImageMissing from error
            raise

    def assemble_series(self, stored: StoredSeries) -> AssembledSeries:
        """A series with its volumes, or the reasons why there are none. Raises as `read_headers` does."""
        found = None if self._ahead is None else self._ahead.find(stored)
        return found or _assemble(self.read_headers(stored))

    def read_stored_series(self, job: journal.Look) -> StoredSeries | None:
        """A series as it is at this moment, complete or not."""
        with self.engine.begin() as connection:
            return journal.read_stored_series(connection, job.study_instance_uid, job.series_instance_uid)

    def read_ahead(self, instances: tuple[InstanceRef, ...]) -> None:
        """Read images whose series is not complete, here their headers, where models run their pixels too, so that they are at hand then.

        What cannot be read now is nobody's loss: it is read when it is wanted.
        """
        try:
            root = self.images.local_root(instances)
        except SpoolError:
            return
        self._headers.read_ahead(root, instances)
        request = infer.AheadRequest(str(root), instances)
        self._device.read_ahead(request, time_limit_s=_AHEAD_LIMIT_S)

    def write_answers(self, job: journal.StudyJob, answers: tuple[Answer, ...]) -> bool:
        """Record what every package said to every volume of the study; False, and nothing, where nobody waits for the job any more
        (`is_closed`), or where images of the study have left."""
        with self.engine.begin() as connection:
            if journal.is_closed(connection, job.study_instance_uid, job.generation):
                return False
            if not journal.has_all_images(connection, job.study_instance_uid):  # they left while the job waited
                journal.leave_unjudged(connection, job.study_instance_uid, self.clock.now())
                return False
            journal.write_answers(connection, job.study_instance_uid, answers)
        series = len({answer.series_instance_uid for answer in answers})
        chosen = sum(isinstance(answer, Accepted) and answer.chosen for answer in answers)
        log(StudyJudged(study=derive_key(job.study_instance_uid), series=series, chosen=chosen))
        return True

    def package(self, choice: Accepted) -> Package:
        """The package of a choice; raises PackageWithdrawn where a job goes on after a restart that put it out of service."""
        in_service = {package.ref.name: package for package in self.packages if package.ref.name not in self.out_of_service}
        if choice.package not in in_service:
            raise PackageWithdrawn(PackageName(choice.package))
        return in_service[choice.package]

    def is_heard_of(self, refused: Refused, stored: StoredSeries) -> bool:
        """Whether somebody is told that a package has not analysed a study; nobody, of one that runs in the shadow."""
        is_shadow = any(package.ref.is_shadow for package in self.packages if package.ref.name == refused.package)
        return not is_shadow and self.sending.is_heard_of(refused.package, stored)

    def identify(self, choice: Accepted, stored: StoredSeries, headers: SeriesHeaders) -> ResultIdentity:
        """The key of the result that this choice leads to: a digest of everything that its objects depend on.

        The newest result of the same package on the same volume is the predecessor, unless it was made from the same; where the
        package gives one result for a study, on whatever volume: a better series that came later takes the place of the first.
        One that a person has withdrawn stays that: what is made from the same is it again, what is made from other inputs names the
        withdrawal. A prior is part of it: one that came later leads to another result when the study is judged again. One that has left
        does not.
        """
        inputs, latest = self._inputs("result", choice, stored), self._find_latest(choice, stored)
        patient = self._find_patient(choice, headers)
        prior, compared_with = self._find_priors(choice, stored, patient, latest)
        prior_key = None if prior is None else prior.result_key
        if latest is None:
            return ResultIdentity(derive_digest(*inputs, *_of_prior(prior_key)), None, patient, prior, prior_key)
        key, predecessor, current = latest
        same = (*inputs, *_of_prior(prior_key or compared_with))
        if derive_digest(*same, predecessor) == key or derive_digest(*same) == key:
            return ResultIdentity(key, predecessor or None, patient, prior, prior_key or compared_with)
        return ResultIdentity(derive_digest(*inputs, *_of_prior(prior_key), current), current, patient, prior, prior_key)

    def identify_refusal(self, choice: Accepted, stored: StoredSeries) -> ResultIdentity:
        """The key of the refusal of a volume before any model saw it; another one than that of a result of the same images."""
        inputs, latest = self._inputs("refusal", choice, stored), self._find_latest(choice, stored)
        if latest is None:
            return ResultIdentity(derive_digest(*inputs), None)
        return ResultIdentity(derive_digest(*inputs, latest[2]), latest[2])

    def with_earlier(self, result: Result, identity: ResultIdentity) -> Result:
        """What was not analysed, with the result that there was before, unless a person has withdrawn that; another one as it is."""
        if not isinstance(result, NotAnalysed) or identity.predecessor_key is None:
            return result
        with self.engine.begin() as connection:
            row = journal.find_row(connection, identity.predecessor_key)
        if row is None or journal.is_withdrawal(row.key, row.predecessor):
            return result
        return dataclasses.replace(result, earlier=EarlierResult(row.key, row.made_at))

    def _inputs(self, what: str, choice: Accepted, stored: StoredSeries) -> tuple[str, ...]:
        return (
            what,
            *sorted(instance.digest for instance in stored.instances),
            str(choice.volume),
            self.package(choice).ref.digest,
            stored.rule.value,
            self.config.node.language,
            _ENCODER,
        )

    def _find_latest(self, choice: Accepted, stored: StoredSeries) -> tuple[str, str, str] | None:
        """Key and predecessor of the newest result of the choice's package on its volume, or on any of the study; and the key that what
        comes next names: its own, or that of its withdrawal."""
        with self.engine.begin() as connection:
            latest = journal.find_latest(connection, stored.study_instance_uid, choice, of_study=self._is_one_of_study(choice))
            if latest is None:
                return None
            key, predecessor = latest
            return key, predecessor, journal.find_withdrawal(connection, key) or key

    def _find_priors(
        self, choice: Accepted, stored: StoredSeries, patient: PatientDigests | None, latest: tuple[str, str, str] | None
    ) -> tuple[PriorRef | None, str | None]:
        """The prior that is here now; and the key of the one that the newest result was compared with, which may have left since, unless a
        person has withdrawn it."""
        with self.engine.begin() as connection:
            study, is_kept = stored.study_instance_uid, self.kept.has
            prior = None if patient is None else journal.find_prior(connection, choice, study, patient, is_kept)
            row = None if latest is None else journal.find_row(connection, latest[0])
            compared_with = None if row is None else row.prior
            if compared_with is not None and journal.find_withdrawal(connection, compared_with) is not None:
                compared_with = None
        return prior, compared_with

    def _find_patient(self, choice: Accepted, headers: SeriesHeaders) -> PatientDigests | None:
        """Whose study it is; None where the package's findings are not followed over time, or the headers do not say it."""
        patient = spool.read_patient(headers.instances[0]) if is_followed(self.package(choice)) and headers.instances else None
        if patient is None:
            return None
        secret = open_secret(self.config.data)
        return PatientDigests(
            patient_digest=secret.digest("patient", patient.issuer, patient.patient_id),
            birth_digest=secret.digest("birth date", patient.birth_date) if patient.birth_date else None,
            family_digest=secret.digest("family name", patient.family_name) if patient.family_name else None,
            study_date=patient.study_date,
        )

    def _is_one_of_study(self, choice: Accepted) -> bool:
        """Whether the choice's package gives one result for a study."""
        return self.package(choice).manifest.accept.series_per_study == 1

    def find_result(self, choice: Accepted, identity: ResultIdentity) -> Result | None:
        """The result of a key, where an earlier job made it."""
        with self.engine.begin() as connection:
            name = journal.find_result(connection, choice, identity.key)
        if name is None:
            return None
        result = self.kept.find_value(name)
        if result is None:  # gone from the disk: what is made now takes its place
            with self.engine.begin() as connection:
                journal.forget_value(connection, identity.key)
            return None
        assert isinstance(result, Analysed | NotAnalysed)
        # A process that died or hung says nothing about the images: who asks again gets another try.
        return None if is_to_try_again(result) else result

    def infer(self, choice: Accepted, identity: ResultIdentity, stored: StoredSeries, geometry: Geometry) -> Result:
        """Run the choice's package on its volume in the inference process."""
        package = self.package(choice)
        unproven = stored.rule is CompletenessRule.QUIET_TIME
        start = self.clock.monotonic()
        result = self._device.run(
            infer.Request(
                package=str(package.folder),
                spool=str(self.images.local_root(stored.instances)),
                stored=stored,
                geometry=geometry,
                identity=identity,
                reservations=(Reservation.COMPLETENESS_NOT_PROVEN,) if unproven else (),
                package_digest=package.ref.digest,
                wants_scores=not package.ref.is_shadow and self.sending.wants_scores(stored),
            ),
            time_limit_s=package.manifest.running.time_limit_s,
            memory_limit_mb=package.manifest.running.memory_limit_mb,
        )
        study = derive_key(stored.study_instance_uid)
        log(InferenceDone(study=study, result=Key(identity.key[:16]), seconds=self.clock.monotonic() - start))
        return result

    def compare_with_prior(self, result: Result, identity: ResultIdentity) -> Result:
        """The result with what has become of its findings since the prior; as it is where there is none, or it has left meanwhile."""
        if not isinstance(result, Analysed) or identity.patient is None or identity.prior is None:
            return result
        with self.engine.begin() as connection:
            row = journal.find_row(connection, identity.prior.result_key)
        prior = None if row is None else self.kept.find_value(row.kept)
        if not isinstance(prior, Analysed):
            return result
        from dicom_node import follow  # takes half a second to import, and most studies have no prior

        return follow.compare_with_prior(result, prior, identity.prior, identity.patient.study_date)

    def write_result(
        self,
        job: journal.StudyJob,
        choice: Accepted,
        identity: ResultIdentity,
        result: Result,
        made: Mapping[PeerName, tuple[DicomObject, ...]],
        destinations: Sequence[Destination],
    ) -> bool:
        """Record a result and start the deliveries of what was made of it for destinations: all or nothing; the same key again changes
        nothing.

        False, and nothing, where nobody waits for the job any more (`is_closed`), or where another result than the predecessor that
        `identify` found is the newest now: two reports of which neither names the other would both stand in the PACS.
        """
        record = ResultRecord.of(choice, result, self.kept.write_value(result), self.clock.now(), identity)
        wanted = tuple(self.sending.keep_objects(result, one, made[one.name]) for one in destinations if made.get(one.name))
        with self.engine.begin() as connection:
            study = job.study_instance_uid
            of_study = self._is_one_of_study(choice)
            if journal.is_closed(connection, study, job.generation):
                return False
            if not journal.may_follow(connection, study, choice, identity, of_study=of_study):
                return False
            journal.write_result(connection, record)
            if journal.find_withdrawal(connection, record.key) is not None:
                return True  # judged again from the same: it stays withdrawn, also where a destination has come since
            deliveries = [journal.start_delivery(connection, self.client, delivery) for delivery in wanted]
        # Afterwards: a journal that is made again must not know what was refused here. After a crash in between the job comes here again.
        self.kept.write_record(record)
        for delivery in deliveries:
            self.kept.write_record(delivery)
        named, key = derive_key(study), Key(result.key[:16])
        if isinstance(result, NotAnalysed):
            log(ResultRefused(study=named, result=key, reason=type(result.reason)))
        else:
            seconds = sum(stage.seconds for stage in result.stages)
            log(ResultMade(study=named, result=key, findings=len(result.findings), seconds=seconds))
        return True

    def is_closed(self, job: journal.StudyJob) -> bool:
        """Whether nobody waits for the job any more: it was cancelled, another worker has finished it, or a newer one does its work."""
        with self.engine.begin() as connection:
            return journal.is_closed(connection, job.study_instance_uid, job.generation)

    def close_study(self, job: journal.StudyJob, *, is_analysed: bool) -> None:
        """The job of a study is finished; where a model failed on it, it waits for a person, and its images stay."""
        failure = None if is_analysed else AnalysisFailed.__name__
        with self.engine.begin() as connection:
            journal.close_study(connection, job.study_instance_uid, job.generation, self.clock.now(), failure)
        if failure is not None:
            log(StudyFailed(derive_key(job.study_instance_uid), AnalysisFailed))

    def fail_study(self, job: journal.StudyJob, error: Exception) -> None:
        """The job of a study is ended by an error that another try does not help; a file that a rule removed meanwhile is none."""
        study, now = job.study_instance_uid, self.clock.now()
        with self.engine.begin() as connection:
            if isinstance(error, ImageMissing) and not journal.has_all_images(connection, study):
                journal.leave_unjudged(connection, study, now)
                return
            journal.close_study(connection, study, job.generation, now, type(error).__name__)
        log(StudyFailed(derive_key(study), type(error), place_of(error)))

    def take_up_forgotten(self) -> int:
        """Start the jobs that should be there and are not; gives how many."""
        with self.engine.begin() as connection:
            return journal.take_up_forgotten(connection, self.client, self.clock.now())

    def judge_what_was_out_of_service(self) -> int:
        """Judge anew what was refused because a package was out of service that is in service now; gives how many studies."""
        in_service = tuple(package.ref.name for package in self.packages if package.ref.name not in self.out_of_service)
        with self.engine.begin() as connection:
            return journal.judge_what_was_out_of_service(connection, self.client, in_service, self.clock.now())


class _Ahead:
    """Assembles a series while its sender is asked whether that is all of it, and has its volume read; the last ones are held.

    Nothing depends on it: what was not read ahead, or has changed since, is read when it is wanted, and says then what is wrong.
    """

    def __init__(self, node: Node, device: infer.Device) -> None:
        self._node, self._device = node, device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="assemble")
        self._begun: dict[str, tuple[int, Future[tuple[StoredSeries, AssembledSeries] | None]]] = {}  # by series, the oldest first
        self._lock = threading.Lock()

    def begin(self, job: journal.Look, instances: int) -> None:
        """Assemble what is here of a series now, unless as many images were here before."""
        uid = job.series_instance_uid
        with self._lock:
            known = self._begun.pop(uid, None)
            if known is None or known[0] != instances:
                future = self._thread.submit(self._assemble, job)
                self._thread.submit(self._read_volume, future)
                known = instances, future
            self._begun[uid] = known
            while len(self._begun) > _ASSEMBLED:
                del self._begun[next(iter(self._begun))]

    def find(self, stored: StoredSeries) -> AssembledSeries | None:
        """What was assembled of exactly these images, given out once."""
        with self._lock:
            _, future = self._begun.pop(stored.series_instance_uid, (0, None))
        if future is None or future.cancel() or future.exception() is not None:  # what has not begun is done here
            return None
        found = future.result()
        if found is None or found[0].instances != stored.instances or found[0].study_instance_uid != stored.study_instance_uid:
            return None
        return dataclasses.replace(found[1], headers=dataclasses.replace(found[1].headers, rule=stored.rule))

    def _assemble(self, job: journal.Look) -> tuple[StoredSeries, AssembledSeries] | None:
        stored = self._node.read_stored_series(job)
        return None if stored is None else (stored, _assemble(self._node.read_headers(stored)))

    def _read_volume(self, assembled: "Future[tuple[StoredSeries, AssembledSeries] | None]") -> None:
        """The volume, where there is one: of several nobody knows which one a package will choose."""
        found = None if assembled.cancelled() or assembled.exception() is not None else assembled.result()
        if found is None:
            return
        stored, series = found
        volume = series.volumes[0]
        if len(series.volumes) == 1 and isinstance(volume, Geometry) and math.prod(volume.shape) <= _AHEAD_VOXELS:
            request = infer.VolumeAheadRequest(str(self._node.images.local_root(stored.instances)), stored, volume)
            self._device.read_ahead(request, time_limit_s=_VOLUME_LIMIT_S)


def _assemble(headers: SeriesHeaders) -> AssembledSeries:
    """Headers with the volumes that they make."""
    return AssembledSeries(headers=headers, volumes=assemble.find_volumes(headers))


def _of_prior(key: str | None) -> tuple[str, ...]:
    """What a prior adds to what a result's key is made from."""
    return () if not key else ("prior", key)


def is_to_try_again(result: Result) -> bool:
    """Whether a result says nothing about the images, but that the model's process died on them or hung."""
    return isinstance(result, NotAnalysed) and isinstance(result.reason, ModelFailed | ModelTooSlow)


@dataclass(frozen=True, slots=True)
class Looking:
    """A series in the moment of decision: nothing about it changes until the transaction ends."""

    connection: journal.Connection
    client: journal.Client
    job: journal.Look
    found: journal.OpenSeries
    now: float  # of the clock that `last_seen` is written by

    def seen(self, counted: int | None) -> assemble.SeriesSeen:
        """The evidence for completeness."""
        return assemble.SeriesSeen(
            instances=self.found.instances,
            last_seen=self.found.last_seen,
            feeding=self.found.feeding,
            counted=counted,
            broken_at=self.found.broken_at,
        )

    def close(self, rule: CompletenessRule, priority: Priority) -> None:
        """The series is complete."""
        journal.close_series(self.connection, self.client, self.found, rule, priority)
        log(SeriesComplete(derive_key(self.found.series_instance_uid), self.found.instances, rule))

    def again(self, seconds: float) -> None:
        """Look again after so many seconds."""
        following = dataclasses.replace(self.job, number=self.job.number + 1)
        self.client.enqueue_look(self.connection, following, seconds)


def _as_rule(rule: PriorityRule) -> assemble.PriorityRule:
    return assemble.PriorityRule(
        level=Priority[rule.level.upper()],
        calling=tuple(map(AETitle, rule.calling)),
        store_priority=None if rule.store_priority is None else StorePriority(rule.store_priority),
        attributes=tuple(rule.attributes.items()),
    )


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
    for name, peer in config.peers.items():
        said = () if isinstance(peer.says_not_analysed, bool) else peer.says_not_analysed
        problems += (
            Problem(config.file.parent / config.node.peers, f"peers.{name}.says_not_analysed", unknown, f"one of {', '.join(names)}")
            for unknown in said
            if unknown not in names
        )
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(packages)
