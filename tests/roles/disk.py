"""What lies on a node's disk: images in its spool, results and their records beside them; no journal yet."""

from collections.abc import Mapping
from pathlib import Path

from dicom_node.config import Config, NodeFile, Peer, RetentionSection
from dicom_node.journal import Kept
from dicom_node.spool import Spool
from dicom_node.values import AETitle, Role
from dicom_node.values.records import DeliveryRecord, ResultRecord, SentObject
from tests.receive.receiving import CT_IMAGE, make_data_set

PEERS = {
    "pacs": Peer(ae_title="PACS", host="127.0.0.1", port=104, may=("receive",), proof="commitment"),
    "viewer": Peer(ae_title="VIEWER", host="127.0.0.1", port=104, may=("receive",)),
}
STUDY, SERIES = "2.25.2", "2.25.3"


def make_config(folder: Path, *, database: str = "", peers: Mapping[str, Peer] = PEERS, **rules: float) -> Config:
    """A node whose data lie in the folder; `rules` are those of retention."""
    node = NodeFile(ae_title="NODE", data=folder, models=(), retention=RetentionSection.model_validate(rules))
    database = database or f"sqlite:///{folder / 'journal.sqlite'}"
    return Config(file=folder / "node.toml", node=node, peers=dict(peers), data=folder, models=(), database=database)


def put_images(config: Config, count: int, *, study: str = STUDY, series: str = SERIES, first: int = 0) -> list[Path]:
    """So many images of a series in the spool; gives their files."""
    spool = Spool(config.spool)
    files = []
    for number in range(first, first + count):
        uid = f"{series}.{number}"
        content = make_data_set(uid, series_instance_uid=series, study_instance_uid=study)
        instance = spool.put(
            content,
            sop_class_uid=CT_IMAGE,
            sop_instance_uid=uid,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            calling=AETitle("CT1"),
            called=AETitle("NODE"),
            source="127.0.0.1",
        )
        files.append(spool.path(instance))
    return files


def keep_result(config: Config, number: int, *, study: str = STUDY, predecessor: str | None = None, kept: str | None = None) -> str:
    """A result with its value (or the name of one that is gone) and its record; gives its key."""
    folder = Kept(config.kept)
    key = f"{number:064x}"
    name = folder.write_value(("the value of", key)) if kept is None else kept
    folder.write_record(ResultRecord(key, study, SERIES, 0, "package", "1", predecessor, 1, name, 1000.0 + number))
    return key


def keep_objects(config: Config, key: str, destination: str) -> tuple[str, ...]:
    """A segmentation and a report that were made of a result for a destination, with their record; gives the names of their files."""
    folder = Kept(config.kept)
    files = [
        folder.write_bytes(f"{role.value} of {key} for {destination}".encode(), suffix="dcm") for role in (Role.SEGMENTATION, Role.REPORT)
    ]
    objects = tuple(
        SentObject(number, role, "1.2.840.10008.5.1.4.1.1.88.34", f"2.25.{int(key, 16)}.{number}", "2.25.9", file)
        for number, (role, file) in enumerate(zip((Role.SEGMENTATION, Role.REPORT), files, strict=True))
    )
    folder.write_record(DeliveryRecord(key, destination, objects))
    return tuple(files)
