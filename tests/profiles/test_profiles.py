"""A small form of `make profiles`: two profiles, and the first of the classes that their destinations refuse."""

from pathlib import Path

import pytest

from tests.profiles.judge import SENT
from tests.profiles.page import write_page
from tests.profiles.run import AGAIN, FOUND, NOTHING, run


@pytest.mark.timeout(400)
def test_what_a_destination_refuses_is_replaced_or_said(tmp_path: Path) -> None:
    outcome = run(["plain-pacs", "labelmap"], tmp_path, refusals=2)
    assert outcome.faults == []
    assert len({site for site, _ in outcome.judged}) == 8
    for (site, study), judged in outcome.judged.items():
        if study in (FOUND, AGAIN):
            assert set(judged.cells) == set(site.wanted), (site.name, study)
        if study in (FOUND, AGAIN) and not site.refused:
            assert set(judged.cells.values()) == {SENT}, (site.name, study)
        assert judged.cells, (site.name, study)
    labels = {
        cell for (site, study), one in outcome.judged.items() if site.name == "labelmap-1" and study == FOUND for cell in one.cells.values()
    }
    assert labels == {"segmentation", SENT}
    page = write_page(outcome)
    assert "| **segmentation** | sent |" in page
    assert NOTHING not in page.splitlines()[-1]
