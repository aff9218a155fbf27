"""Both ways of a C-STORE request pass the same tests, byte for byte: the fast one, and the one through pynetdicom."""

from collections.abc import Iterator

import pytest

from . import receiving


@pytest.fixture(scope="module", params=["fast", "slow"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which way the receivers of a module take; a test that opens one asks for it."""
    receiving.is_fast = request.param == "fast"
    yield request.param
    receiving.is_fast = True
