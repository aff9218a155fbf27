"""Results and answers: what became of a study."""

import sqlalchemy as sa

from dicom_node.values import Accepted, Analysed, Answer, NotAnalysed, codec

from .tables import answers, results, studies


def write_answers(connection: sa.Connection, study_instance_uid: str, found: tuple[Answer, ...]) -> None:
    """Replace what the packages said about a study."""
    connection.execute(answers.delete().where(answers.c.study_instance_uid == study_instance_uid))
    for answer in found:
        connection.execute(
            answers.insert().values(
                study_instance_uid=study_instance_uid,
                series_instance_uid=answer.series_instance_uid,
                volume=answer.volume,
                package=answer.package,
                answer=codec.dump(answer).decode(),
            )
        )


def find_result(connection: sa.Connection, choice: Accepted, key: str) -> str | None:
    """The name of the kept result of a key, or None where there is none yet."""
    return connection.execute(
        sa.select(results.c.kept).where(results.c.key == key, results.c.package == choice.package)
    ).scalar_one_or_none()


def find_latest(connection: sa.Connection, study_instance_uid: str, choice: Accepted) -> tuple[str, str] | None:
    """Key and predecessor's key ("" for none) of the newest analysed result of the choice's package on its volume."""
    row = connection.execute(
        sa.select(results.c.key, results.c.predecessor)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            results.c.series_instance_uid == choice.series_instance_uid,
            results.c.volume == choice.volume,
            results.c.package == choice.package,
            results.c.findings.is_not(None),
        )
        .order_by(results.c.number.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.key, row.predecessor or "")


def write_result(connection: sa.Connection, choice: Accepted, result: Analysed | NotAnalysed, kept: str, now: float) -> None:
    """Record a result once; the same key again changes nothing, but for one that was not analysed before."""
    known = connection.execute(sa.select(results.c.findings).where(results.c.key == result.key)).first()
    if known is not None:
        if known.findings is None:
            findings = len(result.findings) if isinstance(result, Analysed) else None
            connection.execute(results.update().where(results.c.key == result.key).values(kept=kept, findings=findings, made_at=now))
        return
    number = connection.execute(
        sa.select(sa.func.count()).select_from(results).where(results.c.study_instance_uid == result.study_instance_uid)
    ).scalar_one()
    analysed = isinstance(result, Analysed)
    connection.execute(
        results.insert().values(
            key=result.key,
            study_instance_uid=result.study_instance_uid,
            series_instance_uid=result.series_instance_uid,
            volume=choice.volume,
            package=choice.package,
            version="" if result.package is None else result.package.version,
            predecessor=result.predecessor_key if isinstance(result, Analysed) else None,
            number=number,
            findings=len(result.findings) if isinstance(result, Analysed) and analysed else None,
            kept=kept,
            made_at=now,
        )
    )


def close_study(connection: sa.Connection, study_instance_uid: str, generation: int, failure: str | None = None) -> None:
    """A generation of a study is finished, or failed for the reason named by an error's class."""
    connection.execute(
        studies.update()
        .where(studies.c.study_instance_uid == study_instance_uid, studies.c.closed < generation)
        .values(closed=generation, failure=failure)
    )
