"""How a database would answer what the journal asks: by an index, or by reading everything that is known."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def read_by_index(engine: sa.Engine, least: int) -> Iterator[None]:
    """AssertionError where one of the questions in the block, of which there are at least so many, reads a whole table of ours."""
    asked: list[tuple[str, object]] = []

    def remember(_c: object, _u: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", remember)
    yield
    sa.event.remove(engine, "before_cursor_execute", remember)
    assert len(asked) >= least
    with engine.begin() as connection:
        explain = "explain query plan " if engine.dialect.name == "sqlite" else "explain "
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("set local enable_seqscan = off")  # of tables so small it reads all, whatever indexes there are
        for statement, parameters in asked:
            if statement.lstrip().upper().startswith("SELECT") and "from " in statement.lower():
                rows = connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
                plan = "\n".join(str(tuple(row)) for row in rows)
                assert not re.search(r"SCAN (node|workflow)_\w+\b(?! USING)|Seq Scan on (node|workflow)", plan), (statement, plan)
