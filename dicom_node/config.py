"""The node's configuration: `node.toml` and `peers.toml`, and the few variables of the environment, as values.

`load_config` reads everything and reports every problem at once. Nothing else reads these files or the environment.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from dicom_node.document import parse_file
from dicom_node.errors import Problem, SettingsError
from dicom_node.values import AETitle


class Section(BaseModel):
    """Base of all sections: frozen; an unknown key is an error, and so is a number that is none, or infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _title(raw: str) -> str:
    title = AETitle.parse(raw)
    if title is None:
        raise ValueError("1 to 16 printable ASCII characters without backslash")
    return title.text


_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # underscores are no host name's, but Docker's


def _host(raw: str) -> str:
    """What can be looked up: an IP address, or a host name that DNS can carry (RFC 1123 2.1; other letters by IDNA)."""
    try:
        ipaddress.ip_address(raw)
        return raw
    except ValueError:
        pass
    try:
        labels = raw.encode("idna").decode("ascii").removesuffix(".").split(".")
    except UnicodeError:
        labels = []
    is_name = all(_LABEL.fullmatch(label) for label in labels) and len(".".join(labels)) <= 253
    if not labels or not is_name or labels[-1].isdecimal():  # 10.0.0.300 is no name either
        raise ValueError("an IP address, or a host name: letters, digits and hyphens in parts of 1 to 63, joined by single dots")
    return raw


def _address(raw: str) -> str:
    """Where calls may come from: `any`, an IP network, or what a host may be."""
    try:
        ipaddress.ip_network(raw, strict=False)
        return raw
    except ValueError:
        pass
    try:
        return _host(raw)
    except ValueError as cause:
        raise ValueError(f"any, an IP network such as 10.1.0.0/16, {cause}") from cause


Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]


class ReceiverSection(Section):
    """Where the node listens and how much it takes."""

    host: Host = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    associations: Annotated[int, Field(ge=1, le=500)] = 50
    pdu_bytes: Annotated[int, Field(ge=4096, le=1_048_576)] = 131_072
    network_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    largest_object_mb: Annotated[int, Field(ge=1)] = 4096
    disk_high_water_percent: Annotated[float, Field(gt=0, le=100)] = 90.0


class AssembleSection(Section):
    """When a series counts as complete."""

    quiet_s: Annotated[float, Field(gt=0)] = 10.0
    count_after_s: Annotated[float, Field(gt=0)] = 2.0
    broken_s: Annotated[float, Field(ge=0)] = 60.0


class DeliverSection(Section):
    """How often, and how long apart, an object is sent again that was not acknowledged.

    The first retry comes after `first_retry_s`, each later one after twice the time, up to `longest_retry_s`.
    """

    first_retry_s: Annotated[float, Field(gt=0)] = 5.0
    longest_retry_s: Annotated[float, Field(gt=0)] = 3600.0
    tries: Annotated[int, Field(ge=1)] = 100
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    response_timeout_s: Annotated[float, Field(gt=0)] = 60.0


class InferSection(Section):
    """The inference process."""

    threads: Annotated[int, Field(ge=0, le=256)] = 0  # 0: as many as the process may use
    tries: Annotated[int, Field(ge=1, le=10)] = 3


class NodeFile(Section):
    """`node.toml`."""

    ae_title: str
    data: Path
    models: tuple[Path, ...]
    peers: Path = Path("peers.toml")
    language: Literal["en", "fr"] = "en"
    database: str | None = None
    log_level: Literal["info", "warning"] = "info"
    receiver: ReceiverSection = ReceiverSection()
    assemble: AssembleSection = AssembleSection()
    infer: InferSection = InferSection()
    deliver: DeliverSection = DeliverSection()

    _ae_title = field_validator("ae_title")(_title)


class Peer(Section):
    """One system that the node talks to. `may` lists what it may do here and what the node does with it.

    send: it may store images on the node. count: the node asks it by C-FIND how many instances a series has.
    receive: results are sent to it.
    """

    ae_title: str
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)]
    may: tuple[Literal["send", "count", "receive"], ...]
    addresses: tuple[Address, ...] = ()  # where its calls may come from; empty: `host` alone. "any": no check
    results_for: tuple[str, ...] = ()  # names of peers whose images' results it receives; empty: those of all

    _ae_title = field_validator("ae_title")(_title)


class PeersFile(Section):
    """`peers.toml`."""

    peers: Annotated[dict[str, Peer], Field(min_length=1)]


class Config(Section):
    """Everything that a person configured, with paths resolved against the files' own folders."""

    file: Path
    node: NodeFile
    peers: dict[str, Peer]
    data: Path
    models: tuple[Path, ...]
    database: str

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def kept(self) -> Path:
        return self.data / "kept"

    @property
    def first_look_s(self) -> float:
        """When to look at a series for the first time: soon where a PACS can be asked for its count, else after the quiet time."""
        may_count = any("count" in peer.may for peer in self.peers.values())
        quiet_s = self.node.assemble.quiet_s
        return min(self.node.assemble.count_after_s, quiet_s) if may_count else quiet_s


def load_config(file: Path) -> Config:
    """Read `node.toml` and the `peers.toml` that it names; raises SettingsError with every problem of both.

    Environment: DICOM_NODE_DATABASE replaces `database` (it may hold a password), DICOM_NODE_DATA replaces `data`.
    """
    problems: list[Problem] = []
    node: NodeFile | None = None
    peers: PeersFile | None = None
    peers_file = file.parent / "peers.toml"
    try:
        node = parse_file(file, NodeFile)
        peers_file = file.parent / node.peers
    except SettingsError as error:
        problems += error.problems
    try:
        peers = parse_file(peers_file, PeersFile)
        problems += _peer_problems(peers_file, peers)
    except SettingsError as error:
        problems += error.problems
    if node is not None:
        for number, folder in enumerate(node.models):
            if not (file.parent / folder / "package.toml").is_file():
                problems.append(Problem(file, f"models.{number}", str(folder), "a folder that holds a package.toml"))
    if problems or node is None or peers is None:
        raise SettingsError(tuple(problems))
    data = (file.parent / os.environ.get("DICOM_NODE_DATA", str(node.data))).resolve()
    database = os.environ.get("DICOM_NODE_DATABASE") or node.database or f"sqlite:///{data / 'journal.sqlite'}"
    models = tuple((file.parent / folder).resolve() for folder in node.models)
    return Config(file=file.resolve(), node=node, peers=peers.peers, data=data, models=models, database=database)


def _peer_problems(file: Path, peers: PeersFile) -> list[Problem]:
    """Two peers of one AE title cannot be told apart; a name that no peer has cannot be meant."""
    problems: list[Problem] = []
    titles: dict[str, str] = {}
    for name, peer in peers.peers.items():
        other = titles.setdefault(peer.ae_title, name)
        if other != name:
            problems.append(Problem(file, f"peers.{name}.ae_title", peer.ae_title, f"a title of its own ({other} has this one)"))
        problems += (
            Problem(file, f"peers.{name}.results_for", source, f"one of {', '.join(peers.peers)}")
            for source in peer.results_for
            if source not in peers.peers
        )
    return problems
