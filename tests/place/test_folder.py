"""The order in which a file becomes durable, as the operating system sees it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.place import folder

WRITE = """
import sys
from pathlib import Path
from dicom_node.place import folder
part, file = folder.create_part(Path(sys.argv[1]) / "ab", "name")
file.write(b"content")
folder.keep(part, file, Path(sys.argv[1]) / "ab" / "name.dcm")
"""


def test_bytes_then_name_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls are watched, not replaced: each is made for real."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watch_fsync(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        calls.append(f"fsync {'folder' if target.is_dir() else target.suffix} {target.name if target.is_dir() else target.stat().st_size}")
        fsync(descriptor)

    def watch_rename(source: Path, target: Path) -> None:
        calls.append(f"rename {Path(source).suffix} {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "rename", watch_rename)
    part, file = folder.create_part(tmp_path / "ab", "name")
    file.write(b"content")
    folder.keep(part, file, tmp_path / "ab" / "name.dcm")
    # The folders' names first, also of one that was there: who made it may have died before they were durable.
    assert calls[:-3] == [f"fsync folder {tmp_path.parent.name}", f"fsync folder {tmp_path.name}"]
    assert calls[-3:] == ["fsync .part 7", "rename .part name.dcm", "fsync folder ab"]


def test_the_kernel_sees_the_same_order(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    subprocess.run(
        [strace, "-f", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(trace), sys.executable, "-c", WRITE, str(tmp_path)],
        check=True,
        timeout=60,
    )
    calls = [line.split("(")[0].split()[-1] for line in trace.read_text().splitlines() if "(" in line and "exited" not in line]
    assert calls[-3:] == ["fsync", "rename", "fsync"]


def test_a_part_has_a_name_of_its_own(tmp_path: Path) -> None:
    first, second = folder.create_part(tmp_path, "name"), folder.create_part(tmp_path, "name")
    assert first[0] != second[0]
    for part, file in (first, second):
        folder.drop(part, file)
    assert list(tmp_path.iterdir()) == []


LEFTOVERS = """
import sys
from pathlib import Path
from dicom_node.place import folder
part, file = folder.create_part(Path(sys.argv[1]) / "ab", "name")
file.close()
print(folder.remove_leftovers(Path(sys.argv[1])))
"""


def trace(script: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """What a script printed, and its system calls as the kernel saw them; `options` say which, and which of them fail."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = folder / "trace"
    command = [strace, "-f", *options, "-o", str(log), sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip(), log.read_text().splitlines()


def test_a_folder_that_knows_no_locks_takes_files_and_keeps_fresh_parts(tmp_path: Path) -> None:
    """A network file system without a lock service: who writes cannot be asked, so that only time tells."""
    trace(WRITE, tmp_path, "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK")
    assert (tmp_path / "ab" / "name.dcm").read_bytes() == b"content"
    said, calls = trace(LEFTOVERS, tmp_path, "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK")
    assert said == "0"
    assert sum("INJECTED" in call for call in calls) == 3  # the part, who looks whether somebody has it, and the server's time
    assert trace(LEFTOVERS, tmp_path, "-e", "trace=flock")[0] == "2"


def test_a_part_is_looked_at_as_nfs_wants_it(tmp_path: Path) -> None:
    """Its client gives a lock of one's own for a file that is open for writing alone (nfs(5), flock(2))."""
    _, calls = trace(LEFTOVERS, tmp_path, "-e", "trace=openat")
    opened = [call for call in calls if ".part" in call]
    assert len(opened) == 2
    assert all("O_RDWR" in call for call in opened)
