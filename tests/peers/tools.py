"""The programs of others that tests run: found, or the test says why it cannot run. In CI nothing may be missing."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def find_program(name: str) -> str | None:
    """A program of the machine's, not the script of the same name that a Python package put beside our interpreter.

    pynetdicom brings its own `storescu`, which would stand before DCMTK's in the search path of an active environment.
    """
    own = Path(sys.prefix, "bin")
    elsewhere = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder) != own]
    return shutil.which(name, path=os.pathsep.join([*elsewhere, "/usr/sbin"]))


def need_program(name: str) -> str:
    """The path of a program, or the end of the test: skipped with the reason, in CI failed."""
    found = find_program(name)
    if found is None:
        give_up(f"{name} is not installed (tests/peers/install)")
    return found


def give_up(reason: str) -> NoReturn:
    """Skip the test with the reason; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
