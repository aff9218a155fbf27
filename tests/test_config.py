"""Configuration: the examples are right and complete, and a wrong file is told everything that is wrong with it at once."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from dicom_node.config import PROFILES, Config, NodeFile, Peer, PeersFile, PeerTLS, ReceiverTLS, load_config
from dicom_node.document import parse_file
from dicom_node.errors import Problem, SettingsError
from dicom_node.values import Proof
from tests.peers.certificates import Authority
from tests.peers.node import write_node
from tests.places import REPOSITORY

EXAMPLES = REPOSITORY / "config"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DICOM_NODE_DATA", raising=False)
    monkeypatch.delenv("DICOM_NODE_DATABASE", raising=False)


def problems_of(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as raised:
        load_config(file)
    return raised.value.problems


def write_files(folder: Path, node: str, peers: str) -> Path:
    (folder / "package").mkdir()
    (folder / "package" / "package.toml").touch()
    (folder / "node.toml").write_text(node, encoding="utf-8")
    (folder / "peers.toml").write_text(peers, encoding="utf-8")
    return folder / "node.toml"


GOOD_NODE = 'ae_title = "NODE"\ndata = "data"\nmodels = ["package"]\n'
GOOD_PEERS = '[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\nmay = ["send"]\n'


# -- the examples -------------------------------------------------------------------------------------------------------


def test_the_examples_make_a_configuration() -> None:
    config = load_config(EXAMPLES / "node.toml")
    assert isinstance(config, Config)
    assert config.models == (REPOSITORY / "models" / "ct-lung-nodule",)
    assert config.data == REPOSITORY / "data"
    assert set(config.peers) == {"orthanc"}


def test_the_example_for_a_plain_pacs_is_right() -> None:
    peers = parse_file(EXAMPLES / "peers-plain-pacs.toml", PeersFile).peers
    assert {name for name, peer in peers.items() if "receive" in peer.may} == {"pacs", "teaching"}
    assert peers["teaching"].results_for == ("scanner",)
    assert (peers["pacs"].wanted, peers["pacs"].says_not_analysed) == (PROFILES["plain-pacs"], True)
    assert (peers["teaching"].wanted, peers["teaching"].language) == (PROFILES["default"], "fr")


def keys_of(model: type[BaseModel], section: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a file's model that holds a plain value, with its section."""
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from keys_of(type(field.default), name)
        elif name == "tls":  # a section that is not there unless somebody writes it
            yield from keys_of(PeerTLS if model is Peer else ReceiverTLS, f"{section}.tls")
        elif model is PeersFile:
            yield from keys_of(Peer, "peers.orthanc")
        else:
            yield section, name


