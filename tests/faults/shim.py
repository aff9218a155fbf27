"""The disk and the clock of a node under test: `shim.c`, loaded into its processes, and what a power cut leaves.

What a power cut is here: every process ends at once, and the folder is built anew from what was flushed. A file has the content
that it had when it was last flushed (fsync, fdatasync), and is empty where it never was; a folder has the names that it had when it
was last flushed. So an order of writes is tested that no file system of today is as hard on: ext4 flushes a new file's name with it.
"""

import errno
import mmap
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers.tools import need_program

SOURCE = Path(__file__).parent / "shim.c"
_CONTROL = struct.Struct("<iiq")  # what is wrong, how many writing calls still succeed, how wrong the clock is

FULL, READ_ONLY, BROKEN = errno.ENOSPC, errno.EROFS, errno.EIO


def compile_shim(folder: Path) -> Path:
    """The shared library, made anew."""
    library = folder / "shim.so"
    subprocess.run([need_program("cc"), "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True, timeout=60)
    return library


@dataclass
class Shim:
    """One folder's disk, and the clock of the processes that use it."""

    library: Path
    root: Path
    folder: Path

    def __post_init__(self) -> None:
        self.shadow = self.folder / "shadow"
        self.shadow.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(parents=True, exist_ok=True)
        control = self.folder / "control"
        control.write_bytes(_CONTROL.pack(0, 0, 0))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "SHIM_ROOT": str(self.root),
            "SHIM_SHADOW": str(self.shadow),
            "SHIM_CONTROL": str(self.folder / "control"),
        }

    def fail(self, fault: int, after: int = 0) -> None:
        """From the writing call number `after` on, all fail with an error number."""
        self._set(fault=fault, left=after)

    def heal(self) -> None:
        self._set(fault=0, left=0)

    def set_clock(self, seconds: int) -> None:
        """Let the clock be wrong by so many seconds from now on."""
        self._set(clock_s=seconds)

    def cut_power(self) -> None:
        """Build the folder anew from what was flushed; every process that used it has ended."""
        rebuilt = self.root.with_name(self.root.name + ".rebuilt")
        shutil.rmtree(rebuilt, ignore_errors=True)
        _restore(self.shadow, _names_below(self.root)[self.root], rebuilt)
        lost = self.root.with_name(self.root.name + ".lost")
        shutil.rmtree(lost, ignore_errors=True)
        self.root.rename(lost)
        rebuilt.rename(self.root)
        shutil.rmtree(lost)
        self._begin_anew()

    def _set(self, *, fault: int | None = None, left: int | None = None, clock_s: int | None = None) -> None:
        now = _CONTROL.unpack(self._control[:])
        wanted = (fault, left, clock_s)
        self._control[:] = _CONTROL.pack(*(old if new is None else new for old, new in zip(now, wanted, strict=True)))

    def _begin_anew(self) -> None:
        """What lies on the disk after the cut has been flushed."""
        shutil.rmtree(self.shadow)
        self.shadow.mkdir()
        names = _names_below(self.root)
        for path, name in names.items():
            if path.is_dir():
                entries = (entry for entry in path.iterdir())
                lines = [f"{'d' if entry.is_dir() else 'f'} {names[entry]} {entry.name}\n" for entry in entries]
                (self.shadow / name).write_text("".join(lines))
            elif path.suffix in (".dcm", ".value"):
                os.link(path, self.shadow / name)  # never written to again; a flush replaces the link
            else:
                shutil.copyfile(path, self.shadow / name)


def _restore(shadow: Path, name: str, target: Path) -> None:
    target.mkdir()
    listing = shadow / name
    if not listing.exists():
        return
    for line in listing.read_text().splitlines():
        kind, inode, entry = line.split(" ", 2)
        if kind == "d":
            _restore(shadow, inode, target / entry)
        elif (shadow / inode).exists():
            shutil.copyfile(shadow / inode, target / entry)
        else:
            (target / entry).touch()  # its name was flushed, its content never


def _names_below(root: Path) -> dict[Path, str]:
    """Inode and time of birth of a folder and everything in it, as the shim names them; Python cannot ask for the latter."""
    listed = subprocess.run(["find", root, "-print0"], capture_output=True, check=True).stdout
    said = subprocess.run(["xargs", "-0", "stat", "--format=%i-%.9W %n"], input=listed, capture_output=True, check=True).stdout.decode()
    return {Path(path): name for name, path in (line.split(" ", 1) for line in said.splitlines())}
