"""What the node knows of its studies, for a person and for a program. UIDs and technical values; no patient value."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dicom_node import errors, journal
from dicom_node.config import Config
from dicom_node.texts import Language, Reader, render_error, render_reason
from dicom_node.texts.render import name_of
from dicom_node.values import Accepted, Analysed, Answer, NotAnalysed, PeerName, Reason, SearchEnd, Withdrawn

from .instead import describe_instead, find_not_accepted, name_class


def find_status(config: Config, study: str, limit: int, language: Language) -> dict[str, Any] | None:
    """One study, or the newest ones, as plain values ready for JSON; None where the study is not known."""
    config.data.mkdir(parents=True, exist_ok=True)  # a node that has never run has no studies, and no folder yet
    journal.migrate(config.database)
    return read_status(config, study, limit, language)


def read_status(config: Config, study: str, limit: int, language: Language) -> dict[str, Any] | None:
    """The same, of a journal that is there and has this version's schema; nothing is written."""
    engine = journal.open_engine(config.database)
    kept = journal.open_kept(config)
    try:
        with engine.begin() as connection:
            uid = journal.find_study(connection, study) if study else None
            if study and uid is None:
                return None
            rows = journal.read_studies(connection, kept, uid, limit)
            refusals = journal.read_refusals(connection)
            not_accepted = find_not_accepted(connection, config, language)
    finally:
        engine.dispose()
    return {
        "studies": [_study(row, language) for row in rows],
        "refused": [{**dataclasses.asdict(row), "status": f"{row.status:04X}"} for row in refusals],
        "not_accepted": not_accepted,
    }


def _study(row: journal.StudyRow, language: Language) -> dict[str, Any]:
    return {
        "study": row.study_instance_uid,
        "key": row.key.text,
        "state": row.state,
        "failure": row.failure,
        "why": describe_error(row.failure, language) if row.failure else None,
        "conflicts": row.conflicts,
        "is_prior": row.is_prior,
        "prior": None if row.search is None else _search(row.search, language),
        "series": [_series(one, language) for one in row.series],
        "results": [_result(one, row.results, language) for one in row.results],
    }


# How a search for a prior stands.
_SEARCHES = {
    None: "is looked for",
    SearchEnd.NONE: "none found",
    SearchEnd.HERE: "was analysed here already",
    SearchEnd.FETCHED: "fetched and analysed",
    SearchEnd.UNSUITABLE: "what there is led to no result",
    SearchEnd.LATE: "did not come within the limit (priors.wait_s)",
    SearchEnd.FAILED: "could not be fetched",
}


def _search(search: journal.Search, language: Language) -> dict[str, Any]:
    peer = None if search.peer is None else PeerName(search.peer)
    return {
        "end": None if search.ended is None else search.ended.value,
        "text": _SEARCHES[search.ended],
        "peer": search.peer,
        "study": search.prior,
        "why": describe_error(search.error, language, peer=peer) if search.error else None,
    }


def _series(row: journal.SeriesRow, language: Language) -> dict[str, Any]:
    return {
        "series": row.series_instance_uid,
        "calling": row.calling,
        "instances": row.instances,
        "state": "complete" if row.is_complete else "open",
        "rule": row.rule.value if row.rule else None,
        "reopened": row.generation,
        "answers": [_answer(answer, language) for answer in row.answers],
    }


def _answer(answer: Answer, language: Language) -> dict[str, Any]:
    common = {"package": answer.package, "volume": answer.volume}
    if isinstance(answer, Accepted):
        verdict = "chosen" if answer.chosen else "outranked"
        return {**common, "verdict": verdict, "because": [list(pair) for pair in answer.because], "failed": [], "reason": None}
    return {
        **common,
        "verdict": "refused",
        "because": [],
        "failed": [dataclasses.asdict(condition) for condition in answer.failed],
        "reason": None if answer.reason is None else _reason(answer.reason, language),
    }


def _reason(reason: Reason, language: Language) -> dict[str, Any]:
    return {
        "name": name_of(type(reason)),
        "text": render_reason(reason, Reader.ADMINISTRATOR, language),
        "radiologist": render_reason(reason, Reader.RADIOLOGIST, language),
    }