def shown_keys(file: Path) -> Iterator[tuple[str, str, bool]]:
    """Every key in an example file, commented out or not: its section, its name, and whether a comment stands before it."""
    section, commented = "", False
    for line in file.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(?:# )?\[(\w+(?:\.\w+)*)\]$", line):
            section, commented = match[1], False
        elif match := re.match(r"(?:# )?(\w+) = ", line):
            yield section, match[1], commented  # the comment of one key may speak of the next one too
        else:
            commented = line.startswith("#") or (commented and line != "")


@pytest.mark.parametrize(("file", "model"), [("node.toml", NodeFile), ("peers.toml", PeersFile)])
def test_every_key_stands_once_in_the_example_under_a_comment(file: str, model: type[BaseModel]) -> None:
    shown = list(shown_keys(EXAMPLES / file))
    assert sorted((section, key) for section, key, _ in shown) == sorted(keys_of(model))
    assert [key for _, key, commented in shown if not commented] == []


def test_what_the_example_shows_commented_out_is_the_default() -> None:
    """Uncommenting every line changes nothing, but for sections that are whole in comments; the default of `database` depends on `data`."""
    text = re.sub(r"(?ms)^# \[\w+\.tls\]$.*?(?=^\[)", "", (EXAMPLES / "node.toml").read_text(encoding="utf-8"))
    shown = "\n".join(re.sub(r"^# (\w+ = )", r"\1", line) for line in text.splitlines() if not line.startswith("# database = "))
    assert NodeFile.model_validate(tomllib.loads(shown)) == parse_file(EXAMPLES / "node.toml", NodeFile)


# -- what is wrong, all at once -----------------------------------------------------------------------------------------


def test_every_problem_of_both_files_is_told_at_once(tmp_path: Path) -> None:
    file = write_files(
        tmp_path,
        'ae_title = "A TITLE THAT IS TOO LONG"\ndata = "data"\nmodels = ["package"]\n[receiver]\nport = 70000\nasociations = 5\n',
        '[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = "x"\nmay = ["sent"]\n',
    )
    found = {(problem.file.name, problem.key): problem for problem in problems_of(file)}
    assert set(found) == {
        ("node.toml", "ae_title"),
        ("node.toml", "receiver.port"),
        ("node.toml", "receiver.asociations"),
        ("peers.toml", "peers.pacs.port"),
        ("peers.toml", "peers.pacs.may.0"),
    }
    assert found["node.toml", "ae_title"].value == "A TITLE THAT IS TOO LONG"
    assert "1 to 16 printable ASCII" in found["node.toml", "ae_title"].allowed
    assert (found["node.toml", "receiver.port"].value, "65535" in found["node.toml", "receiver.port"].allowed) == ("70000", True)
    assert "did you mean associations?" in found["node.toml", "receiver.asociations"].allowed
    assert "'send', 'count', 'receive' or 'priors'" in found["peers.toml", "peers.pacs.may.0"].allowed


def test_a_key_in_the_wrong_section_is_not_told_to_be_meant(tmp_path: Path) -> None:
    """As where a line was put below the heading of a section: its own name is no hint."""
    peers = '[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\nmay = ["send"]\n'
    file = write_files(tmp_path, 'ae_title = "NODE"\ndata = "data"\nmodels = []\n[receiver]\nquiet_s = 5\n', peers)
    (problem,) = problems_of(file)
    assert (problem.key, problem.allowed) == ("receiver.quiet_s", "no such key; there is one in another section")


@pytest.mark.parametrize(
    "host",
    ["", " ", "pacs..local", ".", "pacs." + "x" * 64, "pacs local", "pacs\\u0000", "10.0.0.300", "a.b" * 90, "http://pacs", "pacs:104"],
)
def test_a_host_is_an_address_or_a_name_that_can_be_looked_up(tmp_path: Path, host: str) -> None:
    peers = GOOD_PEERS.replace("127.0.0.1", host) + f'addresses = ["any", "10.0.0.0/8", "{host}"]\n'
    found = problems_of(write_files(tmp_path, GOOD_NODE, peers))
    assert [problem.key for problem in found] == ["peers.pacs.host", "peers.pacs.addresses.2"]
    assert all("an IP address" in problem.allowed and "host name" in problem.allowed for problem in found)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "fe80::1%eth0", "pacs", "pacs.hospital.example.", "orthanc_1", "hôpital.example", "3d-pacs"]
)
def test_hosts_as_hospitals_have_them_are_taken(tmp_path: Path, host: str) -> None:
    peers = GOOD_PEERS.replace("127.0.0.1", host) + f'addresses = ["any", "10.0.0.0/8", "10.1.2.3/8", "{host}"]\n'
    assert load_config(write_files(tmp_path, GOOD_NODE, peers)).peers["pacs"].host == host


@pytest.mark.parametrize("number", ["inf", "nan", "-inf"])
def test_a_time_that_never_ends_is_a_problem(tmp_path: Path, number: str) -> None:
    node = GOOD_NODE + f"[assemble]\nquiet_s = {number}\n[receiver]\nnetwork_timeout_s = {number}\n"
    found = problems_of(write_files(tmp_path, node, GOOD_PEERS))
    assert [(problem.key, problem.value) for problem in found] == [("receiver.network_timeout_s", number), ("assemble.quiet_s", number)]


def test_a_key_like_no_other_is_refused_without_a_guess(tmp_path: Path) -> None:
    (problem,) = problems_of(write_files(tmp_path, "zzzz = 1\n" + GOOD_NODE, GOOD_PEERS))
    assert (problem.key, problem.allowed) == ("zzzz", "no such key")


