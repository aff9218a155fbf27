"""What a worker does not use any more is the machine's again."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import re
from dicom_node.roles.memory import give_back_memory

def resident_kib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])

class Knot:
    def __init__(self):
        self.self, self.content = self, bytearray(60_000)

give_back_memory()
before = resident_kib()
knots = [Knot() for _ in range(2000)]  # held by themselves alone, each too small for a mapping of its own
pins = [bytearray(600) for _ in range(2000)]  # in use and above them: the heap cannot shrink from its end
most = resident_kib()
knots.clear()
give_back_memory()
print(most - before, resident_kib() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_cycles_and_gaps_go_back_to_the_machine() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    taken, left = map(int, done.stdout.split())
    assert taken > 100_000
    assert left < taken / 4
