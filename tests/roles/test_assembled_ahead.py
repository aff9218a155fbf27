"""While a sender is asked how many images it has, what is here is assembled; the study's job gets it where it is still the same."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dicom_node import assemble, infer, journal
from dicom_node.clock import SystemClock
from dicom_node.node import Node
from dicom_node.roles.replay import replay_spool
from dicom_node.spool import Spool
from dicom_node.values import AETitle, AssembledSeries, CompletenessRule, StoredSeries
from tests.make.series import make_series
from tests.peers.modality import encode
from tests.peers.waiting import wait_until

from .disk import make_config

SLICES = 5


@contextmanager
def node_with_images(folder: Path) -> Iterator[tuple[Node, journal.Look, StoredSeries]]:
    """A node that reads ahead, whose inference process notes what it is asked to; a look at a series, and the series."""
    config = make_config(folder)
    spool = Spool(config.spool)
    made = [encode(one) for one in make_series(lambda lps: lps[..., 0], shape=(SLICES, 8, 8), spacing_mm=(2.0, 1.0, 1.0))]
    for one in made:
        where = {name: getattr(one, name) for name in ("sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")}
        spool.put(one.data_set, **where, calling=AETitle("CT1"), called=AETitle("NODE"), source="127.0.0.1")
    clock = SystemClock()
    assert replay_spool(config, "", clock) is not None
    engine = journal.open_engine(config.database)
    with infer.Device((sys.executable, "-m", "tests.infer.odd_child", "well"), clock) as device:
        device.start()
        node = Node(config, (), clock, device, {}, engine, reads_ahead=True)
        with engine.begin() as connection:
            study, series = connection.exec_driver_sql("select study_instance_uid, series_instance_uid from node_series").one()
        look = journal.Look(study, series, generation=0, number=0)
        stored = node.read_stored_series(look)
        assert stored is not None
        assert len(stored.instances) == SLICES
        yield node, look, stored
    engine.dispose()


def begin(node: Node, look: journal.Look, instances: int = SLICES) -> None:
    assert node._ahead is not None
    node._ahead.begin(look, instances)
    with node._ahead._lock:
        future = node._ahead._begun[look.series_instance_uid][1]
    assert future.result(60.0) is not None


def plain(node: Node, stored: StoredSeries) -> AssembledSeries:
    headers = node.read_headers(stored)
    return AssembledSeries(headers, assemble.find_volumes(headers))


def test_what_was_assembled_ahead_is_what_would_be_assembled_now_and_the_volume_is_read(tmp_path: Path) -> None:
    with node_with_images(tmp_path) as (node, look, stored):
        begin(node, look)
        note = node.images.local_root(stored.instances) / "volume-ahead"
        wait_until(note.exists, limit_s=60.0, what="the inference process was not asked")
        wait_until(lambda: note.read_text(encoding="utf-8"), limit_s=10.0, what="nothing was noted")
        assert note.read_text(encoding="utf-8") == f"{look.series_instance_uid} {(SLICES, 8, 8)}"
        counted = replace(stored, rule=CompletenessRule.COUNT)
        assert node._ahead is not None
        found = node._ahead.find(counted)
        assert found is not None
        assert found == plain(node, counted)
        assert found.headers.rule is CompletenessRule.COUNT
        assert node._ahead.find(counted) is None  # once
        assert node.assemble_series(counted) == found


def test_what_came_or_left_since_is_assembled_anew(tmp_path: Path) -> None:
    with node_with_images(tmp_path) as (node, look, stored):
        begin(node, look)
        fewer = replace(stored, instances=stored.instances[1:])
        assert node.assemble_series(fewer) == plain(node, fewer)
        assert node._ahead is not None
        begin(node, look)
        assert node._ahead.find(replace(stored, study_instance_uid="2.25.7")) is None


def test_a_series_is_assembled_again_when_more_of_it_is_here_and_not_at_every_look(tmp_path: Path) -> None:
    with node_with_images(tmp_path) as (node, look, _):
        assert node._ahead is not None
        begun = []
        for instances in (SLICES - 1, SLICES - 1, SLICES):
            begin(node, look, instances)
            begun.append(node._ahead._begun[look.series_instance_uid][1])
        assert begun[0] is begun[1]
        assert begun[1] is not begun[2]


def test_what_cannot_be_read_is_left_to_the_job(tmp_path: Path) -> None:
    with node_with_images(tmp_path) as (node, look, stored):
        assert node._ahead is not None
        node._ahead.begin(replace(look, series_instance_uid="2.25.8"), 1)  # nothing is known of it
        assert node._ahead.find(replace(stored, series_instance_uid="2.25.8")) is None
        node.images.path(stored.instances[0]).write_bytes(b"no image")
        node._ahead.begin(look, SLICES)
        assert node.assemble_series(stored).headers.unreadable
