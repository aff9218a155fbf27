"""The shim itself: what a power cut leaves, what a disk that refuses does, what a wrong clock says."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.shim import FULL, READ_ONLY, Shim, compile_shim

# What the programs below have at hand.
_BEGIN = """
import os, sqlite3, time
def flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)
"""


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim(compile_shim(tmp_path), tmp_path / "root", tmp_path / "shim")


def run(shim: Shim, program: str) -> str:
    """What a program prints that runs on this disk, in its folder."""
    environment = {**os.environ, **shim.environment}
    command = [sys.executable, "-c", _BEGIN + program]
    done = subprocess.run(command, env=environment, cwd=shim.root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files(shim: Shim) -> dict[str, str]:
    found = (path for path in shim.root.rglob("*") if path.is_file())
    return {str(path.relative_to(shim.root)): path.read_text() for path in found}


def test_what_was_flushed_survives_a_power_cut(shim: Shim) -> None:
    run(
        shim,
        "write('kept', 'text'); flush('kept'); os.mkdir('sub'); write('sub/kept', 'other'); flush('sub/kept'); flush('sub'); flush('.')",
    )
    shim.cut_power()
    assert files(shim) == {"kept": "text", "sub/kept": "other"}


def test_a_flush_takes_no_lock_away(shim: Shim) -> None:
    """SQLite holds its file by locks that a close of any other descriptor would lift: another process would delete its log then."""
    program = """
import subprocess, sys
connection = sqlite3.connect("journal")
connection.execute("pragma journal_mode=wal")
connection.execute("create table t (n)")
connection.commit()
connection.execute("pragma wal_checkpoint(full)")
other = "import sqlite3; c = sqlite3.connect('journal'); c.execute('select * from t').fetchall(); c.close()"
subprocess.run([sys.executable, "-c", other], check=True)
print(os.path.exists("journal-wal"))
"""
    assert run(shim, program) == "True"


def test_a_name_goes_with_its_folder_and_a_content_with_its_file(shim: Shim) -> None:
    run(shim, "write('named', 'text'); write('grown', 'text'); flush('grown'); flush('.'); write('grown', ' and more', 'a')")
    run(shim, "write('nameless', 'text'); flush('nameless')")
    shim.cut_power()
    assert files(shim) == {"named": "", "grown": "text"}


def test_a_rename_that_was_not_flushed_has_not_happened(shim: Shim) -> None:
    run(shim, "write('old', 'first'); flush('old'); flush('.'); write('new', 'second'); flush('new'); os.rename('new', 'old')")
    shim.cut_power()
    assert files(shim) == {"old": "first"}
    run(shim, "write('new', 'second'); flush('new'); os.rename('new', 'old'); flush('.')")
    shim.cut_power()
    assert files(shim) == {"old": "second"}


def test_sqlite_keeps_what_it_committed_and_nothing_else(shim: Shim) -> None:
    connect = (
        "c = sqlite3.connect('journal', isolation_level=None); c.execute('pragma journal_mode=WAL'); c.execute('pragma synchronous=FULL');"
    )
    run(shim, connect + "c.execute('create table t(x)'); c.execute('insert into t values (1)'); flush('.'); os._exit(0)")
    shim.cut_power()
    run(shim, connect + "c.execute('insert into t values (2)'); c.execute('begin'); c.execute('insert into t values (3)'); os._exit(0)")
    shim.cut_power()
    assert run(shim, "print(sqlite3.connect('journal').execute('select x from t').fetchall())") == "[(1,), (2,)]"


@pytest.mark.parametrize(("fault", "said"), [(FULL, "ENOSPC"), (READ_ONLY, "EROFS")])
def test_from_the_nth_writing_call_on_the_disk_refuses(shim: Shim, fault: int, said: str) -> None:
    """Making a file and writing into it are a call each; nothing outside the folder is touched."""
    program = f"""
import errno
open('/dev/null', 'w').write('text')
for number in range(3):
    try:
        write(str(number), 'text')
        print('done')
    except OSError as error:
        print(errno.errorcode[error.errno])
write('{shim.folder}/outside', 'text')
"""
    shim.fail(fault, after=2)
    assert run(shim, program).split() == ["done", said, said]
    shim.heal()
    assert run(shim, program).split() == ["done"] * 3


def test_a_running_process_sees_its_clock_set(shim: Shim) -> None:
    program = "print(time.time(), flush=True); input(); print(time.time(), time.monotonic(), flush=True)"
    environment = {**os.environ, **shim.environment}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _BEGIN + program], env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = float(process.stdout.readline())
        shim.set_clock(-3600)
        process.stdin.write("\n")
        process.stdin.flush()
        after, monotonic = map(float, process.stdout.readline().split())
    assert after - before == pytest.approx(-3600, abs=20)
    assert monotonic == pytest.approx(time.monotonic(), abs=20)
