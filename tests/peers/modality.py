"""A modality that sends images as they are: data sets that a test made, or files with every byte that they have."""

import io
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from tests.peers.part10 import EXPLICIT_LITTLE, Encoded
from tests.peers.sender import RawAssociation


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
    plain = DicomIO(buffer)
    plain.is_little_endian, plain.is_implicit_VR = True, False
    write_dataset(plain, data_set)
    return Encoded(str(data_set.SOPClassUID), str(data_set.SOPInstanceUID), EXPLICIT_LITTLE, buffer.getvalue())
