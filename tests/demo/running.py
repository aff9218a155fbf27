"""The two programs of the demo, each a process of its own, and what is asked of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove, Verification

from dicom_node.deliver.checkpoint import guard
from tests.peers.ports import find_free_port
from tests.places import LUNG_NODULE, REPOSITORY

from .study import DemoFailed, Instance, Study

ARCHIVE, NODE, MODALITY = "PACS", "NODE", "MODALITY"
START_LIMIT_S, STOP_LIMIT_S = 60.0, 20.0


@dataclass
class Programs:
    """The archive and the node, started by `start` and ended by `stop`. Everything they write lies in `folder`."""

    folder: Path
    node_port: int = 0
    archive_port: int = 0
    _running: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def archive_folder(self) -> Path:
        return self.folder / "archive"

    @property
    def spool(self) -> Path:
        return self.folder / "node" / "spool"

    @property
    def config(self) -> Path:
        return self.folder / "config" / "node.toml"

    def start(self) -> None:
        """Start both and come back when both answer."""
        self.node_port = find_free_port()
        peer = f"node={NODE}:127.0.0.1:{self.node_port}"
        arguments = ["-m", "tests.peers.archive", "--folder", str(self.archive_folder), "--aet", ARCHIVE, "--peer", peer]
        archive = self._run("archive.log", arguments, stdout=subprocess.PIPE)
        assert archive.stdout is not None
        line = archive.stdout.readline()
        if not line:
            raise DemoFailed(f"the archive did not start: {self.log_end('archive.log')}")
        self.archive_port = int(json.loads(line)["port"])
        self._write_config()
        node = self._run("node.log", ["-m", "dicom_node", "serve", "--config", str(self.config)])
        if not wait_for(lambda: node.poll() is not None or _answers(self.node_port), START_LIMIT_S) or node.poll() is not None:
            raise DemoFailed(f"the node did not start: {self.log_end('node.log')}")

    def stop(self) -> None:
        """End both, politely first; nothing of them stays."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_LIMIT_S)
            if process.stdout is not None:
                process.stdout.close()
        self._running.clear()

    def log_end(self, name: str) -> str:
        file = self.folder / name
        return file.read_text(encoding="utf-8", errors="replace")[-1500:] if file.exists() else "no log"

    def ask_status(self, studies: int) -> dict[str, Any]:
        """What `dicom-node status --json` says of so many studies."""
        arguments = [sys.executable, "-m", "dicom_node", "status", "--json", "--limit", str(studies), "--config", str(self.config)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
        if done.returncode != 0:
            raise DemoFailed(f"dicom-node status ended with {done.returncode}: {done.stderr[-1500:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _run(self, log: str, arguments: list[str], stdout: int | None = None) -> "subprocess.Popen[str]":
        with (self.folder / log).open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout if stdout is not None else errors,
                stderr=errors,
                text=True,
                cwd=REPOSITORY,
                start_new_session=True,  # so that it can be ended with its children
            )
        self._running.append(process)
        return process

    def _write_config(self) -> None:
        self.config.parent.mkdir(parents=True, exist_ok=True)
        model = os.path.relpath(LUNG_NODULE, self.config.parent)
        self.config.write_text(
            f'ae_title = "{NODE}"\ndata = "../node"\nmodels = ["{model}"]\npeers = "peers.toml"\n\n'
            f'[receiver]\nhost = "127.0.0.1"\nport = {self.node_port}\ndisk_high_water_percent = 100.0\n\n'
            "[assemble]\nquiet_s = 2.0\ncount_after_s = 0.5\n\n"
            "[deliver]\nfirst_retry_s = 1.0\nlongest_retry_s = 5.0\n",
            encoding="utf-8",
        )
        (self.config.parent / "peers.toml").write_text(
            f'[peers.pacs]\nae_title = "{ARCHIVE}"\nhost = "127.0.0.1"\nport = {self.archive_port}\nmay = ["send", "count", "receive"]\n',
            encoding="utf-8",
        )


def store(study: Study, port: int) -> None:
    """Send the study to the archive by C-STORE, as a modality does; every file's bytes go out as they are."""
    contexts: dict[tuple[str, str], list[Instance]] = {}
    for instance in study.instances:
        contexts.setdefault((instance.sop_class_uid, instance.transfer_syntax_uid), []).append(instance)
    groups = list(contexts.items())
    for start in range(0, len(groups), 128):  # no association has more contexts
        part = dict(groups[start : start + 128])
        wanted = [build_context(sop_class, syntax) for sop_class, syntax in part]
        association = guard(AE(ae_title=MODALITY).associate("127.0.0.1", port, contexts=wanted, ae_title=ARCHIVE))
        if not association.is_established:
            raise DemoFailed("the archive takes none of these files")
        for key in part:
            for instance in part[key]:
                _store_one(association, instance)
        association.release()


def _store_one(association: Any, instance: Instance) -> None:
    try:
        answer = association.send_c_store(instance.file)
    except ValueError as cause:
        raise DemoFailed(f"the archive does not take {instance.file.name} ({UID(instance.sop_class_uid).name})") from cause
    if "Status" not in answer or answer.Status != 0x0000:
        raise DemoFailed(f"the archive did not store {instance.file.name}")


def move(study: Study, port: int) -> set[str]:
    """Tell the archive by C-MOVE to send the study to the node; the SOP Instance UIDs that the node did not take."""
    refused: set[str] = set()
    for uid in study.study_instance_uids:
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", uid
        requestor = AE(ae_title=MODALITY)
        requestor.dimse_timeout = 120
        requestor.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        association = requestor.associate("127.0.0.1", port, ae_title=ARCHIVE)
        if not association.is_established:
            raise DemoFailed("the archive does not answer")
        answers = list(association.send_c_move(query, NODE, StudyRootQueryRetrieveInformationModelMove))
        association.release()
        status, identifier = answers[-1]
        if "Status" not in status or status.Status not in (0x0000, 0xB000):
            raise DemoFailed("the archive could not send the study to the node")
        failed = identifier.get("FailedSOPInstanceUIDList") if identifier is not None else None
        refused |= {failed} if isinstance(failed, str) else set(failed or ())
    return refused


def wait_for(condition: Callable[[], bool], limit_s: float, every_s: float = 0.2) -> bool:
    """Whether the condition came true within the limit."""
    pause, end = threading.Event(), monotonic() + limit_s
    while not condition():
        if monotonic() > end:
            return False
        pause.wait(every_s)
    return True


def _answers(port: int) -> bool:
    requestor = AE(ae_title=ARCHIVE)
    requestor.add_requested_context(Verification)
    requestor.connection_timeout = requestor.acse_timeout = requestor.dimse_timeout = 5
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:  # nobody listens yet
        return False
    association = requestor.associate("127.0.0.1", port, ae_title=NODE)
    if not association.is_established:
        return False
    association.send_c_echo()
    association.release()
    return True
