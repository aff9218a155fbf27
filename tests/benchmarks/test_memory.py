"""The measurement of memory: a node works on a study, and every process is found. No figure is asserted."""

from pathlib import Path

import pytest

from .memory import BOTH, COARSE, INFERENCE, WORKER, as_table, measure


@pytest.mark.timeout(300)
def test_both_processes_are_measured_while_a_study_is_worked_on(tmp_path: Path) -> None:
    memory = measure(tmp_path, rounds=1, packages=(COARSE,), slices=24, size=96, rest_s=1.0)
    assert memory.wrong == []
    assert all(memory.before_mb.median((COARSE, role)) > 10 for role in (WORKER, INFERENCE))
    assert memory.ratio.median((COARSE, BOTH)) >= memory.ratio.median((COARSE, INFERENCE))
    assert as_table(memory, (COARSE,)).count("\n") == 4
