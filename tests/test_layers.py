"""Five things of form, because a promise hangs on each: imports point down, the middle is pure, nothing random and no clock of
one's own, no blind except. (The fifth, no free text in a log event, is in test_log.py.)"""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import REPOSITORY

PACKAGE = REPOSITORY / "dicom_node"
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}

# The parts of `infer` that are not pure: its doors, what starts, asks, keeps and is the process, and the networks in it.
INFER_PROCESS = {"__init__", "process", "child", "device", "request", "sessions", "tuning"}

# The one place in the middle that reads a file: the pixels that it was handed the path of.
READS_PIXELS = {"assemble/frames.py"}

# The outermost handlers: they record what nobody expected, answer or close the job, and go on. One per process and per association;
# in `receive` the association has five callbacks of pynetdicom's (a request, a fragment, an object, a report, a refusal), each of
# which must answer.
OUTERMOST = {
    "cli.py": 1,
    "roles/worker.py": 3,
    "priors.py": 2,  # a search, in a thread of its own
    "infer/child.py": 1,
    "journal/instances.py": 1,
    "receive/fast.py": 1,  # what the fast way receives
    "receive/storage.py": 1,
    "receive/server.py": 4,
}


# -- imports point down -----------------------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([program, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120)


def test_imports_point_down_and_the_middle_is_pure() -> None:
    done = lint_imports(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "wrong", "said"),
    [
        ("values/keys.py", "from dicom_node import errors", "dicom_node.values is not allowed to import dicom_node.errors"),
        ("spool/spool.py", "from dicom_node import assemble", "dicom_node.spool is not allowed to import dicom_node.assemble"),
        ("select/judge.py", "from dicom_node import assemble", "dicom_node.select is not allowed to import dicom_node.assemble"),
        ("journal/store.py", "import dicom_node.pipeline", "dicom_node.journal is not allowed to import dicom_node.pipeline"),
        ("encode/seg.py", "from dicom_node.log import log", "dicom_node.encode is not allowed to import dicom_node.log"),
        ("assemble/geometry.py", "import time", "dicom_node.assemble is not allowed to import time"),
        ("infer/windows.py", "def late():\n    import socket", "dicom_node.infer.windows is not allowed to import socket"),
        ("helpers/__init__.py", "", "helpers"),
    ],
)
def test_an_import_that_points_up_is_stopped(tmp_path: Path, file: str, wrong: str, said: str) -> None:
    """The contracts stop what they should, also inside a function; a new folder must say where it stands."""
    shutil.copytree(PACKAGE, tmp_path / "dicom_node", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    path = tmp_path / "dicom_node" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{wrong}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode != 0, done.stdout
    assert said in done.stdout


def test_every_module_of_infer_is_pure_or_belongs_to_its_process() -> None:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (pure,) = (contract["source_modules"] for contract in contracts if contract["id"] == "pure")
    listed = {module.rsplit(".", 1)[1] for module in pure if module.startswith("dicom_node.infer.")}
    there = {path.stem for path in (PACKAGE / "infer").glob("*.py")}
    assert listed == there - INFER_PROCESS
    assert listed >= {"inputs", "windows", "detect", "measure"}


# -- the middle is pure -----------------------------------------------------------------------------------------------------


def pure_files() -> Iterator[str]:
    for name in FILES:
        folder, _, rest = name.rpartition("/")
        if folder in {"assemble", "select", "follow", "encode", "values"} or (folder == "infer" and Path(rest).stem not in INFER_PROCESS):
            yield name


@pytest.mark.parametrize("name", list(pure_files()))
def test_a_pure_module_reads_and_writes_nothing(name: str) -> None:
    """No file, no environment, no print: what it has to say is in its value."""
    tree = parse(name)
    builtins = {"open", "print", "input", "exec", "eval", "compile", "__import__"}
    methods = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir", "touch", "environ", "getenv", "iterdir"}
    if name in READS_PIXELS:
        methods -= {"open", "read_bytes"}
    found = [f"{node.id} in line {node.lineno}" for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in builtins]
    found += [f".{node.attr} in line {node.lineno}" for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in methods]
    assert found == []


# -- no clock, nothing random -----------------------------------------------------------------------------------------------

FORBIDDEN = (
    *("time", "random", "secrets", "uuid.uuid1", "uuid.uuid4", "numpy.random", "os.urandom", "pydicom.uid.generate_uid"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "threading.Timer"),
    *("highdicom.UID", "highdicom.uid.UID"),  # made without an argument they are random
)


def used_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every dotted name that a module uses, written out as imported, with its line."""
    meaning: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                meaning[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                meaning[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}", node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, parts = node.value, [node.attr]
            while isinstance(head, ast.Attribute):
                head, parts = head.value, [head.attr, *parts]
            if isinstance(head, ast.Name) and head.id in meaning:
                yield ".".join([meaning[head.id], *parts]), node.lineno


def find_forbidden(tree: ast.AST) -> list[str]:
    return [
        f"{name} in line {line}"
        for name, line in used_names(tree)
        if any(name == forbidden or name.startswith(f"{forbidden}.") for forbidden in FORBIDDEN)
    ]


# Time comes from the one; the other makes the site's secret, once, which decides no byte of what is sent.
@pytest.mark.parametrize("name", [name for name in FILES if name not in ("clock.py", "place/secret.py")])
def test_time_and_chance_come_from_outside(name: str) -> None:
    """Same inputs, same bytes: UIDs are derived, time is injected by clock.py."""
    assert find_forbidden(parse(name)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from time import monotonic",
        "import datetime as d\nd.datetime.now()",
        "from datetime import datetime\ndatetime.now(tz)",
        "from uuid import uuid4",
        "import uuid\nuuid.uuid4()",
        "import numpy as np\nnp.random.default_rng(1)",
        "from pydicom.uid import UID, generate_uid",
        "import pydicom\npydicom.uid.generate_uid()",
    ],
)
def test_each_way_to_time_and_chance_is_seen(code: str) -> None:
    assert find_forbidden(ast.parse(code)) != []


@pytest.mark.parametrize(
    "code", ["import uuid\nuuid.uuid5(a, b)", "from datetime import datetime\ndatetime.fromtimestamp(1, tz)", "x.time()"]
)
def test_what_is_derived_is_allowed(code: str) -> None:
    assert find_forbidden(ast.parse(code)) == []


# -- no blind except --------------------------------------------------------------------------------------------------------


def find_blind(tree: ast.AST) -> list[int]:
    """Lines of handlers that catch whatever comes and keep it; one that raises it again at its end only looks on."""
    handlers = [
        (node.type, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
    ]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".", 1)[-1] == "suppress"]
    handlers += [(argument, call.lineno) for call in calls for argument in call.args]
    found = []
    for kind, line in handlers:
        kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
        if any(one is None or ast.unparse(one) in {"Exception", "BaseException"} for one in kinds):
            found.append(line)
    return found


def test_only_the_outermost_handlers_catch_what_nobody_expected() -> None:
    found = Counter({name: len(find_blind(parse(name))) for name in FILES})
    assert +found == OUTERMOST


@pytest.mark.parametrize(
    "code",
    [
        "try: x\nexcept: y",
        "try: x\nexcept Exception: y",
        "try: x\nexcept (ValueError, BaseException): y",
        "with contextlib.suppress(Exception): x",
    ],
)
def test_each_way_to_catch_blindly_is_seen(code: str) -> None:
    assert len(find_blind(ast.parse(code))) == 1


# -- where the outside is opened ---------------------------------------------------------------------------------------------


def test_a_data_set_is_never_a_parameter_between_parts() -> None:
    """The spool opens headers, assemble pixels, encode builds, receive and deliver speak with peers: elsewhere there are values."""
    opened = {"pydicom.dataset.Dataset", "pydicom.Dataset", "pydicom.dcmread"}
    users = {name.split("/")[0] for name in FILES for used, _ in used_names(parse(name)) if used in opened}
    assert users <= {"spool", "assemble", "encode", "receive", "deliver"}


def parse(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))
