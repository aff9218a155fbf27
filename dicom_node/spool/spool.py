"""The bytes of all instances: put, open, list, remove; in a folder, or in a bucket of an object store."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dicom_node.config import Config
from dicom_node.errors import SpoolFailed, UnacceptableInstance
from dicom_node.place import Folder, Place, folder, map_ahead, open_place
from dicom_node.values import AETitle, InstanceRef, Receipt, derive_digest

from .file_meta import FileMeta, encode_file_meta, parse_file_meta
from .identity import Identity, parse_identity, read_identity

_BLOCK_BYTES = 1 << 20
_START_BYTES = 1 << 13


class Spool:
    """One Part 10 file per instance; the data set's bytes stand in it exactly as they came.

    A file is named by a digest of its UIDs and transfer syntax and by the digest of its bytes, so that putting the same
    instance twice is one file, other bytes under the same UID are another, and no name holds a value of the patient.
    """

    def __init__(self, place: Path | Place) -> None:
        self._place: Place = Folder(place) if isinstance(place, Path) else place

    def put(
        self,
        content: bytes | bytearray | memoryview | BinaryIO,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling: AETitle,
        called: AETitle,
        source: str,
    ) -> InstanceRef:
        """Store a data set durably; a file is read to its end, block by block. Raises SpoolFailed."""
        incoming = self.begin(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling=calling,
            called=called,
            source=source,
        )
        file = io.BytesIO(content) if isinstance(content, bytes | bytearray | memoryview) else content
        try:
            while block := file.read(_BLOCK_BYTES):
                incoming.write(block)
            return incoming.keep()
        finally:
            incoming.drop()

    def begin(
        self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling: AETitle, called: AETitle, source: str
    ) -> "Incoming":
        """Begin a file that is written as its bytes arrive. Raises SpoolFailed."""
        meta = encode_file_meta(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling=calling,
            called=called,
            source=source,
        )
        return Incoming(self._place, FileMeta(sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling, called, len(meta)), meta)

    def open(self, instance: InstanceRef) -> BinaryIO:
        """The instance's file for reading, at the start of its data set. Raises SpoolFailed."""
        with disk_errors():
            file = self._place.open(instance.file)
            file.seek(instance.offset)
            return file

    def has(self, instance: InstanceRef) -> bool:
        """Whether the instance's file is there. Raises SpoolError."""
        with disk_errors():
            return self._place.has(instance.file)

    def local_root(self, instances: Sequence[InstanceRef]) -> Path:
        """The folder under which the instances' files lie on this machine, where they are to be read now. Raises SpoolError."""
        with disk_errors():
            return self._place.local([(instance.file, instance.offset + instance.length) for instance in instances])

    def path(self, instance: InstanceRef) -> Path:
        """Where the instance's Part 10 file lies on this machine. Raises SpoolError."""
        return self.local_root((instance,)) / instance.file

    def list(self) -> Iterator[Receipt]:
        """The receipts of all instances, read back from the files alone, so that an empty journal can be filled again.

        Files that are none of ours, and those whose identity cannot be read, are passed over: they were never acknowledged.
        `association` is empty, since none feeds them any more.
        """
        with disk_errors():
            for receipt in map_ahead(self._read_receipt, self._place.list(), self._place.readers):
                if receipt is not None:
                    yield receipt

    def _read_receipt(self, entry: tuple[str, int]) -> Receipt | None:
        name, size = entry
        try:
            with self._place.open(name, size) as file:
                meta = parse_file_meta(file)
                if meta is None:
                    return None
                identity = read_identity(file, meta.offset, size - meta.offset, meta.transfer_syntax_uid)
        except (UnacceptableInstance, FileNotFoundError):  # the latter: removed by a rule since it was listed
            return None
        return _receipt(meta, identity, _reference(meta, _stem(meta), Path(name).stem.rpartition("-")[2], size - meta.offset))

    def has_any(self) -> bool:
        """Whether there is an instance at all."""
        with disk_errors():
            return self._place.has_any()

    def misses_any(self, instances: Sequence[InstanceRef]) -> bool:
        """Whether the file of an instance is gone though the place is there where they lie: a disk that is away misses none."""
        with disk_errors():
            return self._place.is_there() and not all(self._place.has(instance.file) for instance in instances)

    def remove(self, instance: InstanceRef) -> None:
        """Remove the instance's file; one that is gone already is no error. Raises SpoolFailed."""
        self.remove_file(instance.file)

    def remove_file(self, file: str) -> None:
        """Remove a file by its name in the spool, as the journal has it. Raises SpoolFailed."""
        with disk_errors():
            self._place.remove(file)

    def remove_leftovers(self) -> int:
        """Remove what a crash left half written; gives the number of files. Raises SpoolFailed."""
        with disk_errors():
            return self._place.remove_leftovers()

    def used_percent(self) -> float:
        """How full the disk is for us that images arrive on, in percent. Raises SpoolFailed."""
        with disk_errors():
            return self._place.used_percent()

    def tidy(self) -> None:
        """Remove what is here only to be at hand, and was not for long. Raises SpoolFailed."""
        with disk_errors():
            self._place.tidy()


