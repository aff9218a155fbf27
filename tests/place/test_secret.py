"""The site's secret is one, for its owner alone, and nobody gets the same digests without it."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.errors import SpoolFailed
from dicom_node.place import open_secret
from tests.places import REPOSITORY


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = open_secret(tmp_path / "data")
    file = tmp_path / "data" / "site.key"
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_size) == (0o600, 32)
    assert [one.name for one in file.parent.iterdir()] == ["site.key"]
    assert open_secret(tmp_path / "data").digest("a") == first.digest("a")
    assert open_secret(tmp_path / "other").digest("a") != first.digest("a")


def test_several_that_make_it_at_once_have_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from dicom_node.place import open_secret; print(open_secret(Path(sys.argv[1])).digest('a'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) for _ in range(4)]
    said = {one.communicate(timeout=60)[0] for one in started}
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_no_part_flows_into_the_next_and_none_is_read_from_it(tmp_path: Path) -> None:
    secret = open_secret(tmp_path)
    assert len({secret.digest("ab", "c"), secret.digest("a", "bc"), secret.digest("abc"), secret.digest("ab", "c", "")}) == 4
    assert "4711" not in secret.digest("4711")
    assert (tmp_path / "site.key").read_bytes().hex() not in repr(secret)


def test_a_disk_that_is_away_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolFailed):
        open_secret(tmp_path / "file")
