"""The measurement itself: it runs, and a result that is not MONAI's is seen. No time is asserted."""

from pathlib import Path

import pytest

from .window import MONAI, NETWORK, OURS, TORCH_PYTHON, Windows, as_table, measure


def test_windows_are_measured_beside_their_network(tmp_path: Path) -> None:
    measured = measure(tmp_path, rounds=2, with_torch=False, size=16, extent=(24, 32, 16))
    assert (measured.count, measured.difference, measured.wrong) == (6, None, [])
    assert all(measured.seconds.median(OURS.format(batch)) > measured.seconds.median(NETWORK.format(batch)) > 0 for batch in (1, 4))
    assert measured.overhead > 0
    assert len(as_table(measured, with_torch=False).splitlines()) == 6


def test_the_results_are_those_of_monai(tmp_path: Path) -> None:
    if not TORCH_PYTHON.exists():
        pytest.skip("no .venv-bench: tests/benchmarks/install")
    measured = measure(tmp_path, rounds=1, with_torch=True, size=32, extent=(48, 64, 32))
    assert measured.wrong == []
    assert measured.vs_monai > 0
    assert all(MONAI.format(batch) in as_table(measured, with_torch=True) for batch in (1, 4))


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_a_result_that_is_not_monais_is_wrong(difference: float) -> None:
    measured = Windows(difference=difference)
    measured.compare()
    assert len(measured.wrong) == 1
