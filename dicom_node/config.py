"""The node's configuration: `node.toml` and `peers.toml`, and the few variables of the environment, as values.

`load_config` reads everything and reports every problem at once. Nothing else reads these files or the environment.
"""

import importlib.util
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from dicom_node import tls
from dicom_node.document import parse_file
from dicom_node.errors import Problem, SettingsError
from dicom_node.texts import ENGLISH, Language, find_languages
from dicom_node.values import AETitle, ObjectKind, Proof, Provider


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


def _bucket(raw: str) -> str:
    """Where images lie when not in the data folder. Names of buckets: 3 to 63 of lower-case letters, digits, dots and hyphens."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*/?", raw):
        raise ValueError("an address such as s3://bucket/prefix; left out, images lie in the data folder, which may be a shared one")
    if importlib.util.find_spec("obstore") is None:
        raise ValueError('what is installed: an object store needs pip install "dicom-node[s3]"')
    return raw


def _language(raw: str) -> Language:
    known = find_languages()
    if raw not in known:
        raise ValueError(f"one of {', '.join(known)}")
    return Language(raw)


KnownLanguage = Annotated[Language, AfterValidator(_language)]
Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]


class ReceiverTLS(Section):
    """What the receiver shows its callers, and whose certificates they must have. Files in PEM form."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class PeerTLS(Section):
    """Whose certificate a peer must have, and what the node shows it where it asks for one. Files in PEM form."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: Host | None = None  # the name that its certificate must be made for; left out: its host. "any": not checked


class ReceiverSection(Section):
    """Where the node listens and how much it takes."""

    host: Host = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    associations: Annotated[int, Field(ge=1, le=500)] = 50
    pdu_bytes: Annotated[int, Field(ge=4096, le=1_048_576)] = 131_072
    network_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    fast: bool = True
    largest_object_mb: Annotated[int, Field(ge=1)] = 4096
    disk_high_water_percent: Annotated[float, Field(gt=0, le=100)] = 90.0
    memory_high_water_percent: Annotated[float, Field(gt=0, le=100)] = 95.0
    most_open_studies: Annotated[int, Field(ge=1)] = 5000
    tls: ReceiverTLS | None = None


class AssembleSection(Section):
    """When a series counts as complete."""

    quiet_s: Annotated[float, Field(gt=0)] = 10.0
    count_after_s: Annotated[float, Field(gt=0)] = 2.0
    broken_s: Annotated[float, Field(ge=0)] = 60.0


class DeliverSection(Section):
    """How often, and how long apart, an object is sent again that was not acknowledged.

    The first retry comes after `first_retry_s`, each later one after twice the time, up to `longest_retry_s`. The question
    whether the peer holds what it acknowledged is asked again in the same way, `proof_tries` times.
    """

    first_retry_s: Annotated[float, Field(gt=0)] = 5.0
    longest_retry_s: Annotated[float, Field(gt=0)] = 3600.0
    tries: Annotated[int, Field(ge=1)] = 100
    failure_tries: Annotated[int, Field(ge=1)] = 3
    proof_wait_s: Annotated[float, Field(ge=0)] = 10.0
    proof_tries: Annotated[int, Field(ge=1)] = 30
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    response_timeout_s: Annotated[float, Field(gt=0)] = 60.0

    def delay_s(self, attempt: int) -> float:
        """How long to wait after try number `attempt`, from 0."""
        return min(self.first_retry_s * 2.0 ** min(attempt, 64), self.longest_retry_s)


class InferSection(Section):
    """The inference process."""

    threads: Annotated[int, Field(ge=0, le=256)] = 0  # 0: as many as the process may use
    provider: Provider = Provider.CPU
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    workers: Annotated[int, Field(ge=1, le=64)] = 1  # each with an inference process of its own


class PriorsSection(Section):
    """How long a study waits for its prior from a PACS, and how many images the node lets itself be sent for it."""

    wait_s: Annotated[float, Field(gt=0)] = 120.0
    most_images: Annotated[int, Field(ge=1)] = 2000


class RetentionSection(Section):
    """How long what is kept; 0 is for ever.

    Images leave `images_after_h` after everything that was made of their study is confirmed; those of a study that does not come so
    far leave only where `images_at_most_days` says so. Results (values and objects) and records (rows) are counted from the same moment.
    """

    images_after_h: Annotated[float, Field(ge=0)] = 168.0
    images_at_most_days: Annotated[float, Field(ge=0)] = 0.0
    results_days: Annotated[float, Field(ge=0)] = 0.0
    records_days: Annotated[float, Field(ge=0)] = 0.0
    jobs_h: Annotated[float, Field(gt=0)] = 48.0  # the engine's rows of jobs that ended, and values of their steps


class PriorityRule(Section):
    """Studies for which all that is given holds get the level; the first rule that fits decides, and without one it is `routine`.

    calling: AE titles of senders. store_priority: the Priority (0000,0700) of a C-STORE. attributes: for an attribute's keyword
    (of those that conditions of packages may ask for) the values, one of which must be there; letters' case does not count.
    """

    level: Literal["stat", "routine", "research"]
    calling: tuple[str, ...] = ()
    store_priority: Literal["high", "medium", "low"] | None = None
    attributes: dict[str, tuple[str, ...]] = {}

    _calling = field_validator("calling")(lambda titles: tuple(map(_title, titles)))

    @field_validator("attributes")
    @classmethod
    def _keywords(cls, attributes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """A misspelled keyword would fit no image, and nobody would know."""
        from pydicom.datadict import tag_for_keyword  # a quarter of a second, which most configurations need not wait for

        unknown = [keyword for keyword in attributes if tag_for_keyword(keyword) is None]
        if unknown:
            raise ValueError("keywords of attributes as PS3.6 has them, such as RequestedProcedurePriority")
        return attributes


_URGENT = (
    PriorityRule(level="stat", store_priority="high"),
    PriorityRule(level="stat", attributes={"RequestedProcedurePriority": ("STAT", "HIGH")}),
)


class NodeFile(Section):
    """`node.toml`."""

    ae_title: str
    data: Path
    models: tuple[Path, ...]
    peers: Path = Path("peers.toml")
    language: KnownLanguage = ENGLISH
    database: str | None = None
    spool: str = ""
    cache_gb: Annotated[float, Field(gt=0)] = 50.0
    log_level: Literal["info", "warning"] = "info"
    receiver: ReceiverSection = ReceiverSection()
    assemble: AssembleSection = AssembleSection()
    infer: InferSection = InferSection()
    deliver: DeliverSection = DeliverSection()
    retention: RetentionSection = RetentionSection()
    priors: PriorsSection = PriorsSection()
    priority: tuple[PriorityRule, ...] = _URGENT

    _ae_title = field_validator("ae_title")(_title)
    _spool = field_validator("spool")(lambda raw: _bucket(raw) if raw else raw)


# What a destination gets of a result, in the order in which a viewer needs it. Where it does not take one of the SOP classes, the next
# best kind takes its place (`encode.kinds`).
PROFILES: Mapping[str, tuple[ObjectKind, ...]] = {
    # As it was before there were profiles.
    "default": (ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D),
    # A viewer that knows segmentations and 3D reports; regions and pictures beside them for those that know less.
    "full": (ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D, ObjectKind.REGIONS, ObjectKind.CAPTURE),
    # A PACS that shows neither: a report in its oldest common form, and everything that is to be seen as pictures, outlines and a page.
    "plain-pacs": (
        ObjectKind.REPORT_COMPREHENSIVE,
        ObjectKind.CAPTURE,
        ObjectKind.OUTLINES,
        ObjectKind.KEY_IMAGES,
        ObjectKind.PAGE,
    ),
    # Many segments, in one frame for each slice.
    "labelmap": (ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D, ObjectKind.CAPTURE),
    # Mammography: marks that its workstations lay over the image, and pictures. Where a result is not on mammograms, or is of what
    # mammography CAD has no code for, a report takes the place of the marks.
    "mammography": (ObjectKind.MAMMOGRAPHY_CAD, ObjectKind.CAPTURE),
    # As full.
    "research": (ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D, ObjectKind.REGIONS, ObjectKind.CAPTURE),
}
# Kinds that say the same in different forms: one of each at most, and the first before the second, which names it.
_SEGMENTATIONS = (ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP)
_REPORTS = (
    ObjectKind.REPORT_3D,
    ObjectKind.REPORT_COMPREHENSIVE,
    ObjectKind.REPORT_ENHANCED,
    ObjectKind.REPORT_TEXT,
    ObjectKind.MAMMOGRAPHY_CAD,
)


def _fitting(kinds: tuple[ObjectKind, ...]) -> tuple[ObjectKind, ...]:
    """Kinds that may stand beside each other, in this order."""
    if len(set(kinds)) < len(kinds):
        raise ValueError("each kind once")
    segmentations, reports = ([kinds.index(kind) for kind in some if kind in kinds] for some in (_SEGMENTATIONS, _REPORTS))
    if len(segmentations) > 1 or len(reports) > 1:
        raise ValueError(f"one of {', '.join(_SEGMENTATIONS)}, and one of {', '.join(_REPORTS)}")
    if segmentations and reports and reports < segmentations:
        raise ValueError("a segmentation before the report, which names it")
    if kinds and not {*_REPORTS, ObjectKind.PAGE, ObjectKind.CAPTURE} & set(kinds):
        raise ValueError(f"one that says the result to whoever reads it: {', '.join(_REPORTS)}, page or capture")
    return kinds


class Peer(Section):
    """One system that the node talks to. `may` lists what it may do here and what the node does with it.

    send: it may store images on the node. count: the node asks it by C-FIND how many instances a series has.
    receive: results are sent to it. priors: the node looks there for a patient's earlier studies by C-FIND, and has their images sent to
    itself by C-MOVE. `proof`: how it shows that it holds them; left out, by C-FIND where it may be asked for counts.
    `profile` or `objects`: what it gets of a result. `segmentation`: of which kind those of the profile are. `most_frames`: of how many
    frames a binary segmentation may be; 0 is no limit. `language` of what it gets, the node's where left out. `says_not_analysed`: whether
    it is told where nothing was analysed. `deflate`: whether objects are offered to it compressed.
    """

    ae_title: str
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)]
    may: tuple[Literal["send", "count", "receive", "priors"], ...]
    addresses: tuple[Address, ...] = ()  # where its calls may come from; empty: `host` alone. "any": no check
    results_for: tuple[str, ...] = ()  # names of peers whose images' results it receives; empty: those of all
    proof: Literal["commitment", "find", "none"] | None = None
    profile: Literal["default", "full", "plain-pacs", "labelmap", "mammography", "research"] = "default"
    objects: tuple[ObjectKind, ...] = ()  # in place of a profile
    segmentation: Literal["binary", "labelmap"] = "binary"
    most_frames: Annotated[int, Field(ge=0)] = 0
    language: KnownLanguage | None = None
    rejection_notes: bool = False  # IHE Imaging Object Change Management
    says_not_analysed: bool | tuple[str, ...] = False  # the packages by name; true: all of them
    deflate: bool = False  # Deflated Explicit VR Little Endian, where it accepts that
    commits_as: tuple[str, ...] = ()  # further AE titles under which its storage commitment reports may come
    tls: PeerTLS | None = None  # for the associations that the node requests; those that it accepts have the receiver's

    _ae_title = field_validator("ae_title")(_title)
    _commits_as = field_validator("commits_as")(lambda titles: tuple(map(_title, titles)))
    _objects = field_validator("objects")(_fitting)

    def hears_of(self, package: str) -> bool:
        """Whether it is told that a package has not analysed a study that it is for."""
        said = self.says_not_analysed
        return said if isinstance(said, bool) else package in said

    @property
    def wanted(self) -> tuple[ObjectKind, ...]:
        """What it gets of a result where it takes everything."""
        labelled = self.segmentation == "labelmap"
        return self.objects or tuple(
            ObjectKind.LABEL_MAP if labelled and kind is ObjectKind.SEGMENTATION else kind for kind in PROFILES[self.profile]
        )

    @property
    def proof_asked(self) -> Proof:
        """How it is made sure that the peer holds what it acknowledged."""
        if self.proof is not None:
            return Proof(self.proof)
        return Proof.FIND if "count" in self.may else Proof.NONE


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
    def bucket(self) -> str | None:
        """The address under which images and what is kept lie on an object store, in place of the two folders."""
        return self.node.spool or None

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def kept(self) -> Path:
        return self.data / "kept"

    @property
    def tuned(self) -> Path:
        """What `dicom-node models tune` found, for each device that shares the folder."""
        return self.data / "tuned.json"

    @property
    def first_look_s(self) -> float:
        """When to look at a series for the first time: soon where a PACS can be asked for its count, else after the quiet time."""
        may_count = any("count" in peer.may for peer in self.peers.values())
        quiet_s = self.node.assemble.quiet_s
        return min(self.node.assemble.count_after_s, quiet_s) if may_count else quiet_s


def load_config(file: Path) -> Config:
    """Read `node.toml` and the `peers.toml` that it names; raises SettingsError with every problem of both.

    Environment: DICOM_NODE_DATABASE replaces `database` (it may hold a password), DICOM_NODE_DATA replaces `data`. What begins with
    AWS_ is read by the object store's client, where `spool` is the address of a bucket.
    """
    problems: list[Problem] = []
    node: NodeFile | None = None
    peers: PeersFile | None = None
    peers_file = file.parent / "peers.toml"
    try:
        node = parse_file(file, NodeFile)
        peers_file = file.parent / node.peers
        node = node.model_copy(update={"receiver": _with_files(node.receiver, file)})
        problems += _tls_problems(file, "receiver.tls", node.receiver.tls)
    except SettingsError as error:
        problems += error.problems
    try:
        peers = parse_file(peers_file, PeersFile)
        peers = PeersFile(peers={name: _with_files(peer, peers_file) for name, peer in peers.peers.items()})
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
        if "priors" in peer.may and "send" not in peer.may:
            problems.append(Problem(file, f"peers.{name}.may", "priors", 'beside "send": the images of a prior come by C-STORE'))
        if peer.objects:
            problems += (
                Problem(file, f"peers.{name}.{key}", str(getattr(peer, key)), "left out, where objects is given")
                for key in ("profile", "segmentation")
                if key in peer.model_fields_set
            )
        if peer.commits_as and peer.proof_asked is not Proof.COMMITMENT:
            problems.append(Problem(file, f"peers.{name}.proof", peer.proof_asked.value, "commitment, where commits_as is given"))
        problems += _tls_problems(file, f"peers.{name}.tls", peer.tls)
    return problems


HasTLS = TypeVar("HasTLS", ReceiverSection, Peer)


def _with_files(section: HasTLS, file: Path) -> HasTLS:
    """The section with the paths of its certificates and keys from the folder of the file that names them.

    Links are left as they are: where certificates are renewed by themselves, one leads to the newest.
    """
    if section.tls is None:
        return section
    paths = {key: file.parent.absolute() / value for key, value in section.tls if isinstance(value, Path)}
    return section.model_copy(update={"tls": section.tls.model_copy(update=paths)})


def _tls_problems(file: Path, section: str, given: ReceiverTLS | PeerTLS | None) -> list[Problem]:
    """Files that cannot be read, or are not what they should be."""
    match given:
        case None:
            return []
        case ReceiverTLS():
            authority, authority_key = given.client_ca, "client_ca"
        case PeerTLS():
            authority, authority_key = given.ca, "ca"
    if (given.certificate is None) != (given.key is None):
        key, other = ("key", "certificate") if given.key is None else ("certificate", "key")
        return [Problem(file, f"{section}.{key}", "", f"a file, where {other} is given")]
    problems = []
    for name, fault in tls.find_faults(authority=authority, certificate=given.certificate, key=given.key):
        key = authority_key if name == "authority" else name
        problems.append(Problem(file, f"{section}.{key}", str(getattr(given, key)), fault))
    return problems
