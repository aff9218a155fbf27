"""The image and the compose file. No engine runs where the tests run: they are linted, read, and Orthanc's half is started."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind

from dicom_node.config import load_config
from tests.make import base_anatomy, make_series, write_dataset
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.waiting import wait_until
from tests.places import REPOSITORY

DOCKER = REPOSITORY / "docker"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in joined.splitlines() if line.strip())]


def arguments(word: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == word]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def orthanc_settings() -> dict[str, Any]:
    """orthanc.json, whose comments JSON does not know."""
    text = (DOCKER / "orthanc.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


# -- the image -------------------------------------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    program = Path(sys.executable).parent / "hadolint"  # from the lock file, like ruff
    done = subprocess.run([program, "--failure-threshold", "style", DOCKER / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_image_is_small_pinned_and_made_from_the_lock_file() -> None:
    assert {base.split(" AS ")[0] for base in arguments("FROM")} == {"python:3.11-slim-bookworm"}
    assert len(arguments("FROM")) == 2  # what builds does not ship
    assert arguments("ADD") == []
    installs = [run for run in arguments("RUN") if "pip install" in run]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps ." in installs[1]


def test_the_image_runs_as_nobody_in_particular() -> None:
    (user,) = arguments("USER")
    number, group = user.split(":")
    assert number.isdigit()
    assert int(number) > 0
    assert group == number
    (data,) = arguments("VOLUME")
    assert any(f"install -d -o {number} -g {number} {data}" in run for run in arguments("RUN"))
    assert f"DICOM_NODE_DATA={data}" in arguments("ENV")[0]


def test_what_the_image_copies_exists_and_passes_the_ignore_file() -> None:
    allowed = [line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    copied = [source for rest in arguments("COPY") if "--from" not in rest for source in rest.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    for source in copied:
        assert (REPOSITORY / source).exists(), source


def test_signals_reach_the_node_and_its_commands_exist() -> None:
    """The exec form, and process 1 passes signals on."""
    entry, command = json.loads(arguments("ENTRYPOINT")[0]), json.loads(arguments("CMD")[0])
    assert entry == ["tini", "--", "dicom-node"]
    health = json.loads(arguments("HEALTHCHECK")[0].partition("CMD")[2])
    assert health[0] == "dicom-node"
    for name in (command[0], health[1]):
        done = subprocess.run([sys.executable, "-m", "dicom_node", name, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_no_secret_is_built_in() -> None:
    for path in (*DOCKER.iterdir(), *(REPOSITORY / "config").iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            # A reference to where it comes from is none.
            named = re.sub(r"\$\{\w+:\?[^}]*\}|POSTGRES_PASSWORD: $|secretKeyRef", "", line).removesuffix("POSTGRES_PASSWORD: ")
            if not named.lstrip().startswith(("#", "//", "--")):
                line = named
                assert not re.search(r"passw(or)?d|secret|token|RegisteredUsers", line, flags=re.IGNORECASE), f"{path.name}: {line}"


# -- the two together --------------------------------------------------------------------------------------------------------


def test_the_compose_file_holds_together(compose: Any) -> None:
    """As much of `docker compose config` as can be asked without it: files, volumes, ports."""
    assert set(compose) == {"name", "services", "volumes"}
    assert set(compose["services"]) == {"node", "orthanc"}
    build = compose["services"]["node"]["build"]
    assert (DOCKER / build["context"]).resolve() == REPOSITORY
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    for name, service in compose["services"].items():
        assert set(service) <= {
            *("build", "image", "restart", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period", "ports", "volumes")
        }
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            assert target.startswith("/"), name
            assert (DOCKER / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    image, tag = compose["services"]["orthanc"]["image"].rsplit(":", 1)
    assert re.fullmatch(r"\d+\.\d+\.\d+", tag), f"{image} is not pinned"


def test_node_and_orthanc_know_each_other_by_the_same_names(compose: Any) -> None:
    """Both sides list each other: a wrong title or host is the first error that everyone sees."""
    config, orthanc = load_config(REPOSITORY / "config" / "node.toml"), orthanc_settings()
    peer, modality = config.peers["orthanc"], orthanc["DicomModalities"]["dicom-node"]
    assert (peer.ae_title, peer.port) == (orthanc["DicomAet"], orthanc["DicomPort"])
    assert (modality["AET"], modality["Port"]) == (config.node.ae_title, config.node.receiver.port)
    assert {peer.host, modality["Host"]} == set(compose["services"])
    assert modality["AllowFind"] == ("count" in peer.may)
    assert modality["AllowStore"] == ("receive" in peer.may)
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert ports == [
        f"{modality['Port']}:{modality['Port']}",
        f"{peer.port}:{peer.port}",
        f"127.0.0.1:{orthanc['HttpPort']}:{orthanc['HttpPort']}",
    ]
    assert arguments("EXPOSE") == [str(modality["Port"])]


def test_the_mounted_files_are_those_that_orthanc_and_the_node_read(compose: Any) -> None:
    targets = {volume.split(":")[1] for volume in compose["services"]["orthanc"]["volumes"]}
    settings = orthanc_settings()
    assert targets == {settings["StorageDirectory"], "/etc/orthanc/orthanc.json", *settings["LuaScripts"]}
    work = arguments("WORKDIR")[-1]
    assert f"{work}/config" in {volume.split(":")[1] for volume in compose["services"]["node"]["volumes"]}
    assert "config/node.toml" in shlex.split(arguments("CMD")[0].strip("[]").replace(",", " "))
    for model in load_config(REPOSITORY / "config" / "node.toml").node.models:
        assert Path("config", model).parts[:3] == ("config", "..", "models")


def test_orthanc_takes_its_settings_and_forwards_images_and_no_results() -> None:
    """The real Orthanc with the real files on other ports: a CT series goes to the node's place, a result stays."""
    images = [write_dataset(image) for image in make_series(base_anatomy, shape=(3, 16, 16), name="images", study="study")]
    result = [
        write_dataset(image) for image in make_series(base_anatomy, shape=(1, 16, 16), name="result", study="study", change=mark_as_result)
    ]
    with node_place() as (port, received), start_orthanc(options=adapted_settings(port)) as orthanc:
        for content in (*result, *images):
            orthanc.upload(content)
        wait_until(lambda: received.total() >= len(images), limit_s=30, what=orthanc.log.read_text)
        # the result was stored first: once both series are stable, a job for it would be there
        wait_until(lambda: count_stable_series(orthanc) == 2, limit_s=30, what=orthanc.log.read_text)
        assert len(orthanc.ask("/jobs")) == 1
        assert received == {"ORTHANC": 3}
        assert ask_series_count(orthanc, calling="DICOM-NODE") == 3
        assert ask_series_count(orthanc, calling="STRANGER") is None


