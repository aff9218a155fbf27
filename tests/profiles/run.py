"""One node, every site, four studies; what came of each, judged from outside."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.faults.studies import write_package
from tests.make.series import make_series
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, started, write_node
from tests.peers.orthanc import start_orthanc
from tests.peers.waiting import wait_until

from .judge import SETTLED, Judged, judge, judge_refusal
from .sites import PROFILES, Site, find_refusals, start_archive
from .valid import find_faults

# The first is made for what is not known yet of the destinations, the second for what they said.
FOUND, AGAIN, NOTHING, GAP = STUDIES = ("found", "again", "nothing", "gap")
_SLICES = 12
_STUDY_LIMIT_S = 900.0  # for some ninety destinations


@dataclass
class Outcome:
    """By site and study what became of it; by digest each object that was held, and what is wrong with it."""

    judged: dict[tuple[Site, str], Judged] = field(default_factory=dict)
    objects: dict[str, list[str]] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, of sites and of objects."""
        at_sites = [f"{site.name} {study}: {fault}" for (site, study), one in self.judged.items() for fault in one.faults]
        return [*at_sites, *(f"object {digest[:12]}: {fault}" for digest, faults in self.objects.items() for fault in faults)]


def run(profiles: Sequence[str], folder: Path, *, refusals: int | None = None) -> Outcome:
    """Send the studies, and judge what every site got. `refusals`: only so many combinations of refused classes of each profile."""
    outcome = Outcome()
    with make_sites(profiles, folder, refusals) as sites:
        package = write_package(folder / "package")
        settings = {"deliver": {"first_retry_s": 1.0, "longest_retry_s": 2.0, "tries": 50}}
        node = write_node(folder / "node", peers={site.name: site.peer for site in sites}, models=[package], settings=settings)
        with started(node):
            for name in STUDIES:
                status = analyse(name, node)
                for site in sites:
                    look_at(site, name, status, folder, outcome)
    return outcome


@contextlib.contextmanager
def make_sites(profiles: Sequence[str], folder: Path, refusals: int | None) -> Iterator[list[Site]]:
    """Running destinations: of each profile an Orthanc in English and one in French, and an archive for each set of refused classes."""
    with contextlib.ExitStack() as stack:
        sites = []
        for profile in profiles:
            for language in ("en", "fr"):
                server = stack.enter_context(start_orthanc(aet=f"O{len(sites)}"))
                sites.append(Site(f"{profile}-orthanc-{language}", profile, language, (), server))
            for number, refused in enumerate(find_refusals(PROFILES[profile])[:refusals], start=1):
                archive = stack.enter_context(start_archive(folder / f"{profile}-{number}", f"A{len(sites)}", refused))
                sites.append(Site(f"{profile}-{number}", profile, ("en", "fr")[number % 2], refused, archive))
        yield sites


def analyse(name: str, node: NodeProcess) -> Mapping[str, Any]:
    """Send a study, wait until nothing of it is open any more, and give what the node says of it and of its destinations."""
    datasets = make_study(name)
    with Modality(node.port) as modality:
        assert {modality.store(one) for one in datasets} == {0}
    uid = str(datasets[0].StudyInstanceUID)

    def find_settled() -> dict[str, Any] | None:
        found = node.look(uid)
        (study,) = found["studies"]
        rows = [row for result in study["results"] for one in result["deliveries"] for row in one["objects"]]
        is_over = study["state"] in ("done", "undelivered") and all(row["state"] in SETTLED for row in rows)
        return {**study, "not_accepted": found["not_accepted"]} if is_over else None

    return wait_until(find_settled, limit_s=_STUDY_LIMIT_S, every_s=0.5, what=lambda: node.run("status", uid).stdout[-3000:])


def look_at(site: Site, name: str, status: Mapping[str, Any], folder: Path, outcome: Outcome) -> None:
    held = site.held(status["study"])
    for _, content in held:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in outcome.objects:
            file = folder / "object.dcm"
            file.write_bytes(content)
            outcome.objects[digest] = find_faults(file)
    datasets = [dataset for dataset, _ in held]
    is_refusal = name == GAP
    judged = judge_refusal(site, status, datasets) if is_refusal else judge(site, status, datasets, has_findings=name != NOTHING)
    if doubled := site.count_doubled():
        judged = dataclasses.replace(judged, faults=[*judged.faults, f"{doubled} objects were acknowledged twice"])
    outcome.judged[site, name] = judged


def make_study(name: str) -> list[Dataset]:
    """A small series: two bright balls, or none, or two and a missing slice."""
    radius_mm = 0.0 if name == NOTHING else 8.0

    def sample(lps: NDArray[np.float64]) -> NDArray[np.float64]:
        centres = (np.array([side * 20.0, 4.0 * len(name), 3.0]) for side in (-1, 1))
        away_mm = np.minimum(*(np.linalg.norm(lps - centre, axis=-1) for centre in centres))
        return np.where(away_mm < radius_mm, 600.0, -50.0 + 40 * np.sin(lps[..., 0] / 9))

    made = make_series(sample, shape=(_SLICES, 64, 64), spacing_mm=(3.0, 1.5, 1.5), name=f"profiles-{name}")
    return made[:4] + made[5:] if name == GAP else made
