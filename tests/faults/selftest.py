"""`python -m tests.faults.selftest`: can the matrix fail? Durability is broken on purpose in a copy of the node, one way at a time, and the
rows of the matrix that should see it are run against the copy. A way that no row sees is a fault of the matrix.
"""

import argparse
import dataclasses
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.__main__ import run
from tests.faults.faults import SHORT
from tests.faults.matrix import EMBEDDED, TWO_HOSTS, Row, make_rows
from tests.places import REPOSITORY

LIMIT_S = 25.0  # after which a study counts as stuck; the sweep takes up what lost its job every 30 seconds, which must not help here


@dataclass(frozen=True)
class Mutation:
    """A way to break durability: `changes` are (file, what stands there, what stands there instead), `rows` a pattern of *fault stage*."""

    name: str
    changes: Sequence[tuple[str, str, str]]
    rows: str
    form: str = EMBEDDED
    runs: int = 2


_NO_PROOF = ("config.py", "        if self.proof is not None:\n            return Proof(self.proof)\n", "        return Proof.NONE\n")

MUTATIONS = (
    Mutation(
        "answered before the file is flushed",
        [("place/folder.py", "    os.fsync(file.fileno())\n    os.rename(part, target)\n", "    os.rename(part, target)\n")],
        "power cut (receive|assemble)",
    ),
    Mutation(
        "the folder is not flushed after the rename",
        [("place/folder.py", "    file.close()\n    flush_folder(target.parent)\n", "    file.close()\n")],
        "power cut (receive|assemble)",
    ),
    Mutation(
        "answered before the receipt is committed",
        [
            (
                "journal/instances.py",
                "        self._waiting.put((receipt, future))\n        return future.result()\n",
                "        self._waiting.put((receipt, future))\n        return Known.NEW\n",
            ),
            (
                "journal/instances.py",
                "        for group in self._groups():\n",
                "        for group in self._groups():\n            self._clock.wait(1.0)\n",
            ),
        ],
        "(kill machine|kill receiver|power cut) receive",
        runs=3,
    ),
    Mutation(
        "receipts are not flushed",
        # With OFF nothing at all would be left, and a journal without anything is made again from the spool.
        [("journal/store.py", '"synchronous=FULL"', '"synchronous=NORMAL"')],
        "power cut (receive|assemble)",
    ),
    Mutation(
        "a receipt without its job",
        [
            ("journal/instances.py", "            self._client.enqueue_look(connection, look)\n", "            del look\n"),
            (
                "journal/forgotten.py",
                "        _open_series(connection, client, alive, now)\n        + ",
                "        ",
            ),  # which would repair it in half a minute
        ],
        "none receive",
        runs=1,
    ),
    Mutation(
        "late images do not reopen their series",
        [
            ("journal/instances.py", "        is_complete=False,\n        rule=None,\n", ""),
            ("journal/instances.py", "        looks += [Look(", "        [Look("),
        ],
        "late images commit",
        runs=1,
    ),
    Mutation(
        "UIDs are random",
        [
            (
                "values/keys.py",
                'return f"2.25.{uuid.uuid5(NAMESPACE, derive_digest(*parts)).int}"',
                'return f"2.25.{uuid.uuid4().int}"',
            )
        ],
        "(kill worker (deliver|encode)|kill machine deliver|PACS A700)",
        runs=3,
    ),
    Mutation(
        "the status of a C-STORE is not read",
        [
            (
                "deliver/statuses.py",
                "    return next(row.outcome for row in TABLE if row.first <= status <= row.last)\n",
                "    return Outcome.DONE\n",
            ),
            _NO_PROOF,  # which would find it
        ],
        "PACS A700 receive",
        runs=1,
    ),
    Mutation(
        "a delivery that failed is not tried again",
        [("sending.py", "        if not waiting:\n            return None\n", "        return None\n")],
        "PACS (refuses|down) deliver",
    ),
    Mutation(
        "nobody asks whether the destination holds what it acknowledged",
        [_NO_PROOF],
        "PACS loses encode",
        runs=1,
    ),
    Mutation(
        "a dead worker's jobs are not taken over",
        [
            ("roles/worker.py", "        self._take_over()\n", ""),
        ],
        "kill machine infer",
        form=TWO_HOSTS,
        runs=3,
    ),
    Mutation(
        "the machine's clock decides what is quiet",
        [("journal/store.py", "    boot, seconds = clock.steady()\n", "    return clock.now()\n")],
        "clock (forward|back) receive",
        runs=3,
    ),
)


def mutate(mutation: Mutation, folder: Path) -> Path:
    """A copy of the node's code with the mutation in it; AssertionError where what is to be replaced does not stand there once."""
    shutil.copytree(REPOSITORY / "dicom_node", folder / "dicom_node", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in mutation.changes:
        path = folder / "dicom_node" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{mutation.name}: {name} does not hold once: {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def find_rows(mutation: Mutation) -> list[Row]:
    """The rows that should see it."""
    rows = [row for row in make_rows(SHORT) if row.form == mutation.form and re.fullmatch(mutation.rows, f"{row.fault} {row.at}")]
    assert rows, f"{mutation.name}: no row is called {mutation.rows}"
    return [dataclasses.replace(row, runs=mutation.runs) for row in rows]


def main() -> int:
    """Run every mutation; 0 where the matrix caught each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutations whose name matches this regular expression")
    options = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if re.search(options.only, mutation.name)]
    caught = 0
    with tempfile.TemporaryDirectory(prefix="selftest-") as folder:
        print("-- nothing is broken: the same rows must be clean", flush=True)
        rows = list(dict.fromkeys(row for mutation in chosen for row in find_rows(mutation)))
        (Path(folder) / "sound").mkdir()
        if not run(rows, Path(folder) / "sound", limit_s=LIMIT_S).is_clean:
            print("the node itself fails: see make faults")
            return 1
        for number, mutation in enumerate(chosen):
            here = Path(folder) / str(number)
            here.mkdir()
            print(f"-- {mutation.name}", flush=True)
            found = run(find_rows(mutation), here, code=mutate(mutation, here / "code"), limit_s=LIMIT_S)
            caught += not found.is_clean
            print(
                f"   {'caught' if not found.is_clean else 'NOT CAUGHT'}: {found.lost} lost, {found.doubled} doubled, {found.stuck} stuck",
                flush=True,
            )
            shutil.rmtree(here, ignore_errors=True)
    print(f"selftest: mutations={len(chosen)} caught={caught}")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
