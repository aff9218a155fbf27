"""Odd but real files over one running receiver: each is answered, what is acknowledged is stored as it came, nothing else happens."""

import hashlib
import zlib
from collections import Counter
from pathlib import Path

from dicom_node.spool import read_headers
from dicom_node.values import CompletenessRule, Reason
from tests.peers.part10 import BIG_ENDIAN, find_uids, split_file
from tests.peers.sender import EXPLICIT_LITTLE, IMPLICIT_LITTLE, RawAssociation

from .receiving import Running, receiving

DEFLATED = "1.2.840.10008.1.2.1.99"

# Files without meta information: over the network the presentation context gives the syntax.
SYNTAXES = {"ExplVR_BigEndNoMeta.dcm": BIG_ENDIAN, "ExplVR_LitEndNoMeta.dcm": EXPLICIT_LITTLE, "rtstruct.dcm": IMPLICIT_LITTLE}


def find_sendable(folder: Path) -> tuple[list[tuple[Path, str, str, str, bytes]], list[Path]]:
    """(file, SOP class, SOP instance, transfer syntax, data set) of what a C-STORE can carry, and the rest: no UID, no syntax."""
    sendable, rest = [], []
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"):
        syntax, data_set = split_file(file)
        syntax = syntax or SYNTAXES.get(file.name)
        plain = zlib.decompressobj(-15).decompress(data_set) if syntax == DEFLATED else data_set
        uids = find_uids(plain, syntax) if syntax else None
        if syntax and uids and len(uids[1]) <= 64:
            sendable.append((file, *uids, syntax, data_set))
        else:
            rest.append(file)
    return sendable, rest


def store(running: Running, sop_class: str, uid: str, syntax: str, data_set: bytes) -> int | None:
    """The status; None where the context is rejected, which is an answer too."""
    with RawAssociation(running.port, ((sop_class, (syntax,)),), pdu_bytes=131_072) as association:
        if association.context_for(sop_class) is None:
            association.release()
            return None
        status = association.store(data_set, sop_class, uid).status
        association.release()  # it lives
        return status


def test_every_odd_file_is_answered_and_what_is_acknowledged_is_stored_and_read(shared_data: Path, tmp_path: Path) -> None:
    sendable, rest = find_sendable(shared_data / "odd")
    # Not carried: thirteen in which no SOP Class or Instance UID can be found, and one whose UID has 67 characters.
    assert (len(sendable), len(rest)) == (178, 14), [path.name for path in rest]
    answers: Counter[int | None] = Counter()
    with receiving(tmp_path) as running:
        for file, sop_class, uid, syntax, data_set in sendable:
            before = len(running.receipts.receipts) + len(running.receipts.conflicts)
            status = store(running, sop_class, uid, syntax, data_set)
            answers[status] += 1
            receipts = sorted(running.receipts.receipts + running.receipts.conflicts, key=lambda one: one.association)
            assert len(receipts) == before + (status == 0), file
            if status == 0:
                digest = hashlib.sha256(data_set).hexdigest()
                receipt = next(one for one in receipts if one.instance.digest == digest)
                with running.spool.open(receipt.instance) as stored:
                    assert stored.read() == data_set, file
                headers = read_headers(
                    running.spool.root,
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
