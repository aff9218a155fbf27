"""`dicom-node jobs`: what is to be done and could not be done, for the people who look after the node; and what they do about it."""

import errno
import itertools
import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_node import deliver, journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import ImageMissing, SpoolFailed
from dicom_node.journal import Done, JobRow, JobState
from dicom_node.texts import Language
from dicom_node.texts.render import name_of
from dicom_node.values import PeerName, SeriesHeaders, StoredSeries
from dicom_node.values.reasons import WITHDRAWALS, Withdrawal

from .instead import describe_instead
from .status import as_date, describe_error

if TYPE_CHECKING:
    from dicom_node.sending import WithdrawalMade

STATES = tuple(state.value for state in JobState if state not in (JobState.DONE, JobState.CANCELLED))

_NOT_DONE = {
    Done.NOTHING_TO_DO: "nothing to do: it is not in a state where that would change anything",
    Done.IS_OPEN: "a series of it is not complete; it is judged when all are",
    Done.NO_IMAGES: "its images, or some of them, have left the node; send them again",
    Done.IS_WITHDRAWN: "its result was withdrawn by a person, and is sent nowhere any more",
}
REASONS: Mapping[str, type[Withdrawal]] = {name_of(kind): kind for kind in WITHDRAWALS}
_MANY = 1_000_000
_AT_ONCE = 200  # in one transaction: with SQLite receipts wait meanwhile


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to a person; `is_done` False where nothing was done."""

    text: str
    is_done: bool = True


def find_jobs(config: Config, limit: int, clock: Clock, *, dead: bool = False, state: str = "") -> list[dict[str, Any]]:
    """The jobs as plain values; all that are not over, or only the dead ones, or those of a state."""
    states = (JobState(state),) if state else journal.DEAD if dead else None
    with _journal(config) as (connection, _):
        return [_plain(row, clock.now(), config.node.language) for row in journal.read_jobs(connection, limit, states)]


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each."""
    if not rows:
        return "no jobs"
    lines = [f"{'job':<36} {'state':<11} {'priority':<8} {'tries':>5} {'since':<20} why"]
    for row in rows:
        cells = f"{row['job']:<36} {row['state']:<11} {row['priority']:<8} {row['tries']:>5} {row['since'] or '':<20} {row['why']}"
        lines.append(cells.rstrip())
    return "\n".join(lines)


def show(config: Config, name: str, clock: Clock) -> Said:
    """Everything about one job, with what was done to it; of a study that has left the node, that alone."""
    with _journal(config) as (connection, _):
        row = journal.find_job(connection, name)
        subjects = (name, name.removeprefix("study/"), journal.name_study(name))  # of a study that has left the node, by its UID too
        if row is not None:
            subjects = (row.name, row.study_instance_uid, journal.name_study(row.study_instance_uid))
        objects = () if row is None else journal.find_objects(connection, row)
        done = [action for subject in dict.fromkeys(subjects) for action in journal.read_actions(connection, subject)]
    if row is None and not done:
        return Said(f"no job {name}", is_done=False)
    lines = []
    if row is not None:
        found = _plain(row, clock.now(), config.node.language)
        lines += [f"{key:<10} {value}" for key, value in found.items() if value not in (None, "")]
    lines += [f"object     {_describe_object(one, objects, config.node.language)}" for one in objects]
    lines += [_describe_action(action) for action in sorted(done, key=lambda action: action.at)]
    return Said("\n".join(lines))


def retry_one(config: Config, name: str, clock: Clock) -> Said:
    """Try one job again."""
    return _act(config, name, journal.retry_job, "is tried again", clock)


def cancel_one(config: Config, name: str, clock: Clock) -> Said:
    """End one job."""
    return _act(config, name, journal.cancel_job, "is cancelled", clock)


def retry_all(config: Config, destination: str, clock: Clock) -> Said:
    """Try everything again that is dead, or what of it goes to a destination."""
    with _journal(config) as (connection, _):
        dead = journal.read_jobs(connection, _MANY, journal.DEAD)
    names = iter([row.name for row in dead if not destination or row.destination == destination])
    tried = 0
    while some := tuple(itertools.islice(names, _AT_ONCE)):
        with _journal(config) as (connection, client):
            journal.begin_writing(connection)  # what is found must be true still when it is changed
            rows = (journal.find_job(connection, name) for name in some)
            still_dead = [row for row in rows if row is not None and row.state in journal.DEAD]
            tried += sum(journal.retry_job(connection, client, row, _actor(), clock.now()) is Done.YES for row in still_dead)
    return Said(f"{tried} of {len(dead)} dead jobs are tried again", is_done=bool(tried) or not dead)


def rerun_one(config: Config, study: str, clock: Clock) -> Said:
    """Judge a study anew."""
    with _journal(config) as (connection, client):
        journal.begin_writing(connection)  # what is found must be true still when it is changed
        uid = journal.find_study(connection, study)
        if uid is None:
            return Said(f"no study {study}", is_done=False)
        fetched = journal.find_fetched(connection, uid)
        done = journal.rerun_study(connection, client, uid, _actor(), clock.now())
    if fetched is not None and done is Done.YES:
        journal.open_kept(config).remove_record(fetched.identity)
    return Said(f"study {uid} is judged anew") if done is Done.YES else Said(_NOT_DONE[done], is_done=False)