def ask_series_count(orthanc: Orthanc, calling: str) -> int | None:
    """What C-FIND says of the CT series' number of instances; None where the caller may not ask."""
    query = Dataset()
    query.QueryRetrieveLevel, query.Modality, query.StudyInstanceUID, query.SeriesInstanceUID = "SERIES", "CT", orthanc.studies()[0], ""
    query.NumberOfSeriesRelatedInstances = None
    requestor = AE(ae_title=calling)
    requestor.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = requestor.associate("127.0.0.1", orthanc.dicom_port, ae_title=orthanc.aet)
    if not association.is_established:
        return None
    answers = [answer for _, answer in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind) if answer is not None]
    association.release()
    return int(answers[0].NumberOfSeriesRelatedInstances) if answers else None


def mark_as_result(dataset: Dataset, _index: int) -> None:
    dataset.Modality = "SR"


def count_stable_series(orthanc: Orthanc) -> int:
    return sum(change["ChangeType"] == "StableSeries" for change in orthanc.ask("/changes?limit=1000")["Changes"])


@contextmanager
def node_place() -> Iterator[tuple[int, Counter[str]]]:
    """Somebody with the node's name who takes CT images: its port, and how many came from which AE title."""
    received: Counter[str] = Counter()

    def take(event: evt.Event) -> int:
        received[event.assoc.requestor.ae_title] += 1
        return 0x0000

    node = AE(ae_title=load_config(REPOSITORY / "config" / "node.toml").node.ae_title)
    node.require_called_aet = True
    node.add_supported_context(CTImageStorage)
    server = node.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    try:
        yield server.socket.getsockname()[1], received
    finally:
        server.shutdown()


