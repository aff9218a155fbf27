"""What `dicom-node check` finds beside what the configuration's own tests show."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.clock import SystemClock
from dicom_node.config import load_config
from dicom_node.roles.check import find_certificate_problems, find_problems
from tests.peers.archive import Archive
from tests.peers.certificates import Authority, answerer_context
from tests.peers.node import write_node


@pytest.mark.parametrize(
    ("days", "is_told"),
    [((-1, 365), False), ((-1, 31), False), ((-1, 29), True), ((-20, -10), True), ((1, 365), True)],
    ids=["valid", "for a month", "for less", "over", "to come"],
)
def test_a_certificate_that_is_over_soon_is_told_where_it_is_named(tmp_path: Path, days: tuple[float, float], is_told: bool) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.sign("node", days=days)
    own = {"certificate": str(pair.certificate), "key": str(pair.key)}
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["receive"], "tls": {"ca": str(authority.file), **own}}
    plain = {"ae_title": "PLAIN", "host": "127.0.0.1", "port": 104, "may": ["receive"]}
    node = write_node(tmp_path / "node", peers={"pacs": pacs, "plain": plain}, models=(), settings={"receiver": {"tls": own}})
    found = [(one.file.name, one.key, one.value) for one in find_certificate_problems(load_config(node.config), datetime.now(UTC))]
    told = [("node.toml", "receiver.tls.certificate"), ("peers.toml", "peers.pacs.tls.certificate")]
    assert found == ([(*place, str(pair.certificate)) for place in told] if is_told else [])


def test_the_days_of_a_certificate_are_told(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "certificates").sign("node", days=(-20, -10))
    own = {"certificate": str(pair.certificate), "key": str(pair.key)}
    node = write_node(tmp_path / "node", models=(), settings={"receiver": {"tls": own}})
    now = datetime.now(UTC)
    (problem,) = find_certificate_problems(load_config(node.config), now)
    assert f"from {now - timedelta(days=20):%Y-%m-%d} to {now - timedelta(days=10):%Y-%m-%d}" in problem.allowed


def test_a_peer_whose_certificate_is_not_taken_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    with Archive(tmp_path / "archive", tls=answerer_context(authority.sign("pacs", hosts=("pacs.example",)))) as archive:
        pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": archive.port, "may": ["receive"]}
        secure = {"ca": str(authority.file)}
        peers = {"wrong": {**pacs, "tls": secure}, "right": {**pacs, "ae_title": "OTHER", "tls": {**secure, "server_name": "pacs.example"}}}
        node = write_node(tmp_path / "node", peers=peers, models=(), settings={})
        lines = find_problems(node.config, SystemClock(), ask_peers=True)
    assert [line for line in lines if "peers.wrong" in line and "64" in line]
    assert not [line for line in lines if "peers.right" in line]
