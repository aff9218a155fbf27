"""The log by construction: events whose fields cannot hold a patient's value, and libraries whose words are dropped."""

import dataclasses
import enum
import json
import subprocess
import sys
import types
import typing
from typing import Any

import pytest

from dicom_node import log, values
from tests.classes import find_leaves

EVENTS = find_leaves(log.Event)

PATIENT = "ZZPHI^LOG"  # in every text below; may stand in no line


def run_logging(script: str, level: str = "info") -> list[dict[str, Any]]:
    """The lines that a process writes to standard error; each must be JSON and none may hold the patient's name."""
    prelude = f"import logging, threading, warnings\nfrom dicom_node import log, values\nlog.start_logging({level!r})\n"
    done = subprocess.run([sys.executable, "-c", prelude + script], capture_output=True, text=True, timeout=120)
    assert PATIENT not in done.stderr
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


# -- what an event may hold -----------------------------------------------------------------------------------------------


def is_allowed(hint: Any) -> bool:
    """Keys, configured names, checked titles, numbers, closed choices, and classes: nothing that a sender could fill."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return all(is_allowed(part) for part in typing.get_args(hint))
    names = {values.Key, values.PeerName, values.PackageName, values.AETitle, values.SourceLine}
    if hint in {*names, int, float, bool, type, type(None)} or typing.get_origin(hint) is type:
        return True
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_no_field_of_an_event_can_hold_free_text(event: type) -> None:
    assert dataclasses.is_dataclass(event)
    hints = typing.get_type_hints(event)
    assert [field.name for field in dataclasses.fields(event) if not is_allowed(hints[field.name])] == []


@pytest.mark.parametrize("hint", [str, bytes, str | None, object, Any, tuple[str, ...], dict[str, int], list[int]])
def test_free_text_is_refused(hint: Any) -> None:
    assert not is_allowed(hint)


def test_the_walk_finds_the_events() -> None:
    assert {log.SeriesComplete, log.AssociationRefused, log.Broken} <= set(EVENTS)


# -- what is written ------------------------------------------------------------------------------------------------------


def test_an_event_is_a_line_of_json() -> None:
    (line,) = run_logging(
        "log.log(log.SeriesComplete(series=values.Key('0123456789abcdef'), instances=312, rule=values.CompletenessRule.QUIET_TIME))"
    )
    assert (line["event"], line["level"], line["series"], line["instances"]) == ("SeriesComplete", "info", "0123456789abcdef", 312)
    assert line["rule"] == values.CompletenessRule.QUIET_TIME.value


def test_the_level_warning_leaves_out_what_went_well() -> None:
    script = (
        "log.log(log.RoleStarted(role=log.RoleName.WORKER, pid=1))\n"
        "log.log(log.AssociationRefused(calling=None, called=values.AETitle('NODE'), reason=3))\n"
    )
    (line,) = run_logging(script, level="warning")
    assert (line["event"], line["calling"], line["called"]) == ("AssociationRefused", None, "NODE")


@pytest.mark.parametrize("library", ["pydicom", "pynetdicom", "pynetdicom.acse", "highdicom", "dbos", "sqlalchemy.engine"])
def test_a_library_gives_level_and_place_and_no_text(library: str) -> None:
    (line,) = run_logging(f"logging.getLogger({library!r}).warning('cannot read %s', {PATIENT!r})")
    assert (line["event"], line["library"], line["level"], line["place"]) == ("Foreign", library, "warning", "<string>:4")


@pytest.mark.parametrize("library", ["pydicom", "pynetdicom", "dbos"])
def test_an_exception_in_a_library_gives_class_and_frames_and_no_message(library: str) -> None:
    script = (
        f"import {library}\nlog.start_logging('info')\n"  # also where it was imported first and has a handler of its own
        f"try: raise ValueError({PATIENT!r})\n"
        f"except ValueError: logging.getLogger({library!r}).exception({PATIENT!r})"
    )
    (line,) = run_logging(script)
    assert (line["library"], line["error"], line["frames"]) == (library, "ValueError", ["<string>:6"])


def test_the_engine_keeps_our_handler_when_it_starts() -> None:
    """DBOS gives its logger a handler of its own, which would write messages, unless one is there."""
    script = (
        "import tempfile\nfrom pathlib import Path\nfrom dbos import DBOS\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    DBOS(config={'name': 'node', 'system_database_url': f\"sqlite:///{Path(folder, 'x.sqlite')}\", 'run_admin_server': False})\n"
        "    DBOS.launch()\n"
        f"    DBOS.logger.error({PATIENT!r})\n"
        "    DBOS.destroy()\n"
    )
    assert [line["library"] for line in run_logging(script) if line["level"] == "error"] == ["dbos"]


def test_a_warning_of_python_loses_its_text() -> None:
    (line,) = run_logging(f"warnings.warn({PATIENT!r})")
    assert line["library"] == "py.warnings"


def test_a_broken_role_is_logged_by_class_and_line() -> None:
    script = f"try:\n  raise KeyError({PATIENT!r})\nexcept KeyError as error:\n  log.log_broken(log.RoleName.WORKER, error)"
    (line,) = run_logging(script)
    assert (line["event"], line["error"], line["line"], line["level"]) == ("Broken", "KeyError", 5, "warning")


@pytest.mark.parametrize(
    "script",
    [
        f"raise ValueError({PATIENT!r})",
        f"def fail(): raise ValueError({PATIENT!r})\n"
        f"thread = threading.Thread(target=fail, name={PATIENT!r})\nthread.start()\nthread.join()",
        f"class Open:\n  def __del__(self): raise ValueError({PATIENT!r})\nOpen()",
    ],
    ids=["process", "thread", "destructor"],
)
def test_what_nobody_caught_is_logged_without_its_message(script: str) -> None:
    (line,) = run_logging(script)
    assert (line["library"], line["error"]) == ("uncaught", "ValueError")
    assert line["frames"]
