"""A folder and a bucket alike: what each test of the verbs runs on."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from dicom_node.place import Folder, Place
from dicom_node.place.bucket import Bucket
from tests.peers.bucket import ImitatedS3

Opening = Callable[[Literal["spool", "kept"]], Place]


@pytest.fixture(params=["folder", "bucket of imitated S3"])
def opening(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Opens the same place each time, as another process would."""
    if request.param == "folder":
        return lambda part: Folder(tmp_path / part)
    store: ImitatedS3 = request.getfixturevalue("imitated_s3")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    address = store.create()
    return lambda part: Bucket(address, part, tmp_path / "machine", 10**9)
