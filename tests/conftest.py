"""What users have, for tests: the node as a process, Orthanc, DCMTK, real images. Each on free loopback ports, gone at the end."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.archive import Archive
from tests.peers.bucket import ImitatedS3, start_imitated_s3
from tests.peers.node import NodeProcess, write_node
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.ports import find_free_port
from tests.peers.postgres import Postgres, start_postgres
from tests.peers.tools import need_program
from tests.place.opening import opening
from tests.places import SHARED

__all__ = ["opening"]  # a fixture

# Debian's DCMTK waits 40 ms for each message on loopback without it.
os.environ.setdefault("TCP_NODELAY", "1")


# Folders whose tests start whole nodes: few tests in a file, each of which takes long, and waits for most of that time.
_WHOLE = {"benchmarks", "demo", "faults", "peers", "profiles", "promises", "scale", "soak"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start whole nodes among the others, the first one in front: of two processes that share a machine (make test)
    one mostly computes while the other one waits, and no long file begins when nothing else is left."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    whole = [file for file in files if file.parent.name in _WHOLE]
    others = [file for file in files if file.parent.name not in _WHOLE]
    places = {file: (number + 0.5) / len(others) for number, file in enumerate(others)}
    places |= {file: number / len(whole) for number, file in enumerate(whole)}
    items[:] = [item for file in sorted(files, key=places.__getitem__) for item in files[file]]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Archive]:
    """An empty archive that does what it is told."""
    with Archive(tmp_path / "archive") as running:
        yield running


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    """An empty Orthanc with DICOMweb."""
    with start_orthanc() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; each test makes a database of its own: `postgres.create()` gives its URL."""
    with start_postgres() as running:
        yield running


@pytest.fixture(scope="session")
def imitated_s3() -> Iterator[ImitatedS3]:
    """An imitation of S3; each test makes a bucket of its own: `imitated_s3.create()` gives its address."""
    with start_imitated_s3() as running:
        yield running


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, which lie beside the repository where it is developed."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no ../shared/data with real images beside the repository")
    return SHARED / "data"


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    return find_free_port()


@pytest.fixture(scope="session")
def dcmtk() -> Callable[[str], str]:
    """The path of one of DCMTK's programs: `dcmtk("storescu")`."""
    return need_program


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Makes a started node: `node(peers={"pacs": {...}})`; further arguments as `write_node` takes. It is killed at the end."""
    made: list[NodeProcess] = []
    with ExitStack() as stack:

        def start(**arguments: object) -> NodeProcess:
            process = write_node(tmp_path / f"node-{len(made) + 1}", **arguments)  # type: ignore[arg-type]
            made.append(process)
            stack.callback(lambda: process.kill() if process.process is not None else None)
            process.start()
            return process

        yield start