def test_a_missing_key_is_told_without_a_value(tmp_path: Path) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE.replace('ae_title = "NODE"\n', ""), GOOD_PEERS))
    assert (problem.key, problem.value, problem.allowed) == ("ae_title", "", "Field required")


@pytest.mark.parametrize("broken", ["ae_title = ", "\udcff"])
def test_a_file_that_is_no_toml_is_told_with_its_place(tmp_path: Path, broken: str) -> None:
    file = write_files(tmp_path, GOOD_NODE, GOOD_PEERS)
    file.write_bytes(broken.encode("utf-8", errors="surrogateescape"))
    (problem,) = problems_of(file)
    assert problem.file == file
    assert problem.allowed.startswith("valid TOML: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    problems = problems_of(tmp_path / "node.toml")
    assert [(problem.file.name, problem.key) for problem in problems] == [("node.toml", ""), ("peers.toml", "")]
    assert all("No such file" in problem.allowed for problem in problems)


def test_two_peers_of_one_title_cannot_be_told_apart(tmp_path: Path) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE, GOOD_PEERS + GOOD_PEERS.replace("peers.pacs", "peers.other")))
    assert (problem.key, problem.value) == ("peers.other.ae_title", "PACS")


def test_results_for_names_peers_that_are_there(tmp_path: Path) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE, GOOD_PEERS + 'results_for = ["pacs", "scaner"]\n'))
    assert (problem.key, problem.value) == ("peers.pacs.results_for", "scaner")


@pytest.mark.parametrize("proof", ["", 'proof = "find"\n', 'proof = "none"\n'])
def test_further_titles_are_for_who_reports_commitments(tmp_path: Path, proof: str) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE, GOOD_PEERS + proof + 'commits_as = ["PACS_SC"]\n'))
    assert problem.key == "peers.pacs.proof"


def test_a_model_folder_without_a_package_is_told(tmp_path: Path) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE.replace('["package"]', '["package", "no-such-model"]'), GOOD_PEERS))
    assert (problem.key, problem.value) == ("models.1", "no-such-model")


# -- certificates and keys ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_files_of_tls_are_found_from_the_folder_of_their_file(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.sign("node")
    (tmp_path / "tls").symlink_to(pair.key.parent)
    own = 'certificate = "tls/node.crt"\nkey = "tls/node.key"\n'
    peers = GOOD_PEERS + f'[peers.pacs.tls]\nca = "{authority.file}"\n{own}'
    file = write_files(tmp_path, GOOD_NODE + "[receiver.tls]\n" + own, peers)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path(file.name))
    node, pacs = config.node.receiver.tls, config.peers["pacs"].tls
    assert (node, pacs) == (
        # not where the link leads now: tomorrow it may lead to a renewed certificate
        ReceiverTLS(certificate=tmp_path / "tls" / "node.crt", key=tmp_path / "tls" / "node.key"),
        PeerTLS(ca=authority.file, certificate=tmp_path / "tls" / "node.crt", key=tmp_path / "tls" / "node.key"),
    )


def test_every_file_of_tls_that_is_wrong_is_told(tmp_path: Path, authority: Authority) -> None:
    pair = authority.sign("node")
    node = f'[receiver.tls]\ncertificate = "{pair.certificate}"\nkey = "{authority.sign("other").key}"\nclient_ca = "{pair.key}"\n'
    peers = GOOD_PEERS + f'[peers.pacs.tls]\nca = "no-such-file"\ncertificate = "{pair.certificate}"\nserver_name = "a b"\n'
    found = {problem.key: problem for problem in problems_of(write_files(tmp_path, GOOD_NODE + node, peers))}
    assert set(found) == {"receiver.tls.key", "receiver.tls.client_ca", "peers.pacs.tls.server_name"}
    assert (found["receiver.tls.key"].file.name, found["receiver.tls.key"].value) == ("node.toml", str(pair.key.parent / "other.key"))
    assert "another one" in found["receiver.tls.key"].allowed
    assert "PEM" in found["receiver.tls.client_ca"].allowed
    (tmp_path / "peers.toml").write_text(peers.replace("a b", "pacs"))
    found = {problem.key: problem for problem in problems_of(tmp_path / "node.toml") if problem.file.name == "peers.toml"}
    assert {key: problem.allowed for key, problem in found.items()} == {"peers.pacs.tls.key": "a file, where certificate is given"}
    (tmp_path / "peers.toml").write_text(GOOD_PEERS + '[peers.pacs.tls]\nca = "no-such-file"\n')
    (problem,) = (problem for problem in problems_of(tmp_path / "node.toml") if problem.file.name == "peers.toml")
    assert (problem.key, problem.value) == ("peers.pacs.tls.ca", str(tmp_path / "no-such-file"))
    assert problem.allowed == "a file that can be read (No such file or directory)"


