"""C-STORE intake of the node beside DCMTK's storescp and Orthanc as shipped: the same sender, the same disk, in turns, in one run.

In each round every receiver starts anew in an empty folder. Peers get TCP_NODELAY=1, without which Debian's wait 44 ms for each image on
loopback. What they promise differs: the node has file and receipt on the disk before it answers, Orthanc the file, storescp nothing. On a
file system in memory (`--folder /dev/shm`) promises cost nothing, and what is compared is the work.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers.node import MODALITY_TITLE, answers_echo, write_node
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until
from tests.places import REPOSITORY

from .calm import cpu_s, wait_until_calm
from .figures import Figures

NODE, SLOW, STORESCP, ORTHANC = "node", "node, slow way", "storescp", "Orthanc"
ORTHANC_16 = "Orthanc, 16 threads"  # as shipped it has four, and stands still where more associations send at once
_MANY = 4  # associations, beyond which that is so
_WARM_UP = 8  # images, before anything is counted


@dataclass
class Receiver:
    """A running receiver: where it listens and as whom, its process group, and where its files lie."""

    port: int
    called: str
    group: int
    files: Path


@dataclass
class Intake:
    """What was measured: images per second and CPU seconds for a thousand images, by receiver and number of associations."""

    names: tuple[str, ...] = ()
    rate: Figures = field(default_factory=Figures)
    cpu: Figures = field(default_factory=Figures)
    wrong: list[str] = field(default_factory=list)


def measure(
    folder: Path, *, rounds: int, associations: Sequence[int], images: int, pixels: int = 512, names: Sequence[str] | None = None
) -> Intake:
    """In each round every receiver has its turn with every number of associations; who comes first changes from round to round.

    Without `names` these are the node, storescp and Orthanc, and where more associations send than that has threads, one with more.
    """
    names = names or (NODE, STORESCP, ORTHANC, *([ORTHANC_16] if max(associations) > _MANY else []))
    intake = Intake(names=tuple(names))
    for turn in range(rounds):
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            place = folder / "intake"
            shutil.rmtree(place, ignore_errors=True)
            os.sync()  # what one leaves to the disk is not the next one's
            with _start(name, place) as receiver:
                wait_until_calm([receiver.group])
                _send(receiver, 1, _WARM_UP, pixels, series=1)
                known = set[str]()
                for number, count in enumerate(associations):
                    before = cpu_s([receiver.group])
                    sent = _send(receiver, count, images, pixels, series=2 + number)
                    intake.cpu.add((name, count), 1000 * (cpu_s([receiver.group]) - before) / images)
                    intake.rate.add((name, count), sent["images_per_s"])
                    known |= set(sent["digests"])
                    intake.wrong += _compare(name, receiver.files, images * (number + 1) + _WARM_UP, pixels, sent["failed"], known)
    return intake


def _send(receiver: Receiver, associations: int, images: int, pixels: int, series: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.sender", str(receiver.port), "--called", receiver.called]
    command += [f"--{name}={value}" for name, value in (("associations", associations), ("images", images), ("pixels", pixels))]
    done = subprocess.run([*command, f"--series={series}"], capture_output=True, text=True, timeout=300, cwd=REPOSITORY, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _compare(name: str, files: Path, count: int, pixels: int, failed: Sequence[int], known: Set[str]) -> list[str]:
    """What is wrong with what a receiver holds: refused, missing, or pixels that nobody sent (all distinct images are known by digest)."""
    wrong = [f"{name}: refused {failed}"] if failed else []
    size = 2 * pixels * pixels
    held = [path for path in files.rglob("*") if path.is_file() and size <= path.stat().st_size < size + 20_000]
    if len(held) != count:
        wrong.append(f"{name}: {len(held)} of {count} images are there")
    foreign = sum(hashlib.sha256(path.read_bytes()[-size:]).hexdigest() not in known for path in held[-100:])
    return [*wrong, f"{name}: {foreign} images hold other pixels than were sent"] if foreign else wrong


@contextmanager
def _start(name: str, folder: Path) -> Iterator[Receiver]:
    if name in (NODE, SLOW):
        node = write_node(folder, models=(), settings={"receiver": {"fast": name == NODE}, "assemble": {"quiet_s": 600.0}})
        node.start()
        try:
            assert node.process is not None
            yield Receiver(node.port, "NODE", node.process.pid, node.data / "spool")
        finally:
            node.kill()
        return
    folder.mkdir(parents=True)
    port, files = find_free_port(), folder / "files"
    files.mkdir()
    if name == STORESCP:
        command = ["storescp", "--fork", "-pdu", "131072", "-aet", "PEER", "-od", str(files), str(port)]
    else:
        settings = {
            "DicomAet": "PEER",
            "DicomPort": port,
            "HttpServerEnabled": False,
            "StorageDirectory": str(files),
            "IndexDirectory": str(folder),
        }
        more = {"DicomThreadsCount": 16} if name == ORTHANC_16 else {}
        modality = {"modality": {"AET": MODALITY_TITLE, "Host": "127.0.0.1", "Port": 104}}
        (folder / "orthanc.json").write_text(json.dumps({**settings, "DicomModalities": modality, "Plugins": [], **more}), encoding="utf-8")
        command = ["Orthanc", str(folder / "orthanc.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "TCP_NODELAY": "1"}
        )
    try:
        wait_until(lambda: answers_echo(port, called="PEER"), limit_s=30, what=lambda: (folder / "log").read_text(encoding="utf-8"))
        yield Receiver(port, "PEER", process.pid, files)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
