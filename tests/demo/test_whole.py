"""The README's first command, from end to end."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.places import REPOSITORY

LAST_LINE = r"demo: received=(\d+) lost=(\d+) doubled=(\d+) planted=(\d+) found=(\d+) objects=(\d+) delivered=(\d+) seconds=\d+(\.\d+)?"


def test_the_demo_finds_what_was_planted_and_says_so_in_its_last_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", "--out", str(out)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.fullmatch(LAST_LINE, done.stdout.splitlines()[-1])
    assert match, done.stdout
    received, lost, doubled, planted, found, objects, delivered = (int(number) for number in match.groups()[:7])
    assert (lost, doubled) == (0, 0)
    assert received > 100
    assert (planted, found) == (4, 4)
    assert (objects, delivered) == (2, 2)
    assert len(list((out / "objects").glob("*.dcm"))) == 2
    with Image.open(out / "overview.png") as picture:
        assert picture.size[1] > 4 * 200  # a row for each finding
