"""The command `dicom-node`: one function per command, which parses its arguments and calls one function."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dicom_node.clock import SystemClock
from dicom_node.errors import SettingsError
from dicom_node.log import RoleName, log_broken, start_logging
from dicom_node.texts import Language

if TYPE_CHECKING:
    from dicom_node.config import Config

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A node between a hospital's PACS and its AI models.",
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The node's configuration file.")]


@app.command()
def serve(
    config: ConfigOption = Path("config/node.toml"),
    role: Annotated[str, typer.Option(help="Only one role: receiver or worker. Without it, all of them.")] = "",
    parent: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run the node: receive images, analyse them, deliver the results."""
    from dicom_node.roles import lifeline, receiver, worker
    from dicom_node.roles import serve as everything

    settings = _load(config)
    start_logging(settings.node.log_level)
    if parent:
        lifeline.die_with_parent(parent)
    programs = {"": everything.run, "receiver": receiver.run, "worker": worker.run}
    if role not in programs:
        raise typer.BadParameter(f"{role}: receiver or worker")
    try:
        status = programs[role](settings, SystemClock())
    except SettingsError as error:
        _refuse(error)
    except Exception as error:  # noqa: BLE001  the outermost handler of a process
        log_broken(RoleName(role or "serve"), error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


@app.command()
def check(
    config: ConfigOption = Path("config/node.toml"),
    peers: Annotated[bool, typer.Option("--peers", help="Also ask every peer by C-ECHO.")] = False,
) -> None:
    """Check configuration and models, and say everything that is wrong at once: file, key, value, what is allowed."""
    from dicom_node.roles.check import find_problems

    problems = find_problems(config, SystemClock(), ask_peers=peers)
    for line in problems:
        print(line)
    print(f"dicom-node check: problems={len(problems)}")
    raise typer.Exit(1 if problems else 0)


@app.command()
def status(
    study: Annotated[str, typer.Argument(help="Study Instance UID, or the key that log lines have; without it, the newest.")] = "",
    config: ConfigOption = Path("config/node.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many studies.")] = 20,
) -> None:
    """Show what came in, where it stands, why something was not analysed, and what was delivered where."""
    from dicom_node.roles.status import as_text, find_status

    settings = _load(config)
    found = find_status(settings, study, limit, Language(settings.node.language))
    if found is None:
        print(f"dicom-node status: no study {study}", file=sys.stderr)
        raise typer.Exit(1)
    print(json.dumps(found, indent=1) if as_json else as_text(found))


@app.command()
def replay(
    study: Annotated[str, typer.Argument(help="Study Instance UID or key; without it, everything in the spool.")] = "",
    config: ConfigOption = Path("config/node.toml"),
) -> None:
    """Put the spool through again: what the journal does not know is entered, every study is judged anew.

    The same images, models and configuration lead to the same results, which are not delivered twice; what a destination refused
    or what was given up is sent again.
    """
    from dicom_node.roles.replay import replay_spool

    done = replay_spool(_load(config), study, SystemClock())
    if done is None:
        print(f"dicom-node replay: no study {study}", file=sys.stderr)
        raise typer.Exit(1)
    print(f"dicom-node replay: entered={done.entered} judged={done.judged} resent={done.resent}")


def main() -> None:
    """Run the command line."""
    app()


def _load(file: Path) -> "Config":
    from dicom_node.config import load_config

    try:
        return load_config(file)
    except SettingsError as error:
        _refuse(error)


def _refuse(error: SettingsError) -> NoReturn:
    for problem in error.problems:
        print(f"{problem.file}: {problem.key} = {problem.value!r}: allowed: {problem.allowed}", file=sys.stderr)
    raise typer.Exit(2)
