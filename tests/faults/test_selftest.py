"""The mutations of `make faults-selftest` still fit the code, and the rows that should see them are there."""

from pathlib import Path

import pytest

from tests.faults.selftest import MUTATIONS, Mutation, find_rows, mutate


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_fits(mutation: Mutation, tmp_path: Path) -> None:
    assert find_rows(mutation)
    code = mutate(mutation, tmp_path / "code")
    for name, _, _ in mutation.changes:
        compile((code / "dicom_node" / name).read_text(encoding="utf-8"), name, "exec")
