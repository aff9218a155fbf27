"""The command `dicom-node`: one function per command, which parses its arguments and calls one function."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dicom_node.clock import SystemClock
from dicom_node.errors import SchemaTooOld, SettingsError
from dicom_node.log import RoleName, log_broken, start_logging
from dicom_node.texts import Reader, render_error

if TYPE_CHECKING:
    from dicom_node.config import Config
    from dicom_node.roles.jobs import Said

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
    slot: Annotated[int, typer.Option(min=0, help="Which worker of this machine, from 0.")] = 0,
    parent: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run the node: receive images, analyse them, deliver the results."""
    from dicom_node.roles import lifeline

    settings = _load(config)
    start_logging(settings.node.log_level)
    if parent:
        lifeline.die_with_parent(parent)
    try:
        status = _run_role(role, settings, slot)
    except SettingsError as error:
        _refuse(error)
    except SchemaTooOld as error:
        print(f"dicom-node serve: {render_error(error, Reader.ADMINISTRATOR, settings.node.language)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except Exception as error:  # noqa: BLE001  the outermost handler of a process
        log_broken(RoleName(role or "serve"), error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


@app.command()
def migrate(config: ConfigOption = Path("config/node.toml")) -> None:
    """Bring the journal's database to this version's schema. `serve` does so by itself; roles that are started alone do not.

    Programs of the version before go on working on it, so that the machines of a node may be upgraded one after the other.
    """
    from dicom_node import journal

    settings = _load(config)
    settings.data.mkdir(parents=True, exist_ok=True)
    journal.migrate(settings.database)
    print("dicom-node migrate: the database has this version's schema")


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
    found = find_status(settings, study, limit, settings.node.language)
    if found is None:
        print(f"dicom-node status: no study {study}", file=sys.stderr)
        raise typer.Exit(1)
    print(json.dumps(found, indent=1) if as_json else as_text(found))


@app.command()
def trace(
    study: Annotated[str, typer.Argument(help="Study Instance UID, or the key that log lines have.")],
    config: ConfigOption = Path("config/node.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show where each millisecond of a study went, from its last image to its results at their destinations."""
    from dicom_node.roles.trace import as_text, find_trace

    found = find_trace(_load(config), study, SystemClock())
    if found is None:
        print(f"dicom-node trace: no study {study}", file=sys.stderr)
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


jobs = typer.Typer(no_args_is_help=True, help="What is to be done, and what could not be done: look at it, and try it again or end it.")
app.add_typer(jobs, name="jobs")
_LONGEST_NAME = 64
JobArgument = Annotated[str, typer.Argument(help="As `jobs list` shows it: study/…, send/…/DESTINATION or look/….")]


@jobs.command("list")
def list_jobs(
    config: ConfigOption = Path("config/node.toml"),
    dead: Annotated[bool, typer.Option("--dead", help="Only what the node does not try again by itself.")] = False,
    state: Annotated[str, typer.Option(help="Only what stands so: waiting, running, asking, refused, given-up, unconfirmed, ...")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what waits, runs, or could not be done, and why: the dead ones first, then the most urgent."""
    from dicom_node.roles.jobs import STATES, as_table, find_jobs

    if state and state not in STATES:
        raise typer.BadParameter(f"--state {state}: one of {', '.join(STATES)}")
    rows = find_jobs(_load(config), limit, SystemClock(), dead=dead, state=state)
    print(json.dumps(rows, indent=1) if as_json else as_table(rows))


@jobs.command("show")
def show_job(job: JobArgument, config: ConfigOption = Path("config/node.toml")) -> None:
    """Show one job with its objects and what was done to it; of a study whose records have left the node, when they did."""
    from dicom_node.roles.jobs import show

    _say(show(_load(config), job, SystemClock()))


@jobs.command("retry")
def retry(
    job: Annotated[str, typer.Argument(help="The job; left out with --all-dead.")] = "",
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Everything that is dead.")] = False,
    destination: Annotated[str, typer.Option(help="With --all-dead: only what goes to this peer.")] = "",
    config: ConfigOption = Path("config/node.toml"),
) -> None:
    """Try again, under the same UIDs: nothing appears twice. What waits for its next try is tried now."""
    from dicom_node.roles.jobs import retry_all, retry_one

    if all_dead == bool(job):
        raise typer.BadParameter("name a job, or --all-dead")
    settings, clock = _load(config), SystemClock()
    _say(retry_all(settings, destination, clock) if all_dead else retry_one(settings, job, clock))


@jobs.command("cancel")
def cancel(job: JobArgument, config: ConfigOption = Path("config/node.toml")) -> None:
    """End a job for good: what was not sent is not sent, what could not be done is accepted as it is."""
    from dicom_node.roles.jobs import cancel_one

    _say(cancel_one(_load(config), job, SystemClock()))


@jobs.command("rerun")
def rerun(
    study: Annotated[str, typer.Argument(help="Study Instance UID, or the key that log lines have.")],
    config: ConfigOption = Path("config/node.toml"),
) -> None:
    """Judge and analyse a study anew. The same images, models and configuration lead to the same result, which is not sent twice."""
    from dicom_node.roles.jobs import rerun_one

    _say(rerun_one(_load(config), study, SystemClock()))


@jobs.command("withdraw")
def withdraw(
    study: Annotated[str, typer.Argument(help="Study Instance UID, or the key that log lines have.")],
    reason: Annotated[str, typer.Option(help="wrong-patient, wrong-images, result-wrong or not-for-care.")],
    by: Annotated[str, typer.Option(help="Who says so, for the record; the user of this machine is recorded in any case.")] = "",
    package: Annotated[str, typer.Option(help="Only what this model package said of the study.")] = "",
    config: ConfigOption = Path("config/node.toml"),
) -> None:
    """Withdraw what was said of a study: every destination that has it is told, and it is sent nowhere any more. For good.

    What a destination takes: a rejection note (`rejection_notes`), and a report, picture or page that says that the result is withdrawn,
    and why. What other images or another model lead to later is another result, which names the withdrawal.
    """
    from dicom_node.roles.jobs import REASONS
    from dicom_node.roles.jobs import withdraw as withdraw_study

    if reason not in REASONS:
        raise typer.BadParameter(f"--reason {reason}: one of {', '.join(REASONS)}")
    if len(by) > _LONGEST_NAME or not by.isprintable():
        raise typer.BadParameter(f"--by: at most {_LONGEST_NAME} printable characters")
    _say(withdraw_study(_load(config), study, reason, SystemClock(), package=package, by=by))


models = typer.Typer(no_args_is_help=True, help="The model packages in service.")
app.add_typer(models, name="models")


@models.command("list")
def list_models(
    config: ConfigOption = Path("config/node.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the packages of the configuration: version, digest, what they look for, whether results are sent."""
    from dicom_node.roles.models import as_table, find_models

    try:
        found = find_models(_load(config))
    except SettingsError as error:
        _refuse(error)
    print(json.dumps(found, indent=1) if as_json else as_table(found))


@models.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name of the package, as `models list` has it.")],
    config: ConfigOption = Path("config/node.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show everything about one package: which series it takes, its stages and networks, what it finds, its limits."""
    from dicom_node.roles.models import as_text, find_models

    try:
        found = {one["name"]: one for one in find_models(_load(config))}
    except SettingsError as error:
        _refuse(error)
    if name not in found:
        print(f"dicom-node models show: no package {name}; there are: {', '.join(found)}", file=sys.stderr)
        raise typer.Exit(1)
    print(json.dumps(found[name], indent=1) if as_json else as_text(found[name]))


@models.command("check")
def check_model(
    folder: Annotated[Path, typer.Argument(help="A folder with a package.toml; it need not be in the configuration yet.")],
    config: ConfigOption = Path("config/node.toml"),
) -> None:
    """Check one package before it is entered: its manifest, its networks, and whether it gives on its example what it must."""
    from dicom_node.roles.models import check_package

    problems = check_package(folder, _load(config), SystemClock())
    for line in problems:
        print(line)
    print(f"dicom-node models check: problems={len(problems)}")
    raise typer.Exit(1 if problems else 0)


@models.command("tune")
def tune(config: ConfigOption = Path("config/node.toml")) -> None:
    """Try every network with several numbers of threads and of items at once, and keep the fastest for this machine.

    Minutes in which the machine should do nothing else; the node uses what was found after its next start. Results hang on it in their
    rounding alone.
    """
    from dicom_node.roles.tune import as_table, tune_packages

    settings = _load(config)
    try:
        trials, failed = tune_packages(settings, SystemClock())
    except SettingsError as error:
        _refuse(error)
    print(as_table(trials))
    for line in failed:
        print(line, file=sys.stderr)
    print(f"dicom-node models tune: kept in {settings.tuned}; restart the node")
    raise typer.Exit(1 if failed else 0)


@app.command()
def plan(
    studies_per_day: Annotated[float, typer.Option("--studies-per-day", min=0.1, help="Studies that come in on a working day.")],
    slices: Annotated[int, typer.Option(min=1, help="Images of a study.")],
    model_seconds: Annotated[float, typer.Option("--model-seconds", min=0.0, help="What one model takes for one study on its device.")],
    bytes_per_slice: Annotated[int, typer.Option(min=1, help="Of one image as it is sent. Default: 512 x 512, uncompressed.")] = 526_336,
    peak_hour_share: Annotated[float, typer.Option(min=1 / 24, max=1.0, help="Share of a day's studies in its busiest hour.")] = 0.12,
    retention_hours: Annotated[float, typer.Option(min=0.0, help="How long images stay: images_after_h in node.toml.")] = 168.0,
    models: Annotated[int, typer.Option(min=1, help="Models that analyse each study.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a hospital's studies need: machines, disks, database, network; and which part is full first."""
    from dicom_node.roles.capacity import Demand
    from dicom_node.roles.plan import as_text, find_plan

    demand = Demand(studies_per_day, slices, model_seconds, bytes_per_slice, peak_hour_share, retention_hours, models)
    found = find_plan(demand)
    print(json.dumps(found, indent=1) if as_json else as_text(found))


def main() -> None:
    """Run the command line."""
    app()


def _run_role(role: str, settings: "Config", slot: int) -> int:
    """The program of a role; gives its exit status. Each loads what it needs itself: what the worker needs takes a second and 60 MB."""
    match role:
        case "":
            from dicom_node.roles import serve as everything

            return everything.run(settings, SystemClock())
        case "receiver":
            from dicom_node.roles import receiver

            return receiver.run(settings, SystemClock())
        case "worker":
            from dicom_node.roles import worker

            return worker.run(settings, SystemClock(), slot)
        case _:
            raise typer.BadParameter(f"{role}: receiver or worker")


def _load(file: Path) -> "Config":
    from dicom_node.config import load_config

    try:
        return load_config(file)
    except SettingsError as error:
        _refuse(error)


def _say(said: "Said") -> None:
    if not said.is_done:
        print(f"dicom-node jobs: {said.text}", file=sys.stderr)
        raise typer.Exit(1)
    print(said.text)


def _refuse(error: SettingsError) -> NoReturn:
    for problem in error.problems:
        print(f"{problem.file}: {problem.key} = {problem.value!r}: allowed: {problem.allowed}", file=sys.stderr)
    raise typer.Exit(2)
