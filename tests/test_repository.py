"""What may lie in the repository: no address of a registry, no path of somebody's machine, nothing large, decisions of one form."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import REPOSITORY

LARGEST_BYTES = 2_000_000
LARGEST_NETWORK_BYTES = 40_000_000
TEXT_SUFFIXES = {".py", ".toml", ".md", ".txt", ".sh", ".sql", ".lua", ".yml", ".yaml", ".json", ".cfg", ".lock", ".html", ".css", ""}


def tracked_files() -> list[Path]:
    """What git holds, or would take with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


def text_lines() -> Iterator[tuple[str, str]]:
    """Every line of every text file, with its place."""
    for path in tracked_files():
        if path.suffix in TEXT_SUFFIXES:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield f"{path.relative_to(REPOSITORY)}:{number}", line


def test_the_files_are_seen() -> None:
    names = {str(path.relative_to(REPOSITORY)) for path in tracked_files()}
    assert {"Makefile", "pyproject.toml", "requirements.lock", "tests/requirements.lock", "dicom_node/config.py"} <= names
    assert not any(name.startswith(".venv") for name in names)


@pytest.mark.parametrize("name", ["requirements.lock", "tests/requirements.lock"])
def test_lock_files_hold_versions_and_hashes_and_no_address(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    pins = re.findall(r"^([a-z0-9.-]+)(==\S+)?", text, flags=re.MULTILINE)
    assert len(pins) > 30
    assert [pin for pin, version in pins if not version] == []


def test_no_file_names_a_registry() -> None:
    hosts = re.compile(r"\b(" + "|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.org", "deb" + r"ian\.org/"]) + ")")
    assert [place for place, line in text_lines() if hosts.search(line)] == []


def test_no_file_holds_a_path_of_one_machine() -> None:
    folders = re.compile(r"(?<![\w.~-])/(work|home|root|Users)/")
    assert [place for place, line in text_lines() if folders.search(line) and "folders = " not in line] == []


def test_no_file_is_large_but_networks() -> None:
    limits = {".onnx": LARGEST_NETWORK_BYTES}
    large = [path for path in tracked_files() if path.stat().st_size > limits.get(path.suffix, LARGEST_BYTES)]
    assert large == []


def test_the_top_level_is_the_one_that_was_agreed() -> None:
    """house-style: a stranger finds everything at once."""
    allowed = {".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "config", "dicom_node", "docker", "docs", "models"}
    allowed |= {"pyproject.toml", "requirements.lock", "tests"}
    assert {path.relative_to(REPOSITORY).parts[0] for path in tracked_files()} <= allowed


def test_decisions_are_numbered_and_answer_the_five_questions() -> None:
    decisions = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
        text = path.read_text(encoding="utf-8")
        places = [text.find(heading) for heading in ("Question", "We do", "Because", "We gave up", "Look again when")]
        assert -1 not in places, path.name
        assert places == sorted(places), path.name


def test_programs_can_be_run() -> None:
    for name in (".ci/run", "tests/peers/install"):
        assert (REPOSITORY / name).stat().st_mode & 0o111 == 0o111, name
