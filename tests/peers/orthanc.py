"""A real Orthanc, private to one test: on free loopback ports, gone without trace at the end."""

import json
import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.ports import find_free_port
from tests.peers.tools import need_program
from tests.peers.waiting import wait_until

_PLUGINS = Path("/usr/share/orthanc/plugins")
_START_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance that Orthanc holds."""

    sop_instance_uid: str
    series_instance_uid: str
    modality: str


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc: its names, and what it holds, asked by REST."""

    aet: str
    dicom_port: int
    http_port: int
    log: Path

    @property
    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def add_modality(self, name: str, aet: str, port: int, **settings: Any) -> None:
        """Make a DICOM peer known, as an administrator would: it may then be sent to, ask and fetch."""
        modality = {"AET": aet, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True, **settings}
        self.ask(f"/modalities/{name}", json.dumps(modality).encode(), method="PUT")

    def send(self, study_instance_uid: str, modality: str) -> None:
        """Let Orthanc send a study to a modality by C-STORE; comes back when it is done."""
        asked = {"Resources": [self._lookup(study_instance_uid)], "Synchronous": True}
        self.ask(f"/modalities/{modality}/store", json.dumps(asked).encode())

    def upload(self, content: bytes) -> None:
        """Put one Part 10 file in by REST."""
        self.ask("/instances", content)

    def studies(self) -> list[str]:
        """The Study Instance UIDs that it holds."""
        return [study["MainDicomTags"]["StudyInstanceUID"] for study in self.ask("/studies?expand")]

    def instances(self, study_instance_uid: str) -> list[Stored]:
        """The instances of a study, in no order; none where it does not know the study."""
        asked = {"Level": "Series", "Expand": True, "Query": {"StudyInstanceUID": study_instance_uid}}
        return [
            Stored(
                sop_instance_uid=instance["MainDicomTags"]["SOPInstanceUID"],
                series_instance_uid=series["MainDicomTags"]["SeriesInstanceUID"],
                modality=series["MainDicomTags"].get("Modality", ""),
            )
            for series in self.ask("/tools/find", json.dumps(asked).encode())
            for instance in self.ask(f"/series/{series['ID']}/instances")
        ]

    def counts(self, study_instance_uid: str) -> Counter[str]:
        """How many instances of each modality a study has: Counter({"CT": 120, "SEG": 1, "SR": 1})."""
        return Counter(instance.modality for instance in self.instances(study_instance_uid))

    def download(self, sop_instance_uid: str) -> bytes:
        """The instance as a Part 10 file, as it was stored."""
        return self.fetch(f"/instances/{self._lookup(sop_instance_uid)}/file")

    def _lookup(self, uid: str) -> str:
        return str(self.ask("/tools/lookup", uid.encode())[0]["ID"])

    def ask(self, path: str, content: bytes | None = None, *, method: str | None = None) -> Any:
        """A question to the REST interface, the answer as JSON (None where it is empty)."""
        answer = self.fetch(path, content, method=method)
        return json.loads(answer) if answer else None

    def fetch(self, path: str, content: bytes | None = None, *, method: str | None = None) -> bytes:
        """A question to the REST interface, the answer as bytes."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=content, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return bytes(reply.read())


@contextmanager
def start_orthanc(*, aet: str = "ORTHANC", options: Mapping[str, Any] | None = None) -> Iterator[Orthanc]:
    """A running Orthanc that answers; `options` are keys of Orthanc's configuration in place of ours.

    DICOMweb is on, every caller may do everything, what is stored is never overwritten.
    """
    program = need_program("Orthanc")
    with tempfile.TemporaryDirectory(prefix="orthanc-") as folder:
        orthanc, server = _start(program, Path(folder), aet, options or {})
        try:
            yield orthanc
        finally:
            _stop(server)


def _start(program: str, folder: Path, aet: str, options: Mapping[str, Any]) -> "tuple[Orthanc, subprocess.Popen[bytes]]":
    """A server that answers. Another process may take a port between our look and its start; then other ones are tried."""
    for _ in range(3):
        orthanc = Orthanc(aet=aet, dicom_port=find_free_port(), http_port=find_free_port(), log=folder / "log")
        configuration = folder / "orthanc.json"
        configuration.write_text(json.dumps({**_settings(orthanc, folder / "storage"), **options}))
        with orthanc.log.open("wb") as log:
            # Without TCP_NODELAY Debian's DCMTK, which Orthanc is built on, waits 40 ms for each message on loopback.
            environment = {**os.environ, "TCP_NODELAY": "1"}
            server = subprocess.Popen([program, str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            _wait_for_start(server, orthanc)
        except AssertionError:
            _stop(server)
            raise
        if server.poll() is None:
            return orthanc, server
    raise AssertionError(f"Orthanc does not start: {orthanc.log.read_text()[-2000:]}")


def _wait_for_start(server: "subprocess.Popen[bytes]", orthanc: Orthanc) -> None:
    wait_until(lambda: server.poll() is not None or _answers(orthanc), limit_s=_START_LIMIT_S, what=orthanc.log.read_text)


def _settings(orthanc: Orthanc, storage: Path) -> dict[str, Any]:
    return {
        "Name": orthanc.aet,
        "DicomAet": orthanc.aet,
        "DicomPort": orthanc.dicom_port,
        "HttpPort": orthanc.http_port,
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": False,
        "StorageCommitmentReportsSize": 1000,
        "Plugins": [str(plugin) for name in ("DicomWeb", "Gdcm") for plugin in _PLUGINS.glob(f"libOrthanc{name}.so")],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }


def _answers(orthanc: Orthanc) -> bool:
    try:
        return bool(orthanc.ask("/system"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    # Asked to stop, it closes everything in order for three seconds; what it stored is thrown away anyway.
    server.kill()
    server.wait(20)