# -- what it gives -------------------------------------------------------------------------------------------------------


def test_paths_start_at_the_folder_of_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_files(tmp_path, GOOD_NODE, GOOD_PEERS)
    monkeypatch.chdir("/")
    config = load_config(file)
    assert config.data == tmp_path.resolve() / "data"
    assert config.models == (tmp_path.resolve() / "package",)
    assert config.database == f"sqlite:///{tmp_path.resolve() / 'data' / 'journal.sqlite'}"


def test_the_environment_takes_the_place_of_data_and_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_files(tmp_path, GOOD_NODE, GOOD_PEERS)
    monkeypatch.setenv("DICOM_NODE_DATA", "elsewhere")
    monkeypatch.setenv("DICOM_NODE_DATABASE", "postgresql+psycopg://host/name")
    config = load_config(file)
    assert (config.data, config.database) == (tmp_path.resolve() / "elsewhere", "postgresql+psycopg://host/name")


def test_the_configuration_that_tests_write_is_read_as_it_was_meant(tmp_path: Path) -> None:
    """tests/peers/node.py writes TOML itself."""
    pacs = {"ae_title": 'A "B" C', "host": "127.0.0.1", "port": 4242, "may": ["send", "receive"], "addresses": ["any"]}
    process = write_node(tmp_path, peers={"pacs": pacs}, models=(), settings={"language": "fr", "assemble": {"quiet_s": 0.25}})
    config = load_config(process.config)
    assert config.peers["pacs"].model_dump(exclude_unset=True) == {**pacs, "may": ("send", "receive"), "addresses": ("any",)}
    assert (config.node.language, config.node.assemble.quiet_s, config.node.assemble.count_after_s) == ("fr", 0.25, 0.5)
    assert config.node.receiver.port == process.port
    assert config.data == process.data


# -- what a peer has to show --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "proof"),
    [
        ('may = ["receive"]', Proof.NONE),
        ('may = ["receive", "count"]', Proof.FIND),
        ('may = ["receive", "count"]\nproof = "none"', Proof.NONE),
        ('may = ["receive"]\nproof = "find"', Proof.FIND),
        ('may = ["receive"]\nproof = "commitment"\ncommits_as = [" PACS_SC "]', Proof.COMMITMENT),
    ],
)
def test_what_a_peer_is_asked_for_as_proof(tmp_path: Path, keys: str, proof: Proof) -> None:
    (tmp_path / "peers.toml").write_text(f'[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n{keys}\n')
    peer = parse_file(tmp_path / "peers.toml", PeersFile).peers["pacs"]
    assert peer.proof_asked is proof
    assert peer.commits_as in ((), ("PACS_SC",))


# -- what a peer gets ---------------------------------------------------------------------------------------------------


def peer_of(folder: Path, keys: str) -> Peer:
    (folder / "peers.toml").write_text(f'[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\nmay = ["receive"]\n{keys}\n')
    return parse_file(folder / "peers.toml", PeersFile).peers["pacs"]


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("", "segmentation report-3d"),
        ('profile = "default"', "segmentation report-3d"),
        ('segmentation = "labelmap"', "labelmap report-3d"),
        ('profile = "full"', "segmentation report-3d regions capture"),
        ('profile = "research"', "segmentation report-3d regions capture scores"),
        ('profile = "full"\nsegmentation = "labelmap"', "labelmap report-3d regions capture"),
        ('profile = "labelmap"', "labelmap report-3d capture"),
        ('profile = "mammography"', "mammography-cad capture"),
        ('profile = "plain-pacs"', "report-comprehensive capture outlines key-images page"),
        ('objects = ["page", "segmentation", "report-text"]', "page segmentation report-text"),
        ("objects = []", "segmentation report-3d"),
    ],
)
def test_a_peer_gets_what_its_profile_says_or_kinds_of_its_own_in_their_order(tmp_path: Path, keys: str, wanted: str) -> None:
    assert " ".join(peer_of(tmp_path, keys).wanted) == wanted