def adapted_settings(node_port: int) -> dict[str, Any]:
    """orthanc.json without what belongs to the container: ports, folders; and quicker."""
    settings = orthanc_settings()
    settings["DicomModalities"]["dicom-node"] |= {"Host": "127.0.0.1", "Port": node_port}
    places = {"DicomPort", "HttpPort", "StorageDirectory", "IndexDirectory", "Plugins", "RemoteAccessAllowed"}
    kept = {key: value for key, value in settings.items() if key not in places}
    kept |= dict.fromkeys(
        ("DicomAlwaysAllowFind", "DicomAlwaysAllowGet", "DicomAlwaysAllowMove"), False
    )  # Orthanc's defaults, not the tests'
    return {**kept, "LuaScripts": [str(DOCKER / "forward.lua")], "StableAge": 1}


# -- several machines --------------------------------------------------------------------------------------------------------


def several() -> Any:
    return yaml.safe_load((DOCKER / "compose.several.yaml").read_text(encoding="utf-8"))


def manifests() -> list[Any]:
    return list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text(encoding="utf-8")))


def pods() -> dict[str, Any]:
    """The templates of what runs, by name."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in manifests() if "template" in one["spec"]}


def test_every_command_of_the_several_machines_exists() -> None:
    commands = [service["command"] for service in several()["services"].values() if "command" in service]
    commands += [container["args"] for pod in pods().values() for container in pod["spec"]["containers"]]
    assert len(commands) == 8
    for command in commands:
        known = subprocess.run([sys.executable, "-m", "dicom_node", command[0], "--help"], capture_output=True, text=True, timeout=60)
        assert known.returncode == 0, known.stderr
        assert all(option in known.stdout for option in command if option.startswith("--")), command


def test_the_several_machines_share_a_database_a_folder_and_nothing_else() -> None:
    services = several()["services"]
    nodes = [service for service in services.values() if service.get("image") == "dicom-node"]
    assert len(nodes) == 5
    assert all(set(service["environment"]) == {"DICOM_NODE_DATABASE"} for service in nodes)
    assert all("node-data:/data" in service["volumes"] for service in nodes)
    assert services["database"]["image"].count(":") == services["balancer"]["image"].count(":") == 1
    (mounted,) = services["balancer"]["volumes"]
    balancer = (DOCKER / mounted.split(":")[0]).read_text(encoding="utf-8")
    behind = re.findall(r"server (\S+) (\S+):(\d+)", balancer)
    assert [(name, port) for name, _, port in behind] == [("receiver-1", "11112"), ("receiver-2", "11112")]
    assert all(host in services for _, host, _ in behind)


def test_the_manifests_hold_together() -> None:
    kinds = Counter(one["kind"] for one in manifests())
    assert kinds == {"PersistentVolumeClaim": 1, "Job": 1, "Deployment": 2, "Service": 1, "PodDisruptionBudget": 1}
    labels = [pod["metadata"]["labels"] for pod in pods().values()]
    for one in manifests():
        selector = one["spec"].get("selector")
        if selector is not None:
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= having.items() for having in labels), one["metadata"]["name"]
    for name, pod in pods().items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert [variable["name"] for variable in container["env"]] == ["DICOM_NODE_DATABASE"]
            assert re.fullmatch(r"dicom-node:\d+\.\d+\.\d+", container["image"])