def _result(row: journal.ResultRow, beside: Sequence[journal.ResultRow], language: Language) -> dict[str, Any]:
    """A result; `beside`: all of its study."""
    result = row.result
    deliveries: dict[str, list[journal.ObjectRow]] = {}
    for one in row.objects:
        deliveries.setdefault(one.destination, []).append(one)
    return {
        "key": row.key[:16],
        "series": row.series_instance_uid,
        "package": row.package,
        "version": row.version,
        "kind": _kind(row),
        "withdrawn": _withdrawn(row, beside, language),
        "removed": result is None,
        "shadow": result is not None and result.package is not None and result.package.is_shadow,
        "count": row.findings,
        "predecessor": row.predecessor[:16] if row.predecessor else None,
        "reason": _reason(result.reason, language) if isinstance(result, NotAnalysed) else None,
        "reservations": [one.value for one in result.reservations] if isinstance(result, Analysed) else [],
        "findings": _findings(result) if isinstance(result, Analysed) else [],
        "stages": [
            {"name": one.name, "kind": one.kind, "seconds": round(one.seconds, 3), "given": dict(one.given)}
            for one in (() if result is None else result.stages)
        ],
        "deliveries": [
            {
                "destination": destination,
                "objects": [
                    {
                        "role": one.role,
                        "sop_class": one.sop_class_uid,
                        "uid": one.sop_instance_uid,
                        "state": one.state.value,
                        "attempts": one.attempts,
                        "status": None if one.status is None else f"{one.status:04X}",
                        "error": one.error,
                        "proof": None if one.proof is None else one.proof.value,
                        "lost": one.lost,
                        "next_try": None if one.next_try_at is None else as_date(one.next_try_at),
                        "instead_of": [kind.value for kind in one.instead_of],
                        "why": describe_instead(one, objects, language, result),
                    }
                    for one in objects
                ],
            }
            for destination, objects in deliveries.items()
        ],
    }


def _kind(row: journal.ResultRow) -> str:
    if row.is_withdrawal:
        return "withdrawal"
    return "analysed" if row.findings is not None else "not-analysed"


def _withdrawn(row: journal.ResultRow, beside: Sequence[journal.ResultRow], language: Language) -> dict[str, Any] | None:
    """Why and when a person has withdrawn a result; None where nobody has. `reason` None: the value has left the node."""
    for other in beside:
        value = other.result
        keys = value.withdrawn_keys if isinstance(value, Withdrawn) else (other.predecessor,)
        if other.is_withdrawal and row.key in keys:
            reason = None if value is None or not isinstance(value, Withdrawn) else _reason(value.reason, language)
            return {"by": other.key[:16], "at": as_date(other.made_at), "reason": reason}
    return None


# What is no error of ours has no text of its own.
_WORDS = {"CancelledByOperator": "cancelled by a person", "WithdrawnByOperator": "withdrawn by a person"}


def describe_error(error: str, language: Language, **known: Any) -> str:
    """An error's class in words, with what is known of its fields here; the name of one that is not ours."""
    kind: Any = getattr(errors, error, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.NodeError) and dataclasses.is_dataclass(kind)):
        return _WORDS.get(error, error)
    made: Any = kind(**{field.name: known.get(field.name) for field in dataclasses.fields(kind)})
    return f"{error}: {render_error(made, Reader.ADMINISTRATOR, language)}"


