"""Everything that is wrong with a configuration, as lines for a person."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicom_node import deliver, infer, journal, spool, tls
from dicom_node.clock import Clock
from dicom_node.config import Config, load_config
from dicom_node.errors import InferenceError, PeerError, Problem, ProviderUnavailable, SettingsError, SpoolError
from dicom_node.infer import process
from dicom_node.node import load_packages
from dicom_node.package import Package
from dicom_node.texts import Reader, render_error, render_reason
from dicom_node.values import PeerName, Reason

from .device import open_device
from .examples import try_example


def find_problems(file: Path, clock: Clock, *, ask_peers: bool) -> tuple[str, ...]:
    """A line for each problem of configuration, models, their examples, this machine and, where asked, the peers."""
    try:
        config = load_config(file)
    except SettingsError as error:
        return tuple(describe_problem(problem) for problem in error.problems)
    lines = _provider_problems(config)
    try:
        packages = load_packages(config)
        lines += [] if lines else _example_problems(config, packages, clock)  # without its provider no package passes
    except SettingsError as error:
        lines += (describe_problem(problem) for problem in error.problems)
    lines += _machine_problems(config)
    lines += (describe_problem(problem) for problem in find_certificate_problems(config, datetime.fromtimestamp(clock.now(), UTC)))
    if ask_peers:
        lines += _peer_problems(config)
    return tuple(lines)


def describe_problem(problem: Problem) -> str:
    """A line: where, what stands there, what may."""
    value = f" = {problem.value!r}" if problem.value else ""
    return f"{problem.file}: {problem.key}{value}: allowed: {problem.allowed}"


def _provider_problems(config: Config) -> list[str]:
    """What is to run the models is not part of ONNX Runtime as it is installed here."""
    provider = config.node.infer.provider
    try:
        process.check_provider(provider)
    except ProviderUnavailable as error:
        text = render_error(error, Reader.ADMINISTRATOR, config.node.language)
        return [f"{config.file}: infer.provider = '{provider}': {text}"]
    return []


def _example_problems(config: Config, packages: Sequence[Package], clock: Clock) -> list[str]:
    """A line for each package that does not pass its example, run in an inference process as the worker has one."""
    with open_device(config, clock) as device:
        found = [find_example_problem(package, device, config) for package in packages]
    return [line for line in found if line is not None]


def find_example_problem(package: Package, device: infer.Device, config: Config) -> str | None:
    """A line where a package does not give on its example what it must."""
    reader, language = Reader.ADMINISTRATOR, config.node.language
    match try_example(package, device, config.node.infer.tries):
        case Reason() as reason:
            return f"{package.folder / 'example'}: {render_reason(reason, reader, language)}"
        case InferenceError() as error:
            return f"{package.folder / 'example'}: {render_error(error, reader, language)}"
    return None


def _machine_problems(config: Config) -> list[str]:
    """What this machine lacks: a folder that can be written, a SQLite that the engine can use, an object store that answers."""
    lines = []
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        probe = config.data / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        lines.append(f"{config.file}: data = '{config.data}': allowed: a folder that can be written ({error.strerror})")
    problem = journal.find_sqlite_problem(config.database)
    if problem is not None:
        lines.append(problem)
    if config.bucket is not None:
        try:
            kept = journal.open_kept(config)
            kept.remove(kept.write_bytes(b"", suffix="probe"))
            spool.open_spool(config).has_any()
        except SpoolError as error:
            text = render_error(error, Reader.ADMINISTRATOR, config.node.language)
            lines.append(f"{config.file}: spool = '{config.bucket}': {text}")
    return lines


_RENEWED_BEFORE = timedelta(days=30)  # it takes a while in a hospital


def find_certificate_problems(config: Config, now: datetime) -> list[Problem]:
    """The node's own certificates that are not valid now, or soon will not be."""
    own = [(config.file, "receiver.tls.certificate", config.node.receiver.tls)]
    peers_file = config.file.parent / config.node.peers
    shown = [*own, *((peers_file, f"peers.{name}.tls.certificate", peer.tls) for name, peer in config.peers.items())]
    problems = []
    for file, key, given in shown:
        if given is not None and given.certificate is not None:
            begins, ends = tls.read_validity(given.certificate)
            if not begins <= now < ends - _RENEWED_BEFORE:
                days = f"{begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
                allowed = f"a certificate that is valid for {_RENEWED_BEFORE.days} days from now; this one is from {days}: have it renewed"
                problems.append(Problem(file, key, str(given.certificate), allowed))
    return problems


def _peer_problems(config: Config) -> list[str]:
    """A line for each peer that does not answer a C-ECHO of ours."""
    lines = []
    for name, peer in config.peers.items():
        try:
            deliver.ask_echo(PeerName(name), peer, config.node.ae_title, config.node.deliver)
        except PeerError as error:
            text = render_error(error, Reader.ADMINISTRATOR, config.node.language)
            lines.append(f"{config.file.parent / config.node.peers}: peers.{name}: {text}")
    return lines
