"""What the tests stand on: the node as a process and Orthanc do what tests rely on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.make import base_anatomy, make_series, write_dataset
from tests.peers.node import NodeProcess, answers_echo, find_group
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.tools import find_program
from tests.peers.waiting import wait_until


def test_the_node_starts_answers_and_stops(node: Callable[..., NodeProcess]) -> None:
    running = node(models=())
    assert answers_echo(running.port)
    assert not answers_echo(running.port, calling="STRANGER")
    assert running.status() == {"studies": [], "refused": [], "not_accepted": []}
    assert {line["role"] for line in running.events("RoleStarted")} >= {"receiver", "worker"}
    assert running.stop() == 0
    assert not answers_echo(running.port)


def test_a_kill_leaves_no_process_and_the_node_starts_again(node: Callable[..., NodeProcess]) -> None:
    running = node(models=())
    assert running.process is not None
    group = running.process.pid
    assert len(find_group(group)) >= 3  # the parent and its roles
    running.kill()
    assert find_group(group) == []
    assert not answers_echo(running.port)
    running.start()
    assert answers_echo(running.port)


def test_the_children_of_a_killed_parent_end_by_themselves(node: Callable[..., NodeProcess]) -> None:
    """The out-of-memory killer takes one process, not the group; what it leaves may not hold port and journal."""
    running = node(models=())
    assert running.process is not None
    group = running.process.pid
    os.kill(group, signal.SIGKILL)
    running.process.wait(10)
    running.process = None
    wait_until(lambda: find_group(group) == [], limit_s=20, what=lambda: f"left behind: {find_group(group)}")
    running.start()
    assert answers_echo(running.port)


def test_a_node_that_cannot_start_says_why(node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"the node ended with 2: .*models\.0"):
        node(models=(tmp_path / "no-such-model",))


def test_orthanc_tells_what_it_holds(orthanc: Orthanc) -> None:
    contents = [write_dataset(image) for image in make_series(base_anatomy, shape=(2, 16, 16))]
    assert orthanc.studies() == []
    for content in (*contents, contents[0]):
        orthanc.upload(content)
    (study,) = orthanc.studies()
    assert orthanc.counts(study) == {"CT": 2}
    assert sorted(orthanc.download(instance.sop_instance_uid) for instance in orthanc.instances(study)) == sorted(contents)
    assert orthanc.instances("1.2.3") == []


def test_one_orthanc_sends_to_another(orthanc: Orthanc) -> None:
    content = write_dataset(make_series(base_anatomy, shape=(1, 16, 16))[0])
    orthanc.upload(content)
    with start_orthanc(aet="OTHER") as other:
        orthanc.add_modality("other", other.aet, other.dicom_port)
        orthanc.send(orthanc.studies()[0], "other")
        assert other.counts(other.studies()[0]) == {"CT": 1}


def test_programs_of_our_own_packages_are_not_taken_for_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom brings a `storescu` too."""
    own, other = tmp_path / "own" / "bin", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir(parents=True)
        (folder / "storescu-of-a-test").touch(mode=0o755)
    monkeypatch.setattr("sys.prefix", str(own.parent))
    monkeypatch.setenv("PATH", f"{own}:{other}")
    assert find_program("storescu-of-a-test") == str(other / "storescu-of-a-test")


def test_a_condition_that_never_comes_is_told() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.1 s: nothing came"):
        wait_until(lambda: False, limit_s=0.1, what="nothing came")
