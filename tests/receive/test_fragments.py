"""However a sender cuts its messages, the same bytes arrive."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.peers.sender import COMMAND, CT_IMAGE, DATA, LAST, encode_store_request, fragment, wrap_pdata

from .receiving import Running, make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with receiving(tmp_path_factory.mktemp("receiving")) as running:
        yield running


@given(
    data=st.data(),
    pixels=st.binary(min_size=2, max_size=3000),
    at_once=st.integers(1, 5),
    chunk=st.integers(1, 5000),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_gives_the_same_bytes(running: Running, data: st.DataObject, pixels: bytes, at_once: int, chunk: int) -> None:
    data_set = make_data_set(pixels=pixels)
    fragments: list[bytes] = []
    for kind, content in ((COMMAND, encode_store_request(CT_IMAGE, "2.25.7", 1)), (DATA, data_set)):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
        starts, ends = [0, *cuts], [*cuts, len(content)]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            fragments.append(fragment(1, kind | (LAST if number == len(cuts) else 0), content[start:end]))
    stream = b"".join(wrap_pdata(b"".join(fragments[start : start + at_once])) for start in range(0, len(fragments), at_once))
    with running.associate() as association:
        for start in range(0, len(stream), chunk):
            association.connection.sendall(stream[start : start + chunk])
        assert association.read_answer().status == 0
        association.release()
    assert data_set in running.stored().values()
