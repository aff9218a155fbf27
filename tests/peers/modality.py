"""A modality that sends images as they are: data sets that a test made, or files with every byte that they have."""

import io
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset

from tests.peers.sender import RawAssociation, Rejected

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Encoded:
    """An instance as it goes over the network."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


class Modality:
    """Sends instances to a node, over one association for each SOP class and transfer syntax; all stay open until the end."""

    def __init__(self, port: int, *, calling: str = "MODALITY") -> None:
        self._port, self._calling = port, calling
        self._associations: dict[tuple[str, str], RawAssociation] = {}
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for association in self._associations.values():
            if kind is None:
                association.release()
            else:
                association.connection.close()

    def store(self, instance: Dataset | Encoded) -> int | None:
        """The status of the answer; None where the node does not take the class in this transfer syntax."""
        encoded = encode(instance) if isinstance(instance, Dataset) else instance
        key = (encoded.sop_class_uid, encoded.transfer_syntax_uid)
        if key not in self._associations:
            self._associations[key] = RawAssociation(
                self._port, [(key[0], [key[1]])], calling=self._calling, pdu_bytes=65_536, timeout_s=60.0
            )
        association = self._associations[key]
        if not association.accepted:
            return None
        self._sent += 1
        answer = association.store(encoded.data_set, encoded.sop_class_uid, encoded.sop_instance_uid, message_id=self._sent % 65_535 + 1)
        assert answer.sop_instance_uid == encoded.sop_instance_uid
        return answer.status

    def hang_up(self) -> None:
        """Close every connection without a word."""
        for association in self._associations.values():
            association.connection.close()
        self._associations.clear()


def encode(data_set: Dataset) -> Encoded:
    """A data set of a test, explicit little endian."""
    buffer = io.BytesIO()
    plain = pydicom.filebase.DicomIO(buffer)
    plain.is_little_endian, plain.is_implicit_VR = True, False
    write_dataset(plain, data_set)
    return Encoded(str(data_set.SOPClassUID), str(data_set.SOPInstanceUID), EXPLICIT_LITTLE, buffer.getvalue())


def read_encoded(path: Path) -> Encoded | None:
    """A file's data set with every byte that it has, and the names under which a sender could send it; None where it has none."""
    try:
        meta = read_file_meta_info(path)
    except (pydicom.errors.InvalidDicomError, EOFError, ValueError):
        return None
    names = [str(meta.get(name, "")) for name in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")]
    if not all(names) or "FileMetaInformationGroupLength" not in meta:
        return None
    content = path.read_bytes()[132 + 12 + int(meta.FileMetaInformationGroupLength) :]
    return Encoded(names[0], names[1], names[2], content)


__all__ = ["EXPLICIT_LITTLE", "Encoded", "Modality", "Rejected", "encode", "read_encoded"]