def test_every_profile_is_one_that_could_be_written_as_kinds(tmp_path: Path) -> None:
    for kinds in PROFILES.values():
        assert peer_of(tmp_path, f"objects = {json.dumps(kinds)}").wanted == kinds


@pytest.mark.parametrize(
    ("keys", "key", "value", "allowed"),
    [
        ('profile = "fullest"', "profile", "fullest", "'plain-pacs'"),
        ('objects = ["segmentation", "report"]', "objects.1", "report", "'report-3d'"),
        ('objects = ["page", "page"]', "objects", "['page', 'page']", "each kind once"),
        ('objects = ["segmentation", "labelmap"]', "objects", "['segmentation', 'labelmap']", "one of segmentation, labelmap"),
        ('objects = ["report-3d", "report-text"]', "objects", "['report-3d', 'report-text']", "one of report-3d, report-comprehensive"),
        ('objects = ["mammography-cad", "report-text"]', "objects", "['mammography-cad', 'report-text']", "report-text, mammography-cad"),
        ('objects = ["report-3d", "segmentation"]', "objects", "['report-3d', 'segmentation']", "a segmentation before the report"),
        ('objects = ["segmentation"]', "objects", "['segmentation']", "one that says the result to whoever reads it: report-3d"),
        ('objects = ["key-images", "outlines"]', "objects", "['key-images', 'outlines']", "page or capture"),
        ('profile = "full"\nobjects = ["page"]', "profile", "full", "left out, where objects is given"),
        ('segmentation = "binary"\nobjects = ["page"]', "segmentation", "binary", "left out, where objects is given"),
        ('language = "de"', "language", "de", "one of en, fr"),
        ("most_frames = -1", "most_frames", "-1", "0"),
    ],
)
def test_what_no_peer_can_get_is_told_with_what_it_can(tmp_path: Path, keys: str, key: str, value: str, allowed: str) -> None:
    (problem,) = problems_of(write_files(tmp_path, GOOD_NODE, GOOD_PEERS + keys + "\n"))
    assert (problem.file.name, problem.key, problem.value) == ("peers.toml", f"peers.pacs.{key}", value)
    assert allowed in problem.allowed


# -- where images lie ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "bucket"),
    [("", None), ('spool = ""', None), ('spool = "s3://images/node/one"', "s3://images/node/one"), ('spool = "s3://b.1-c"', "s3://b.1-c")],
)
def test_images_lie_in_the_data_folder_or_in_a_bucket(tmp_path: Path, line: str, bucket: str | None) -> None:
    config = load_config(write_files(tmp_path, GOOD_NODE + line, GOOD_PEERS))
    assert config.bucket == bucket
    assert config.spool == tmp_path / "data" / "spool"


@pytest.mark.parametrize(
    "wrong", ["/mnt/spool", "s3://", "s3://ab", "s3://Images", "s3://images//node", "s3://images/a b", "https://store/images"]
)
def test_what_is_no_address_of_a_bucket_is_told(tmp_path: Path, wrong: str) -> None:
    (problem,) = problems_of(write_files(tmp_path, f'{GOOD_NODE}spool = "{wrong}"\n', GOOD_PEERS))
    assert (problem.file.name, problem.key, problem.value) == ("node.toml", "spool", wrong)
    assert "s3://bucket/prefix" in problem.allowed


def test_a_bucket_without_its_client_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    (problem,) = problems_of(write_files(tmp_path, f'{GOOD_NODE}spool = "s3://images"\n', GOOD_PEERS))
    assert (problem.key, problem.value) == ("spool", "s3://images")
    assert 'pip install "dicom-node[s3]"' in problem.allowed


def test_everything_can_be_imported_without_the_client_library() -> None:
    script = "import sys; sys.modules['obstore'] = None; import dicom_node.cli, dicom_node.roles.serve, dicom_node.roles.worker"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
