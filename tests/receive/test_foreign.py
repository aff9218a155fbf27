"""Senders of others: DCMTK's storescu and pynetdicom's own."""

import os
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from dicom_node.config import DeliverSection, Peer
from dicom_node.deliver import Line, ask_move
from dicom_node.values import PeerName
from tests.make import write_dataset
from tests.peers.certificates import caller_context
from tests.peers.orthanc import Orthanc
from tests.peers.part10 import split_file
from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE

from . import receiving as setting
from .receiving import Running, make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way", "line")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with receiving(tmp_path) as running:
        yield running


def test_storescu_and_echoscu_are_served(running: Running, shared_data: Path, dcmtk: Callable[[str], str]) -> None:
    files = sorted((shared_data / "odd" / "mr_positions").rglob("*.dcm"))
    address = ["-aet", "MODALITY", "-aec", "NODE", *tls_options(), "127.0.0.1", str(running.port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    subprocess.run([dcmtk("echoscu"), *address], check=True, timeout=30, env=environment)
    subprocess.run([dcmtk("storescu"), "-xs", *address, *map(str, files)], check=True, timeout=60, env=environment)
    stored = running.stored()
    assert len(files) == len(stored) == 12
    for file in files:
        received = dcmread(BytesIO(stored[str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)]), force=True)
        assert received.PixelData == dcmread(file).PixelData  # DCMTK writes the data set anew, pixels stay


def tls_options() -> list[str]:
    """DCMTK's, where the receiver has TLS."""
    security = setting.security
    if security is None:
        return []
    return ["+tls", str(security.modality.key), str(security.modality.certificate), "+cf", str(security.authority.file)]


def test_pynetdicom_sends_with_its_own_defaults(running: Running) -> None:
    data_set = make_data_set()
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(CT_IMAGE, EXPLICIT_LITTLE)
    security = setting.security
    secure = None if security is None else (caller_context(security.authority.file, security.modality), "127.0.0.1")
    association = entity.associate("127.0.0.1", running.port, ae_title="NODE", tls_args=secure)
    assert association.is_established
    status = association.send_c_store(dcmread(BytesIO(b"\0" * 128 + b"DICM" + META + data_set)))
    association.release()
    assert status.Status == 0
    assert running.stored() == {"2.25.7": data_set}


META = b"\2\0\x10\0UI\x14\0" + EXPLICIT_LITTLE.encode() + b"\0"


def test_each_file_says_where_it_came_from(running: Running) -> None:
    with running.associate() as association:
        association.store(make_data_set(), CT_IMAGE, "2.25.7")
        association.release()
    instance = running.receipts.receipts[0].instance
    syntax, data_set = split_file(running.spool.path(instance))
    meta = dcmread(running.spool.path(instance)).file_meta
    assert (syntax, data_set) == (EXPLICIT_LITTLE, make_data_set())
    assert (meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle) == ("MODALITY", "MODALITY")
    assert meta.ReceivingApplicationEntityTitle == "NODE"
    assert meta.SourcePresentationAddress == "dicom://127.0.0.1"


@pytest.mark.parametrize(("originator", "is_asked_for"), [(None, None), ("NODE", True), ("VIEWER", False)])
def test_for_whom_an_image_is_sent_stands_in_its_receipt(running: Running, originator: str | None, is_asked_for: bool | None) -> None:
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(CT_IMAGE, EXPLICIT_LITTLE)
    security = setting.security
    secure = None if security is None else (caller_context(security.authority.file, security.modality), "127.0.0.1")
    association = entity.associate("127.0.0.1", running.port, ae_title="NODE", tls_args=secure)
    image = dcmread(BytesIO(b"\0" * 128 + b"DICM" + META + make_data_set()))
    association.send_c_store(image, originator_aet=originator, originator_id=None if originator is None else 7)
    association.release()
    (receipt,) = running.receipts.receipts
    assert receipt.is_asked_for is is_asked_for


def test_an_archive_says_that_the_node_asked_for_an_image(tmp_path: Path, orthanc: Orthanc) -> None:
    image = dcmread(BytesIO(b"\0" * 128 + b"DICM" + META + make_data_set()))
    orthanc.upload(write_dataset(image))
    peers = {"pacs": Peer(ae_title=orthanc.aet, host="127.0.0.1", port=orthanc.dicom_port, may=("send", "priors"))}
    line = Line(PeerName("pacs"), peers["pacs"], "NODE", DeliverSection())
    if setting.security is not None:
        pytest.skip("the archive is one without TLS")
    with receiving(tmp_path, peers=peers) as running:
        orthanc.add_modality("node", "NODE", running.port)
        ask_move(line, image.StudyInstanceUID, [image.SeriesInstanceUID])
        (receipt,) = running.receipts.receipts
    assert receipt.is_asked_for is True
