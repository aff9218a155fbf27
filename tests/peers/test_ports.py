"""Test runs beside each other do not meet each other's ports."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.peers.node import answers_echo
from tests.peers.ports import find_free_port

_ANOTHER = "from tests.peers.ports import find_free_port\nprint(*(find_free_port() for _ in range(150)), flush=True)\ninput()"


def test_free_ports_are_free() -> None:
    port = find_free_port()
    assert not answers_echo(port)
    with socket.create_server(("127.0.0.1", port)):
        assert all(find_free_port() != port for _ in range(250))  # when they come again, too


def test_no_two_processes_get_the_same_port() -> None:
    """Found free in several processes, used later: as test runs beside each other do."""
    command = [sys.executable, "-c", _ANOTHER]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        found = [{find_free_port() for _ in range(150)}]
        for other in others:
            assert other.stdout is not None
            found.append(set(map(int, other.stdout.readline().split())))
    finally:
        for other in others:
            other.communicate("\n", timeout=60)
    assert [len(ports) for ports in found] == [150] * 3
    assert len(set.union(*found)) == 450


def test_no_connection_is_opened_from_such_a_port() -> None:
    lowest, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    assert find_free_port() < int(lowest)
