"""Both ways of a C-STORE request pass the same tests, byte for byte: the fast one, and the one through pynetdicom. With TLS too."""

from collections.abc import Iterator

import pytest

from tests.peers.certificates import Authority

from . import receiving


@pytest.fixture(scope="module", params=["fast", "slow"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which way the receivers of a module take; a test that opens one asks for it."""
    receiving.is_fast = request.param == "fast"
    yield request.param
    receiving.is_fast = True


@pytest.fixture(scope="session")
def security(tmp_path_factory: pytest.TempPathFactory) -> receiving.Security:
    """An authority, and what it signed for the node and for a sender."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    return receiving.Security(authority, authority.sign("node"), authority.sign("modality"))


@pytest.fixture(scope="module", params=["plain", "TLS"])
def line(request: pytest.FixtureRequest, security: receiving.Security) -> Iterator[str]:
    """Whether the receivers of a module, and who calls them, use TLS, with certificates on both sides."""
    receiving.security = security if request.param == "TLS" else None
    yield request.param
    receiving.security = None
