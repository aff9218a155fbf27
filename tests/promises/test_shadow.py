"""A package in the shadow runs beside one that is in service: what it finds is kept and shown, and reaches nobody."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.studies import make_study, write_package
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, wait_until_done


def write_shadow(folder: Path, name: str) -> Path:
    """The same package under another name, in the shadow."""
    file = write_package(folder) / "package.toml"
    content = file.read_text(encoding="utf-8")
    changed = content.replace('name = "example"', f'name = "{name}"\nshadow = true', 1)
    assert changed != content
    file.write_text(changed, encoding="utf-8")
    return folder


def test_what_a_package_in_the_shadow_finds_is_shown_and_sent_to_nobody(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Nor is anybody told of a study that it takes nothing of. Out of the shadow, a study that is judged anew has its result sent."""
    peer = orthanc_as_peer(orthanc) | {"says_not_analysed": True}
    shadow = write_shadow(tmp_path / "shadow", "example-2")
    running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright"), shadow])
    study = make_study("seen")
    uid = str(study[0].StudyInstanceUID)
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study)
    results = {result["package"]: result for result in wait_until_done(running, uid)["results"]}
    assert results["example-2"]["shadow"] is True
    assert results["example-2"]["count"] == results["example"]["count"] == 1
    assert results["example-2"]["deliveries"] == []
    assert orthanc.counts(uid)["SR"] == 1
    assert "in the shadow, sent to nobody" in running.run("status").stdout

    few = make_study("gap")
    del few[5]
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in few)
    said = wait_until_done(running, str(few[0].StudyInstanceUID))["results"]
    assert [(result["package"], result["kind"]) for result in said] == [("example", "not-analysed")]

    running.stop()
    file = shadow / "package.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("shadow = true\n", ""), encoding="utf-8")
    running.start()
    running.run("jobs", "rerun", uid)
    wait_until(lambda: orthanc.counts(uid)["SR"] == 2, limit_s=120, what=running._log_end)
