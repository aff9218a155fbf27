"""Everything that is wrong with a configuration, as lines for a person."""

from pathlib import Path

from dicom_node import deliver, journal
from dicom_node.config import Config, load_config
from dicom_node.errors import PeerError, Problem, SettingsError
from dicom_node.node import load_packages
from dicom_node.texts import Language, Reader, render_error
from dicom_node.values import PeerName


def find_problems(file: Path, *, ask_peers: bool) -> tuple[str, ...]:
    """A line for each problem of configuration, models, this machine and, where asked, the peers."""
    try:
        config = load_config(file)
    except SettingsError as error:
        return tuple(_line(problem) for problem in error.problems)
    lines: list[str] = []
    try:
        load_packages(config)
    except SettingsError as error:
        lines += (_line(problem) for problem in error.problems)
    lines += _machine_problems(config)
    if ask_peers:
        lines += _peer_problems(config)
    return tuple(lines)


def _line(problem: Problem) -> str:
    value = f" = {problem.value!r}" if problem.value else ""
    return f"{problem.file}: {problem.key}{value}: allowed: {problem.allowed}"


def _machine_problems(config: Config) -> list[str]:
    """What this machine lacks: a folder that can be written, and a SQLite that the engine can use."""
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
    return lines


def _peer_problems(config: Config) -> list[str]:
    """A line for each peer that does not answer a C-ECHO of ours."""
    lines = []
    for name, peer in config.peers.items():
        try:
            deliver.ask_echo(PeerName(name), peer, config.node.ae_title, config.node.deliver)
        except PeerError as error:
            text = render_error(error, Reader.ADMINISTRATOR, Language(config.node.language))
            lines.append(f"{config.file.parent / config.node.peers}: peers.{name}: {text}")
    return lines