def as_date(seconds: float) -> str:
    """Seconds since the epoch in words: UTC, as everything that a log or a status says."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _findings(result: Analysed) -> list[dict[str, Any]]:
    return [
        {
            "number": finding.number,
            "label": finding.label,
            "site": finding.site.meaning if finding.site else None,
            "laterality": finding.laterality.value if finding.laterality else None,
            "centre_lps": [round(value, 1) for value in finding.centre_lps],
            "score": finding.score,
            "measurements": {
                measured.concept.meaning: f"{measured.value:.{measured.digits}f} {measured.unit.value}" for measured in finding.measurements
            },
        }
        for finding in result.findings
    ]


def as_text(found: dict[str, Any]) -> str:
    """The same for a person, a line for each fact."""
    lines: list[str] = []
    for study in found["studies"]:
        failure = f", failed: {study['failure']}" if study["failure"] else ""
        aside = f", set aside: {study['conflicts']}" if study["conflicts"] else ""
        lines.append(f"study {study['study']}  [{study['key']}]  {study['state']}{failure}{aside}")
        lines += [f"  {study['why']}"] if study["why"] not in (None, study["failure"]) else []
        lines += ["  fetched as a prior: its results stay here; to have them sent: dicom-node jobs rerun"] if study["is_prior"] else []
        lines += [_prior_line(study["prior"])] if study["prior"] else []
        for series in study["series"]:
            rule = f" by {series['rule']}" if series["rule"] else ""
            again = f", reopened {series['reopened']} times" if series["reopened"] else ""
            lines.append(
                f"  series {series['series']}  {series['instances']} instances from {series['calling']}, {series['state']}{rule}{again}"
            )
            lines += (f"    {line}" for answer in series["answers"] for line in _answer_lines(answer))
        lines += (f"  {line}" for result in study["results"] for line in _result_lines(result))
    for refused in found["refused"]:
        lines.append(f"refused {refused['times']} instances from {refused['calling']}: {refused['status']} {refused['comment']}")
    lines += [one["text"] for one in found["not_accepted"]]
    return "\n".join(lines) or "no studies yet"


def _prior_line(prior: dict[str, Any]) -> str:
    found = f" at {prior['peer']}: study {prior['study']}" if prior["study"] else ""
    why = f"; {prior['why']}" if prior["why"] else ""
    return f"  prior {prior['text']}{found}{why}"


def _answer_lines(answer: dict[str, Any]) -> list[str]:
    head = f"{answer['package']}: {answer['verdict']}"
    if answer["reason"]:
        return [f"{head}: {answer['reason']['text']}"]
    because = ", ".join(f"{subject} {value}" for subject, value in answer["because"])
    failed = "; ".join(f"{one['subject']} is {one['found']}, wanted {one['wanted']}" for one in answer["failed"])
    detail = failed or because
    return [f"{head}: {detail}" if detail else head]


def _result_lines(result: dict[str, Any]) -> list[str]:
    shadow = " in the shadow, sent to nobody" if result["shadow"] else ""
    head = f"result [{result['key']}] {result['package']} {result['version']}{shadow}: "
    if result["kind"] == "withdrawal":
        why = f": {result['reason']['text']}" if result["reason"] else ""
        return [f"withdrawal [{result['key']}] of result [{result['predecessor']}]{why}", *_delivery_lines(result)]
    withdrawn = result["withdrawn"]
    taken_back = [f"  withdrawn {withdrawn['at']}, see [{withdrawn['by']}]"] if withdrawn else []
    if result["reason"]:
        return [head + result["reason"]["text"], *taken_back]
    replaced = f", replaces [{result['predecessor']}]" if result["predecessor"] else ""
    reserved = f" ({', '.join(result['reservations'])})" if result["reservations"] else ""
    found = "not analysed" if result["count"] is None else f"{result['count']} findings"
    removed = ", its value has left the node" if result["removed"] else ""
    lines = [head + f"{found}{reserved}{replaced}{removed}", *taken_back]
    for finding in result["findings"]:
        measured = ", ".join(f"{name} {value}" for name, value in finding["measurements"].items())
        lines.append(f"  {finding['number']}. {finding['label']} {finding['laterality'] or ''} score {finding['score']}: {measured}")
    return lines + _delivery_lines(result)


def _delivery_lines(result: dict[str, Any]) -> list[str]:
    """A line for each object on its way, and one below it where it is there in place of another."""
    lines = []
    for delivery in result["deliveries"]:
        for one in delivery["objects"]:
            proof = f" by {one['proof']}" if one["proof"] and one["state"] == "confirmed" else ""
            error = f", {one['error']}" if one["error"] else ""
            error += f", lost {one['lost']} times" if one["lost"] else ""
            error += f", next try {one['next_try']}" if one["next_try"] else ""
            lines.append(
                f"  to {delivery['destination']}: {name_class(one['sop_class'])} {one['uid']}: {one['state']}{proof} "
                f"(tries {one['attempts']}, status {one['status'] or '-'}{error})"
            )
            lines += [f"    {one['why']}"] if one["why"] else []
    return lines