def withdraw(config: Config, study: str, reason: str, clock: Clock, *, package: str = "", by: str = "") -> Said:
    """Withdraw what packages have said of a study; `reason` is one of REASONS."""
    from dicom_node import pipeline  # with what makes objects, which takes a second that no other command needs
    from dicom_node.sending import Sending

    with _engine(config) as engine:
        with engine.begin() as connection:
            uid = journal.find_study(connection, study)
        if uid is None:
            return Said(f"no study {study}", is_done=False)
        client, images = journal.Client(engine, look_delay_s=config.first_look_s), spool.open_spool(config)
        sending = Sending(config, clock, engine, client, journal.open_kept(config), lambda stored: _read_headers(images, stored))
        actor = f"{_actor()} for {by}" if by else _actor()
        made = pipeline.withdraw(uid, package, REASONS[reason](), f"withdraw {reason}", actor, sending)
    if made is None:
        return Said(f"study {uid}: more of it is sent at this moment; try again", is_done=False)
    if not made:
        return Said(f"study {uid}: nothing to do: no result of it stands", is_done=False)
    return Said("\n".join(line for one in made for line in _describe_withdrawal(one)))


def _describe_withdrawal(made: "WithdrawalMade") -> Iterator[str]:
    told = ", ".join(one.destination for one in made.deliveries) or "nobody"
    yield f"result [{made.standing.key[:16]}] of {made.standing.package} is withdrawn; told: {told}"
    for name in made.untold:
        yield f"  {name} has objects of it and cannot be told by the node: withdraw them there"


def _read_headers(images: spool.Spool, stored: StoredSeries) -> SeriesHeaders:
    """The headers of a series. Raises SpoolError; ImageMissing where a file is gone for good."""
    uids = stored.series_instance_uid, stored.study_instance_uid
    try:
        return spool.read_headers(images.local_root(stored.instances), stored.instances, *uids, stored.rule)
    except SpoolFailed as error:
        if error.errno == errno.ENOENT and images.misses_any(stored.instances):
            raise ImageMissing from error
        raise


def _act(config: Config, name: str, act: Callable[..., Done], said: str, clock: Clock) -> Said:
    with _journal(config) as (connection, client):
        journal.begin_writing(connection)  # what is found must be true still when it is changed
        row = journal.find_job(connection, name)
        if row is None:
            return Said(f"no job {name}", is_done=False)
        done = act(connection, client, row, _actor(), clock.now())
    return Said(f"{name} {said}") if done is Done.YES else Said(f"{name}: {_NOT_DONE[done]}", is_done=False)


@contextmanager
def _journal(config: Config) -> Iterator[tuple[journal.Connection, journal.Client]]:
    """A transaction of the journal."""
    with _engine(config) as engine, engine.begin() as connection:
        yield connection, journal.Client(engine, look_delay_s=config.first_look_s)


@contextmanager
def _engine(config: Config) -> Iterator[journal.SqlEngine]:
    """The journal, which is brought to this version's schema."""
    config.data.mkdir(parents=True, exist_ok=True)
    engine = journal.open_engine(config.database)
    try:
        if not journal.is_current(engine):
            journal.migrate(config.database)
        yield engine
    finally:
        engine.dispose()


def _plain(row: JobRow, now: float, language: Language) -> dict[str, Any]:
    waits = row.next_try_at is not None and row.state not in journal.DEAD
    return {
        "job": row.name,
        "state": row.state.value,
        "study": row.study_instance_uid,
        "priority": row.priority.name.lower(),
        "tries": row.tries,
        "since": None if row.since is None else as_date(row.since),
        "next_try_s": round(max((row.next_try_at or now) - now, 0.0)) if waits else None,
        "status": None if not row.status else f"{row.status:04X}",
        "error": row.error,
        "why": "; ".join(_reasons(row, now, language)),
    }


def _reasons(row: JobRow, now: float, language: Language) -> Iterator[str]:
    if row.next_try_at is not None and row.state not in journal.DEAD:
        yield f"next try in {max(row.next_try_at - now, 0.0):.0f} s"
    if row.status:
        yield f"answered {row.status:04X}, {deliver.meaning_of(row.status)}"
    if row.error:
        peer = None if row.destination is None else PeerName(row.destination)
        yield describe_error(row.error, language, peer=peer, status=row.status)


def _describe_object(one: journal.ObjectRow, beside: Sequence[journal.ObjectRow], language: Language) -> str:
    said = [one.state.value, f"tries {one.attempts}"]
    said += [f"answered {one.status:04X}"] if one.status else []
    said += [f"by {one.proof.value}"] if one.proof is not None else []
    said += [one.error] if one.error else []
    instead = describe_instead(one, beside, language)
    said += [instead] if instead else []
    return f"{one.role} {one.sop_instance_uid}: {', '.join(said)}"


def _describe_action(action: journal.Action) -> str:
    amount = "" if action.amount is None else f" ({action.amount})"
    return f"{as_date(action.at)}  {action.actor}: {action.action}{amount}"


def _actor() -> str:
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container's user without a name
        return f"cli:{os.getuid()}"
