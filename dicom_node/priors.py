"""A patient's earlier study, fetched from a PACS before the current one is analysed: for packages whose findings are followed over time.

A search begins when a series is complete that such a package takes, in a thread of its own; the study waits for its end, at most for as
long as configured. What is fetched is analysed like any other study, and its results stay here (docs/decisions/0024).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from dicom_node import assemble, deliver, journal, select, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import PeerError, SpoolError
from dicom_node.log import PriorFetched, PriorNotFetched, RoleName, log, log_broken
from dicom_node.package import Package
from dicom_node.values import (
    Accepted,
    AssembledSeries,
    PeerName,
    SearchEnd,
    SeriesHeaders,
    StoredSeries,
    derive_key,
)

# Findings of this category are followed over time: that of a lesion (CID 7150), which may come, grow and go; an organ does not.
_FOLLOWED = ("49755003", "SCT")
_SEARCHES = 4  # at once
_MOST_TRIED = 3  # earlier studies, from the newest on, until one leads to a result
_LOOK_S = 0.5  # between two looks whether what was fetched is analysed

# The headers of stored images. Raises SpoolError.
ReadHeaders = Callable[[StoredSeries], SeriesHeaders]


@dataclass(frozen=True, slots=True)
class _Sought:
    """Of whom earlier studies are looked for, of which modality and nearest to how many images a series, and for which packages."""

    patient: spool.Patient
    modality: str
    instances: int
    packages: tuple[str, ...]


class Priors:
    """What `pipeline.look` asks before it closes a series; a part of the node."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        engine: journal.SqlEngine,
        client: journal.Client,
        kept: journal.Kept,
        packages: Sequence[Package],
    ) -> None:
        self._config, self._clock, self._engine, self._client, self._kept = config, clock, engine, client, kept
        self._packages = tuple(package for package in packages if is_followed(package))
        self._peers = tuple(name for name, peer in config.peers.items() if "priors" in peer.may) if self._packages else ()
        self._wait_s = config.node.priors.wait_s
        self._threads = ThreadPoolExecutor(_SEARCHES, thread_name_prefix="priors")

    def is_awaited(self, connection: journal.Connection, job: journal.Look) -> bool:
        """Whether a series that is complete stays open for now: nobody has looked yet whether there is a prior (`seek`), or the search of
        its study goes on."""
        if not self._peers:
            return False
        searches = journal.read_searches(connection, job.study_instance_uid)
        return not _is_known(searches, job) or self._is_under_way(connection, searches)

    def is_held_up(self, job: journal.Look) -> bool:
        """Whether a series was found complete before, and the search of its study goes on: until then there is nothing to ask."""
        if not self._peers:
            return False
        with self._engine.begin() as connection:
            searches = journal.read_searches(connection, job.study_instance_uid)
            return _is_known(searches, job) and self._is_under_way(connection, searches)

    def seek(self, job: journal.Look, stored: StoredSeries | None, read_headers: ReadHeaders) -> None:
        """Begin the search for the prior of a series that is complete, where a package follows what it finds in it; once.

        `stored` is the series; where its images have left there is nothing to look for.
        """
        about = job.study_instance_uid, job.series_instance_uid
        with self._engine.begin() as connection:
            is_known = _is_known(journal.read_searches(connection, job.study_instance_uid), job)
            is_fetched = journal.is_fetched(connection, job.study_instance_uid)  # of a prior's prior there would be no end
        if is_known:
            return
        sought = None if stored is None or is_fetched else self._find_sought_guarded(stored, read_headers)
        with self._engine.begin() as connection:
            now = journal.now(connection, self._clock)
            begins = journal.begin_search(connection, *about, now, is_wanted=sought is not None)
            if not begins:
                self._client.hasten_looks(connection, *about)
        if begins and sought is not None:
            self._start(about, sought)

    def go_on(self, read_series: Callable[[str, str], StoredSeries | None], read_headers: ReadHeaders) -> None:
        """Begin the searches anew that were under way when a worker died; who fetches twice fetches the same."""
        with self._engine.begin() as connection:
            unended = journal.find_unended(connection)
        for search in unended:
            about = search.study_instance_uid, search.series_instance_uid
            stored = read_series(*about) if self._peers and not self._is_late(search) else None
            sought = None if stored is None else self._find_sought_guarded(stored, read_headers)
            if sought is not None:
                self._start(about, sought)
                continue
            with self._engine.begin() as connection:
                journal.end_search(connection, search, SearchEnd.LATE, search.peer)

    def _is_under_way(self, connection: journal.Connection, searches: Sequence[journal.Search]) -> bool:
        now = journal.now(connection, self._clock)
        return any(one.ended is None and now < one.began_at + self._wait_s for one in searches)

    def _find_sought_guarded(self, stored: StoredSeries, read_headers: ReadHeaders) -> _Sought | None:
        """The outermost handler of what a header leads to here: the series is looked at until it closes, so it must close without."""
        try:
            return self._find_sought(read_headers(stored))
        except SpoolError:
            return None
        except Exception as error:  # noqa: BLE001
            log_broken(RoleName.WORKER, error)
            return None

    def _find_sought(self, headers: SeriesHeaders) -> _Sought | None:
        """What to look for; None where no package takes a volume of the series whose findings it follows, or nobody can say whose it is."""
        if not headers.instances:
            return None
        answers = select.judge(self._packages, [AssembledSeries(headers=headers, volumes=assemble.find_volumes(headers))])
        takers = tuple(sorted({answer.package for answer in answers if isinstance(answer, Accepted)}))
        patient = spool.read_patient(headers.instances[0]) if takers else None
        if patient is None:
            return None
        modality = next(iter(headers.instances[0].attribute("Modality")), "")
        return _Sought(patient, modality, len(headers.instances), takers)

    def _start(self, about: tuple[str, str], sought: _Sought) -> None:
        self._threads.submit(self._search_guarded, about, sought)

    def _search_guarded(self, about: tuple[str, str], sought: _Sought) -> None:
        """The outermost handler of a search: whatever happens, it ends; where that cannot be written, the study goes on at its limit."""
        try:
            self._search(about, sought)
        except Exception as error:  # noqa: BLE001
            log_broken(RoleName.WORKER, error)
            if not journal.is_unavailable(error):
                self._end(about, SearchEnd.FAILED, None, type(error))

    def _search(self, about: tuple[str, str], sought: _Sought) -> None:
        study, _ = about
        with self._engine.begin() as connection:
            search = next((one for one in journal.read_searches(connection, study) if one.series_instance_uid == about[1]), None)
        if search is None or search.ended is not None:
            return
        start, ended = self._clock.monotonic(), SearchEnd.NONE
        peer: PeerName | None = None
        failed: tuple[PeerName, PeerError] | None = None
        prior: str | None = None
        for name in self._peers:
            peer = PeerName(name)
            try:
                ended, prior = self._search_at(search, peer, sought)
            except PeerError as error:
                failed = peer, error
            if ended in (SearchEnd.FETCHED, SearchEnd.HERE, SearchEnd.LATE):
                break
        else:
            if failed is not None:  # what another one does not have says nothing about what this one has
                self._end(about, SearchEnd.FAILED, failed[0], type(failed[1]))
                return
        self._end(about, ended, peer, None)
        if ended is SearchEnd.FETCHED and prior is not None:
            log(PriorFetched(derive_key(study), derive_key(prior), peer or PeerName(""), self._clock.monotonic() - start))

    def _end(self, about: tuple[str, str], ended: SearchEnd, peer: PeerName | None, error: type[Exception] | None) -> None:
        """Note how a search has ended, and let every series look now that waits for it."""
        with self._engine.begin() as connection:
            for one in journal.read_searches(connection, about[0]):
                if one.series_instance_uid == about[1]:
                    name = None if error is None else error.__name__
                    journal.end_search(connection, one, ended, None if peer is None else peer.text, name)
                self._client.hasten_looks(connection, one.study_instance_uid, one.series_instance_uid)
        if ended in (SearchEnd.FAILED, SearchEnd.LATE, SearchEnd.UNSUITABLE):
            log(PriorNotFetched(derive_key(about[0]), ended, peer, error))

    def _search_at(self, search: journal.Search, peer: PeerName, sought: _Sought) -> tuple[SearchEnd, str | None]:
        """Search at one PACS: how it ended, and the study that was fetched."""
        if self._is_late(search):  # it has waited for its turn behind others
            return SearchEnd.LATE, None
        line = deliver.Line(peer, self._config.peers[peer.text], self._config.node.ae_title, self._config.node.deliver)
        studies = deliver.find_earlier(line, sought.patient, sought.modality)
        found = [one for one in studies if one.study_instance_uid != search.study_instance_uid]
        ended = SearchEnd.NONE
        for earlier in found[:_MOST_TRIED]:
            if self._is_late(search):
                return SearchEnd.LATE, None
            if self._has_result(earlier, sought):
                return SearchEnd.HERE, None
            ended = self._fetch(search, line, earlier, sought)
            if ended is not SearchEnd.UNSUITABLE:
                return ended, earlier.study_instance_uid
        return ended, None

    def _fetch(self, search: journal.Search, line: deliver.Line, earlier: deliver.EarlierStudy, sought: _Sought) -> SearchEnd:
        """Have an earlier study sent here, and wait until it is analysed."""
        chosen = self._choose(line, earlier, sought.instances)
        if not chosen:
            return SearchEnd.UNSUITABLE
        with self._engine.begin() as connection:
            record = journal.note_prior(connection, search, line.destination.text, earlier.study_instance_uid, chosen)
        if record is not None:
            self._kept.write_record(record)
            # A PACS need not say anything while it sends, and who hangs up gets half a series.
            patience_s = self._wait_s + line.limits.response_timeout_s
            patient_line = replace(line, limits=line.limits.model_copy(update={"response_timeout_s": patience_s}))
            deliver.ask_move(patient_line, earlier.study_instance_uid, [uid for uid in chosen if uid in record.series_instance_uids])
        while not self._is_judged(earlier.study_instance_uid):
            if self._is_late(search):
                return SearchEnd.LATE
            self._clock.wait(_LOOK_S)
        return SearchEnd.FETCHED if self._has_result(earlier, sought) else SearchEnd.UNSUITABLE

    def _choose(self, line: deliver.Line, earlier: deliver.EarlierStudy, wanted: int) -> tuple[str, ...]:
        """The series to fetch: those with nearest to as many instances as the current one has first, until there would be too many. A
        series is fetched whole or not at all: a part of it would be another one."""
        counted = []
        for series in earlier.series:
            count = series.instances
            if count is None:
                study, peer = earlier.study_instance_uid, line.peer
                count = deliver.ask_count(line.destination, peer, line.our_title, study, series.series_instance_uid, line.limits)
            if count:
                counted.append((abs(count - wanted), series.series_instance_uid, count))
        chosen, room = [], self._config.node.priors.most_images
        for _, uid, count in sorted(counted):
            if count <= room:
                chosen.append(uid)
                room -= count
        return tuple(chosen)

    def _is_late(self, search: journal.Search) -> bool:
        with self._engine.begin() as connection:
            return journal.now(connection, self._clock) >= search.began_at + self._wait_s

    def _is_judged(self, study_instance_uid: str) -> bool:
        with self._engine.begin() as connection:
            return journal.is_judged(connection, study_instance_uid)

    def _has_result(self, earlier: deliver.EarlierStudy, sought: _Sought) -> bool:
        """Whether a package that takes the current series has analysed an earlier study: another one's result is none to compare with."""
        with self._engine.begin() as connection:
            return journal.has_result(connection, earlier.study_instance_uid, sought.packages)


def is_followed(package: Package) -> bool:
    """Whether what a package finds is followed over time: lesions, by a package that gives one result for a study; of several nobody
    could say which one to compare with."""
    outputs = package.manifest.outputs
    is_one = package.manifest.accept.series_per_study == 1
    return is_one and all((one.category.value, one.category.scheme) == _FOLLOWED for one in outputs)


def _is_known(searches: Sequence[journal.Search], job: journal.Look) -> bool:
    return any(one.series_instance_uid == job.series_instance_uid for one in searches)
