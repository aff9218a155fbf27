"""An inference process whose package loader does what the package's folder is called: the real loop, with accidents on demand."""

import ctypes
import errno
import os
import sys
import time
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.infer import process
from dicom_node.package import Package, load_package
from dicom_node.values import Geometry, InstanceRef, Reason, SeriesHeaders
from dicom_node.values.reasons import NoPixels


class Unheard(Exception):
    """Its message holds what no log may show."""


def load(folder: Path) -> Package:
    match folder.name.partition("-")[0]:
        case "raise":
            raise Unheard("Muster^Erika")
        case "disk":
            raise SpoolFailed(errno.EIO)
        case "full":
            raise OSError(errno.ENOMEM, "at the model's own limit")
        case "hang":
            time.sleep(600)
        case "kill":
            os.kill(os.getpid(), 9)
        case "crash":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "print":
            os.write(1, b'{"error": "from a library"}\n' * 5)
            print("hello")
        case "memory":
            bytearray(3 << 30)
    return load_package(folder)


def read_headers(root: Path, instances: object, *, series_instance_uid: str, study_instance_uid: str, rule: object) -> SeriesHeaders:
    return SeriesHeaders(series_instance_uid, study_instance_uid, ())


def read_ahead(root: Path, instances: tuple[InstanceRef, ...]) -> None:
    """The root's name says what happens, as a package's folder does."""
    if root.name == "crash":
        ctypes.string_at(0)
    (root / "read-ahead").write_text(" ".join(instance.file for instance in instances), encoding="utf-8")


def read_volume(root: Path, headers: SeriesHeaders, geometry: Geometry) -> Reason:
    return NoPixels()


def read_volume_ahead(root: Path, headers: SeriesHeaders, geometry: Geometry) -> None:
    (root / "volume-ahead").write_text(f"{headers.series_instance_uid} {geometry.shape}", encoding="utf-8")


def forget(error: BaseException) -> None:
    """The node's own process logs its class here."""


def main(mode: str, replies: int) -> None:
    if mode == "silent":
        time.sleep(600)
    if mode == "dead":
        sys.exit(7)
    if mode == "babble":
        os.write(replies, b"this is no reply\n")
    readers = process.Readers(
        read_headers=read_headers,
        read_ahead=read_ahead,
        read_volume=read_volume,
        read_volume_ahead=read_volume_ahead,
        load_package=load,
        monotonic=time.monotonic,
    )
    with os.fdopen(replies, "wb") as answers:
        process.serve(sys.stdin.buffer, answers, readers, process.Sessions(1), forget)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