class Incoming:
    """One instance on its way to the disk: `write` as bytes arrive, then `keep` or `drop`. Used by one thread at a time.

    `was_there` says after `keep` whether its file had been there before.
    """

    def __init__(self, place: Place, meta: FileMeta, head: bytes) -> None:
        self._place, self._meta = place, meta
        self._digest = hashlib.sha256()
        self._length = 0
        self._start = bytearray()  # of the data set, in which the UIDs nearly always are
        self.was_there = False
        self._stem = _stem(meta)
        with disk_errors():
            self._part, self._file = place.begin(f"{_shard(self._stem)}/{self._stem}")
        self._is_open = True
        self._write(head)

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes of the data set. Raises SpoolFailed."""
        self._write(content)
        self._digest.update(content)
        if self._length < _START_BYTES:
            self._start += content[: _START_BYTES - self._length]
        self._length += len(content)

    def read_identity(self) -> Identity:
        """The UIDs in the data set as far as it has arrived. Raises UnacceptableInstance, SpoolFailed."""
        with suppress(UnacceptableInstance):  # its start alone may be too little, or deflated
            return parse_identity(bytes(self._start), self._meta.transfer_syntax_uid)
        with disk_errors():
            self._file.flush()
            identity = read_identity(self._file, self._meta.offset, self._length, self._meta.transfer_syntax_uid)
            self._file.seek(0, os.SEEK_END)
        return identity

    def keep(self) -> InstanceRef:
        """Make the instance durable under its name; returns when it would survive a power cut. Raises SpoolFailed."""
        instance = _reference(self._meta, self._stem, self._digest.hexdigest(), self._length)
        try:
            with disk_errors():
                self.was_there = self._place.keep(self._part, self._file, instance.file, instance.offset + instance.length)
                self._is_open = False
        finally:
            self.drop()
        return instance

    def drop(self) -> None:
        """Throw away what was written; nothing happens after `keep`."""
        if not self._is_open:
            return
        self._is_open = False
        with disk_errors():
            folder.drop(self._part, self._file)

    def _write(self, content: bytes | memoryview) -> None:
        with disk_errors():
            self._file.write(content)


def open_spool(config: Config) -> Spool:
    """The spool of a configuration."""
    return Spool(open_place(config, "spool"))


@contextmanager
def disk_errors() -> Iterator[None]:
    """What the operating system refuses becomes SpoolFailed with its error number."""
    try:
        yield
    except OSError as cause:
        raise SpoolFailed(cause.errno or 0) from cause


def _shard(stem: str) -> str:
    return stem[:2]


def _stem(meta: FileMeta) -> str:
    """Of the transfer syntax too: the same bytes in two syntaxes are two files, each with its own meta information."""
    return derive_digest(meta.sop_instance_uid, meta.sop_class_uid, meta.transfer_syntax_uid)[:32]


def _reference(meta: FileMeta, stem: str, digest: str, length: int) -> InstanceRef:
    return InstanceRef(
        sop_instance_uid=meta.sop_instance_uid,
        sop_class_uid=meta.sop_class_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        digest=digest,
        file=f"{_shard(stem)}/{stem}-{digest}.dcm",
        offset=meta.offset,
        length=length,
    )


def _receipt(meta: FileMeta, identity: Identity, instance: InstanceRef) -> Receipt:
    return Receipt(
        instance=instance,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        calling=meta.calling,
        called=meta.called,
        association="",
    )
