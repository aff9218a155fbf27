"""What a study waits for: with a sender that says how many images there are, no timer; and where its time went can be seen."""

import json
from collections.abc import Callable
from pathlib import Path

from dicom_node.journal import Queue
from dicom_node.roles import bell
from tests.faults.studies import encode_study, find_study, make_study, write_package
from tests.make.series import write_series
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import MODALITY_TITLE, NodeProcess
from tests.peers.waiting import wait_until

from .studies import wait_until_done

_FOR_EVER_S = 600.0


def test_with_a_count_no_timer_is_waited_for_and_the_trace_shows_the_way(
    pacs: Archive, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Looks are due in ten minutes; the end of the association brings the first one forward, and the count decides."""
    study = find_study("traced")
    images = tmp_path / "modality"
    write_series(make_study("traced"), images)
    with Archive(images, ae_title=MODALITY_TITLE, commits=False) as sender:
        running = node(
            peers={
                "pacs": {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["receive"]},
                "modality": {"ae_title": MODALITY_TITLE, "host": "127.0.0.1", "port": sender.port, "may": ["send", "count"]},
            },
            models=[write_package(tmp_path / "bright", overlap=0.25)],
            settings={"assemble": {"quiet_s": _FOR_EVER_S, "count_after_s": _FOR_EVER_S}},
        )
        wait_until((running.data / "bell-0").is_fifo, limit_s=60.0, what="the worker has no bell")
        heard: list[Queue] = []
        assert bell.listen(running.data, 1, heard.append)  # as a second worker of this machine would
        with Modality(running.port) as modality:
            for instance in encode_study("traced"):
                assert modality.store(instance) == 0
        done = wait_until_done(running, study, limit_s=60.0)
    wait_until(lambda: len(set(heard)) == len(Queue), limit_s=30.0, what=lambda: f"heard {heard}")  # the receiver first
    assert [queue for number, queue in enumerate(heard) if queue not in heard[:number]] == list(Queue)
    assert [one["rule"] for one in done["series"]] == ["count"]
    assert len(pacs.files()) == 2

    found = json.loads(running.run("trace", study, "--json").stdout)
    lines = {line["what"]: line for line in found["lines"]}
    order = ["look", "study", "  analyse", "    stage bright", "send to pacs"]
    assert [what for what in lines if what in order] == order
    assert found["images"] == len(encode_study("traced"))
    begins = [lines[what]["begins_ms"] for what in order if lines[what]["begins_ms"] is not None]
    assert begins == sorted(begins)
    assert 0 <= begins[-1] + lines["send to pacs"]["takes_ms"] < 60_000
    text = running.run("trace", done["key"]).stdout
    assert f"study {study}" in text
    assert all(what in text for what in order)
