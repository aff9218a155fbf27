"""Small objects to deliver: a segmentation and a report by their SOP classes, with little in them. And peers with one service."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE, evt

from dicom_node.config import DeliverSection, Peer
from dicom_node.deliver import Acknowledged
from tests.make.series import make_series, write_dataset

LIMITS = DeliverSection(connect_timeout_s=5.0, response_timeout_s=5.0)


def write_result(folder: Path, *, size: int = 64, segmentation: str = SegmentationStorage) -> tuple[Path, Path]:
    """The files of a segmentation and of a report, in this order; about 2 * `size`**2 bytes each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, sop_class in (("segmentation", segmentation), ("report", Comprehensive3DSRStorage)):
        (dataset,) = make_series(lambda lps: np.zeros(lps.shape[:-1]), shape=(1, size, size), name=name, sop_class=sop_class)
        file = folder / f"{name}.dcm"
        file.write_bytes(write_dataset(_whole(dataset)))
        files.append(file)
    return files[0], files[1]


def _whole(dataset: Dataset) -> Dataset:
    # what a reader writes anew in another way: undefined lengths and a private element
    dataset.RequestAttributesSequence[0].is_undefined_length_sequence_item = True
    dataset["RequestAttributesSequence"].is_undefined_length = True
    dataset.private_block(0x0011, "TEST", create=True).add_new(0x01, "LO", "kept")
    return dataset


def peer_at(port: int, ae_title: str = "PACS", *, deflate: bool = False) -> Peer:
    return Peer(ae_title=ae_title, host="127.0.0.1", port=port, may=("receive", "count"), deflate=deflate)


def acknowledged(files: Sequence[Path]) -> list[Acknowledged]:
    """The names of the objects in files."""
    headers = [dcmread(file, stop_before_pixels=True) for file in files]
    return [
        Acknowledged(str(one.SOPClassUID), str(one.SOPInstanceUID), str(one.SeriesInstanceUID), str(one.StudyInstanceUID))
        for one in headers
    ]


class Listener:
    """A peer with one service and one handler."""

    def __init__(self, sop_class: str, *handlers: tuple[evt.EventType, Callable[..., object]]) -> None:
        self._entity = AE(ae_title="PACS")
        self._entity.add_supported_context(sop_class)
        self._handlers = list(handlers)

    def __enter__(self) -> int:
        server = self._entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=self._handlers)
        return int(server.socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._entity.shutdown()
