"""`dicom-node models`: which packages there are, what each takes and gives, and whether one is fit for service before it is entered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicom_node import select
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import SettingsError
from dicom_node.node import load_packages
from dicom_node.package import Package, load_package
from dicom_node.priors import is_followed

from .check import describe_problem, find_example_problem
from .device import open_device


def find_models(config: Config) -> tuple[dict[str, Any], ...]:
    """The packages of a configuration as plain values, in its order. Raises SettingsError with every problem of all of them."""
    return tuple(_plain(package) for package in load_packages(config))


def check_package(folder: Path, config: Config, clock: Clock) -> tuple[str, ...]:
    """A line for each thing that keeps the package of a folder, in the configuration or not, from service: its manifest, its models, and
    its example, run in an inference process as the worker has one."""
    try:
        package = load_package(folder)
    except SettingsError as error:
        return tuple(map(describe_problem, error.problems))
    with open_device(config, clock) as device:
        problem = find_example_problem(package, device, config)
    return () if problem is None else (problem,)


def as_table(found: Sequence[dict[str, Any]]) -> str:
    """A line for each package."""
    lines = [f"{'package':24} {'version':10} {'qualification':13} {'sent':6} {'digest':16} what it looks for"]
    for one in found:
        sent = "shadow" if one["shadow"] else "yes"
        wanted = ", ".join(dict.fromkeys(output["label"] for output in one["outputs"]))
        lines.append(f"{one['name']:24} {one['version']:10} {one['qualification']:13} {sent:6} {one['digest'][:16]} {wanted}")
    return "\n".join(lines)


def as_text(one: dict[str, Any]) -> str:
    """Everything about one package, a line for each fact."""
    lines = [f"{key:14} {one[key]}" for key in ("name", "version", "title", "manufacturer", "qualification", "licence", "digest", "folder")]
    lines.append(f"{'intended use':14} {one['intended_use']}")
    lines.append(f"{'results':14} {'kept here, sent to nobody (shadow)' if one['shadow'] else 'sent as peers.toml says'}")
    lines.append(f"{'over time':14} {'findings are followed' if one['is_followed'] else 'findings are not followed'}")
    lines.append(f"{'takes':14} {one['series_per_study']} series of a study that meets all of:")
    lines += [f"{'':14} - {condition['subject']}: {condition['wanted']}" for condition in one["conditions"]]
    lines += [f"{'stage':14} {stage['name']}: {stage['kind']}{_network(stage)}" for stage in one["stages"]]
    lines += [f"{'finds':14} {output['label']} ({output['code']} {output['scheme']}, {output['meaning']})" for output in one["outputs"]]
    lines.append(f"{'limits':14} {one['time_limit_s']:g} s, {one['memory_limit_mb']} MB")
    return "\n".join(lines)


def _network(stage: dict[str, Any]) -> str:
    """The network of a stage and its size, where it runs one."""
    return f", {stage['model']} ({stage['bytes'] / 1e6:.1f} MB)" if stage["model"] else ""


def _plain(package: Package) -> dict[str, Any]:
    manifest, identity = package.manifest, package.manifest.package
    return {
        "name": identity.name,
        "version": identity.version,
        "title": identity.title,
        "manufacturer": identity.manufacturer,
        "qualification": identity.qualification,
        "licence": identity.licence,
        "intended_use": identity.intended_use,
        "digest": package.ref.digest,
        "folder": str(package.folder),
        "shadow": identity.shadow,
        "is_followed": is_followed(package),
        "series_per_study": manifest.accept.series_per_study,
        "conditions": [
            {"subject": subject, "wanted": wanted} for subject, wanted in map(select.describe_condition, manifest.accept.conditions)
        ],
        "stages": [_stage(package, stage) for stage in manifest.stages],
        "outputs": [
            {"label": one.label, "code": one.type.value, "scheme": one.type.scheme, "meaning": one.type.meaning} for one in manifest.outputs
        ],
        "time_limit_s": manifest.running.time_limit_s,
        "memory_limit_mb": manifest.running.memory_limit_mb,
    }


def _stage(package: Package, stage: Any) -> dict[str, Any]:
    """A stage is of one of several kinds; those that run a network name its file."""
    by, model = getattr(stage, "by", ""), getattr(stage, "model", None)
    return {
        "name": stage.name,
        "kind": f"{stage.kind} by {by}" if by else stage.kind,
        "model": model,
        "bytes": (package.folder / model).stat().st_size if model else 0,
    }
