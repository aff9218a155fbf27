"""Load a package: parse its manifest, check what no schema can, and give it a digest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dicom_node.document import parse_file
from dicom_node.errors import Problem, SettingsError
from dicom_node.values import PackageRef, derive_uid

from .example import Example, load_example
from .manifest import Manifest
from .stages import ORIENTATIONS, HeatMapDetect, NetworkClassify, Stage, spans_the_patient

# The parts of a package that its behaviour depends on; a corrected card is not another model.
_BEHAVIOUR_SUFFIXES = {".toml", ".onnx"}


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose files are right: its folder, its manifest, who it is, and the example that it must pass before it serves."""

    folder: Path
    manifest: Manifest
    ref: PackageRef
    example: Example


def load_package(folder: Path) -> Package:
    """Read and check the package in a folder; raises SettingsError with every problem that was found."""
    file = folder / "package.toml"
    problems: list[Problem] = []
    manifest, example = None, None
    try:
        manifest = parse_file(file, Manifest)
        problems += find_problems(file, manifest)
    except SettingsError as error:
        problems += error.problems
    try:
        example = load_example(folder / "example")
    except SettingsError as error:
        problems += error.problems
    if problems or manifest is None or example is None:
        raise SettingsError(tuple(problems))
    identity, digest = manifest.package, derive_package_digest(folder)
    ref = PackageRef(
        name=identity.name,
        version=identity.version,
        digest=digest,
        device_uid=derive_uid("device", identity.name, identity.version, digest),
        title=identity.title,
        manufacturer=identity.manufacturer,
        product=identity.qualification == "PRODUCT",
        is_shadow=identity.shadow,
    )
    return Package(folder=folder, manifest=manifest, ref=ref, example=example)


def find_problems(file: Path, manifest: Manifest) -> list[Problem]:
    """What the schema cannot see: stages that name a stage which is not before them, models that are not there, odd conditions."""
    problems: list[Problem] = []
    earlier: list[str] = []
    for number, stage in enumerate(manifest.stages):
        key = f"stages.{number}"
        if stage.name in earlier:
            problems.append(Problem(file, f"{key}.name", stage.name, "a name of its own"))
        for field in ("of", "inside"):
            wanted = getattr(stage, field, None)
            if wanted is not None and wanted not in earlier:
                problems.append(Problem(file, f"{key}.{field}", wanted, f"an earlier stage: {', '.join(earlier) or 'none'}"))
        model = getattr(stage, "model", None)
        if model is not None and (Path(model).name != model or not (file.parent / model).is_file()):
            problems.append(Problem(file, f"{key}.model", model, "an ONNX file in the package's own folder"))
        problems += _shape_problems(file, key, stage)
        earlier.append(stage.name)
    for number, output in enumerate(manifest.outputs):
        for field in ("stage", "laterality_from"):
            wanted = getattr(output, field)
            if wanted is not None and wanted not in earlier:
                problems.append(Problem(file, f"outputs.{number}.{field}", wanted, f"a stage: {', '.join(earlier)}"))
    for number, condition in enumerate(manifest.accept.conditions):
        if (condition.attribute is None) == (condition.geometry is None):
            problems.append(Problem(file, f"accept.conditions.{number}", "", "exactly one of attribute and geometry"))
        tests = ("one_of", "none_of", "contains_none", "at_least", "at_most")
        if not any(getattr(condition, test) is not None for test in tests):
            problems.append(Problem(file, f"accept.conditions.{number}", "", f"one of {', '.join(tests)}"))
    return problems


def _shape_problems(file: Path, key: str, stage: Stage) -> list[Problem]:
    """Grids that cannot be: axes that do not span the patient, quarter turns of a patch that is not square, channels that are none."""
    problems: list[Problem] = []
    grid = getattr(stage, "input", None)
    if grid is not None and not spans_the_patient(grid.orientation):
        problems.append(Problem(file, f"{key}.input.orientation", grid.orientation, ORIENTATIONS))
    if isinstance(stage, HeatMapDetect) and stage.window is not None and stage.window.skip is not None:
        outside = stage.window.skip.outside
        if len(outside) <= stage.channel:
            allowed = f"a value for each channel of the network, so for channel {stage.channel} too"
            problems.append(Problem(file, f"{key}.window.skip.outside", str(list(outside)), allowed))
    if isinstance(stage, NetworkClassify) and stage.rotations > 1:
        is_square = stage.size[0] == stage.size[1] and stage.spacing_mm[0] == stage.spacing_mm[1]
        if not is_square:
            problems.append(Problem(file, f"{key}.rotations", str(stage.rotations), "1, or a patch as high as it is wide"))
    return problems


def derive_package_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide what the package does; its example, in a folder below, does not."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in _BEHAVIOUR_SUFFIXES):
        content = file.read_bytes()
        digest.update(f"{file.name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
