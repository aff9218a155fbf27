"""The bytes of all instances on disk: put, open, list, remove."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dicom_node.errors import UnacceptableInstance
from dicom_node.values import AETitle, InstanceRef, Receipt, derive_digest

from . import folder
from .file_meta import FileMeta, encode_file_meta, parse_file_meta
from .identity import Identity, read_identity

_BLOCK_BYTES = 1 << 20


class Spool:
    """A folder with one Part 10 file per instance; the data set's bytes stand in it exactly as they came.

    A file is named by a digest of its UIDs and transfer syntax and by the digest of its bytes, so that putting the same
    instance twice is one file, other bytes under the same UID are another, and no name holds a value of the patient.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        return self._root

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
        return Incoming(self._root, FileMeta(sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling, called, len(meta)), meta)

    def open(self, instance: InstanceRef) -> BinaryIO:
        """The instance's file for reading, at the start of its data set. Raises SpoolFailed."""
        with folder.disk_errors():
            file = open(self.path(instance), "rb")  # noqa: SIM115  (the caller closes it)
            file.seek(instance.offset)
            return file

    def path(self, instance: InstanceRef) -> Path:
        """Where the instance's Part 10 file lies."""
        return self._root / instance.file

    def list(self) -> Iterator[Receipt]:
        """The receipts of all instances, read back from the files alone, so that an empty journal can be filled again.

        Files that are none of ours, and those whose identity cannot be read, are passed over: they were never acknowledged.
        `association` is empty, since none feeds them any more.
        """
        # In the order of arrival: of two instances with one UID the first is the one that counts, also after the journal is lost.
        for path in sorted(self._root.glob("*/*.dcm"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
            with folder.disk_errors(), open(path, "rb") as file:
                meta = parse_file_meta(file)
                if meta is None:
                    continue
                length = os.fstat(file.fileno()).st_size - meta.offset
                try:
                    identity = read_identity(file, meta.offset, length, meta.transfer_syntax_uid)
                except UnacceptableInstance:
                    continue
            yield _receipt(meta, identity, _reference(meta, path.stem.rpartition("-")[2], length))

    def remove(self, instance: InstanceRef) -> None:
        """Remove the instance's file; one that is gone already is no error. Raises SpoolFailed."""
        path = self.path(instance)
        with folder.disk_errors():
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                folder.flush_folder(path.parent)

    def remove_leftovers(self) -> int:
        """Remove what a crash left half written; gives the number of files. Raises SpoolFailed."""
        with folder.disk_errors():
            folder.make_folder(self._root)
            return folder.remove_leftovers(self._root)

    def used_percent(self) -> float:
        """How full the spool's disk is for us, in percent. Raises SpoolFailed."""
        with folder.disk_errors():
            usage = shutil.disk_usage(self._root)
        return 100.0 * usage.used / max(usage.used + usage.free, 1)  # as df counts: without what is reserved for root


class Incoming:
    """One instance on its way to the disk: `write` as bytes arrive, then `keep` or `drop`. Used by one thread at a time."""

    def __init__(self, root: Path, meta: FileMeta, head: bytes) -> None:
        self._root, self._meta = root, meta
        self._digest = hashlib.sha256()
        self._length = 0
        with folder.disk_errors():
            self._part, self._file = folder.create_part(root / _shard(meta), _stem(meta))
        self._is_open = True
        self._write(head)

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes of the data set. Raises SpoolFailed."""
        self._write(content)
        self._digest.update(content)
        self._length += len(content)

    def read_identity(self) -> Identity:
        """The UIDs in the data set as far as it has arrived. Raises UnacceptableInstance, SpoolFailed."""
        with folder.disk_errors():
            self._file.flush()
            identity = read_identity(self._file, self._meta.offset, self._length, self._meta.transfer_syntax_uid)
            self._file.seek(0, os.SEEK_END)
        return identity

    def keep(self) -> InstanceRef:
        """Make the instance durable under its name; returns when it would survive a power cut. Raises SpoolFailed."""
        instance = _reference(self._meta, self._digest.hexdigest(), self._length)
        target = self._root / instance.file
        try:
            with folder.disk_errors():
                if target.exists() and target.stat().st_size == self._meta.offset + self._length:
                    folder.drop(self._part, self._file)  # the same bytes are there; the first file says who sent them first
                    folder.flush_folder(target.parent)  # whoever put it may not have come so far yet
                else:
                    folder.keep(self._part, self._file, target)
                self._is_open = False
        finally:
            self.drop()
        return instance

    def drop(self) -> None:
        """Throw away what was written; nothing happens after `keep`."""
        if not self._is_open:
            return
        self._is_open = False
        with folder.disk_errors():
            folder.drop(self._part, self._file)

    def _write(self, content: bytes | memoryview) -> None:
        with folder.disk_errors():
            self._file.write(content)


def _shard(meta: FileMeta) -> str:
    return _stem(meta)[:2]


def _stem(meta: FileMeta) -> str:
    """Of the transfer syntax too: the same bytes in two syntaxes are two files, each with its own meta information."""
    return derive_digest(meta.sop_instance_uid, meta.sop_class_uid, meta.transfer_syntax_uid)[:32]


def _reference(meta: FileMeta, digest: str, length: int) -> InstanceRef:
    return InstanceRef(
        sop_instance_uid=meta.sop_instance_uid,
        sop_class_uid=meta.sop_class_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        digest=digest,
        file=f"{_shard(meta)}/{_stem(meta)}-{digest}.dcm",
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
