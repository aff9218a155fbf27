"""Odd but real files over one running receiver: each is answered, what is acknowledged is stored as it came, nothing else happens."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from dicom_node.spool import read_headers
from dicom_node.values import CompletenessRule, Reason
from tests.peers.part10 import Encoded, read_encoded
from tests.peers.sender import RawAssociation

from .receiving import Running, receiving

pytestmark = pytest.mark.usefixtures("way")


def find_sendable(folder: Path) -> tuple[list[tuple[Path, Encoded]], list[Path]]:
    """What a C-STORE can carry, and the rest: no UID, no syntax."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    read = [(file, read_encoded(file)) for file in files]
    return [(file, encoded) for file, encoded in read if encoded], [file for file, encoded in read if not encoded]


def store(running: Running, encoded: Encoded) -> int | None:
    """The status; None where the context is rejected, which is an answer too."""
    sop_class = encoded.sop_class_uid
    with RawAssociation(running.port, ((sop_class, (encoded.transfer_syntax_uid,)),), pdu_bytes=131_072) as association:
        if association.context_for(sop_class) is None:
            association.release()
            return None
        status = association.store(encoded.data_set, sop_class, encoded.sop_instance_uid).status
        association.release()  # it lives
        return status


def test_every_odd_file_is_answered_and_what_is_acknowledged_is_stored_and_read(shared_data: Path, tmp_path: Path) -> None:
    sendable, rest = find_sendable(shared_data / "odd")
    # Not carried: thirteen in which no SOP Class or Instance UID can be found, and one whose UID has 67 characters.
    assert (len(sendable), len(rest)) == (178, 14), [path.name for path in rest]
    answers: Counter[int | None] = Counter()
    with receiving(tmp_path) as running:
        for file, encoded in sendable:
            before = len(running.receipts.receipts) + len(running.receipts.conflicts)
            status = store(running, encoded)
            answers[status] += 1
            receipts = sorted(running.receipts.receipts + running.receipts.conflicts, key=lambda one: one.association)
            assert len(receipts) == before + (status == 0), file
            if status == 0:
                digest = hashlib.sha256(encoded.data_set).hexdigest()
                receipt = next(one for one in receipts if one.instance.digest == digest)
                with running.spool.open(receipt.instance) as stored:
                    assert stored.read() == encoded.data_set, file
                headers = read_headers(
                    running.spool_folder,
                    [receipt.instance],
                    receipt.series_instance_uid,
                    receipt.study_instance_uid,
                    CompletenessRule.COUNT,
                )
                assert len(headers.instances) + len(headers.unreadable) == 1
                assert all(isinstance(reason, Reason) for _, reason in headers.unreadable)
        assert running.parts() == []
        assert len(list(running.spool.list())) == answers[0]
    assert "Broken" not in running.events.names
    assert set(answers) <= {0, 0xC000, None}
    assert answers[0] > 100  # a test that stored nothing would pass
