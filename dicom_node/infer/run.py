"""The stages of a package, in their order, on one volume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from dicom_node.package import (
    BlobDetect,
    GrowthSegment,
    HeatMapDetect,
    Measure,
    NetworkClassify,
    NetworkSegment,
    Package,
    Stage,
    ThresholdSegment,
)
from dicom_node.values import Analysed, CodedConcept, Measurement, NotAnalysed, Reason, Reservation, Result, ScoreMap, Volume
from dicom_node.values import Stage as StageRecord

from .body import find_body_map
from .classify import find_passing
from .detect import find_blobs, find_peaks
from .findings import make_findings
from .growth import grow
from .inputs import Labels, grid_of
from .lungs import find_lungs
from .measure import measure
from .pictures import make_pictures
from .regions import Candidate, Region, count_voxels, regions_of_candidates, regions_of_labels
from .segment import check_limits, find_labels
from .windows import Network


class Networks(Protocol):
    """Where the stages get their networks from: `sessions.Sessions`."""

    def network(self, package: Package, model: str) -> Network: ...

    def batch(self, package: Package, model: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What a result says of itself that no stage finds: its key, whose it is, and what is known of its source and against it.

    `modality` is empty where it is not known, as of an example.
    """

    key: str
    study_instance_uid: str
    series_instance_uid: str
    reservations: tuple[Reservation, ...] = ()
    predecessor_key: str | None = None
    modality: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """A label map on the source grid; `scores` of each voxel, where they were wanted."""

    labels: Labels
    scores: ScoreMap | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, the strongest first; `is_capped` where there were more; `scores` of each voxel, where they were wanted."""

    candidates: tuple[Candidate, ...]
    is_capped: bool = False
    scores: ScoreMap | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """Regions of candidates, in the candidates' order."""

    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """The regions of the stage `of`, and for each its measurements."""

    of: str
    regions: tuple[Region, ...]
    measurements: tuple[tuple[Measurement, ...], ...]


Made = Segmented | Found | Grown | Measured


def run_stages(
    package: Package,
    volume: Volume,
    identity: RunIdentity,
    networks: Networks,
    monotonic: Callable[[], float],
    *,
    wants_scores: bool = False,
) -> Result:
    """Run a package on a volume: Analysed with its findings on the source grid, or NotAnalysed with the first stage's reason.

    The same inputs give the same result, but for the seconds of its stages, which `monotonic` tells. `wants_scores`: with the score of
    each voxel, where a stage gives one and the images have a place in the patient; they change nothing else.
    """
    scored = _find_scored(package) if wants_scores and volume.geometry.lps_from_index is not None else None
    made: dict[str, Made] = {}
    records: list[StageRecord] = []
    for stage in package.manifest.stages:
        start = monotonic()
        given = _run(stage, volume, made, package, networks, wants_scores=stage.name == scored)
        counts = () if isinstance(given, Reason) else _counts(given, volume)
        records.append(StageRecord(name=stage.name, kind=stage.kind, seconds=round(monotonic() - start, 3), given=counts))
        if isinstance(given, Reason):
            return NotAnalysed(
                key=identity.key,
                study_instance_uid=identity.study_instance_uid,
                series_instance_uid=identity.series_instance_uid,
                package=package.ref,
                reason=given,
                stages=tuple(records),
            )
        made[stage.name] = given
    return _analysed(package, volume, identity, made, tuple(records))


def _find_scored(package: Package) -> str | None:
    """The stage whose scores of each voxel a result carries: the last one that gives any, since it is what the outputs come from."""
    stages = [
        stage.name
        for stage in package.manifest.stages
        if isinstance(stage, NetworkSegment) or (isinstance(stage, HeatMapDetect) and stage.activation == "sigmoid")
    ]
    return stages[-1] if stages else None


def _run(
    stage: Stage, volume: Volume, made: Mapping[str, Made], package: Package, networks: Networks, *, wants_scores: bool
) -> Made | Reason:
    """What one stage makes of the volume and of the stages before it."""
    if isinstance(stage, NetworkSegment | HeatMapDetect | NetworkClassify):
        stage = _as_tuned(stage, networks.batch(package, stage.model))
    match stage:
        case ThresholdSegment():
            return _within_limits(find_lungs(volume, stage), volume, stage, stage.smallest_ml)
        case NetworkSegment():
            found = find_labels(volume, stage, networks.network(package, stage.model), wants_scores=wants_scores)
            if isinstance(found, Reason):
                return found
            segmented = _within_limits(found.labels, volume, stage, 0.0)
            return segmented if isinstance(segmented, Reason) else replace(segmented, scores=found.scores)
        case BlobDetect():
            return _capped(find_blobs(volume, _labels(made, stage.inside), stage), stage.at_most)
        case HeatMapDetect():
            inside = None if stage.inside is None else _labels(made, stage.inside)
            peaks = find_peaks(volume, inside, stage, networks.network(package, stage.model), wants_scores=wants_scores)
            return peaks if isinstance(peaks, Reason) else replace(_capped(peaks.candidates, stage.at_most), scores=peaks.scores)
        case NetworkClassify():
            passing = find_passing(volume, _candidates(made, stage.of), stage, networks.network(package, stage.model))
            return passing if isinstance(passing, Reason) else Found(passing)
        case GrowthSegment():
            return Grown(grow(volume, _candidates(made, stage.of), _labels(made, stage.inside), stage))
        case Measure():
            regions = regions_of(made, stage.of, volume)
            return Measured(stage.of, regions, tuple(measure(volume, region.mask, stage) for region in regions))
        case _:
            assert_never(stage)


def _as_tuned(
    stage: NetworkSegment | HeatMapDetect | NetworkClassify, batch: int | None
) -> NetworkSegment | HeatMapDetect | NetworkClassify:
    """The stage with as many items at once as this machine takes best, where that was measured."""
    if batch is None:
        return stage
    if isinstance(stage, NetworkClassify):
        return stage.model_copy(update={"batch": batch})
    return stage if stage.window is None else stage.model_copy(update={"window": stage.window.model_copy(update={"batch": batch})})


def regions_of(made: Mapping[str, Made], name: str, volume: Volume) -> tuple[Region, ...]:
    """The regions of a stage: each label's, each candidate's; a candidate that has no outline is a ball of its radius."""
    match made[name]:
        case Segmented(labels=labels):
            return regions_of_labels(labels)
        case Found(candidates=candidates):
            return regions_of_candidates(candidates, grid_of(volume.geometry))
        case Grown(regions) | Measured(_, regions):
            return regions
        case _ as never:
            assert_never(never)


def _within_limits(labels: Labels, volume: Volume, stage: ThresholdSegment | NetworkSegment, least_ml: float) -> Segmented | Reason:
    voxel_mm3 = grid_of(volume.geometry).voxel_mm3
    return check_limits(labels, voxel_mm3, stage.name, stage.limits, least_ml) or Segmented(labels)


def _capped(candidates: tuple[Candidate, ...], at_most: int) -> Found:
    return Found(candidates[:at_most], is_capped=len(candidates) > at_most)


def _labels(made: Mapping[str, Made], name: str) -> Labels:
    segmented = made[name]
    assert isinstance(segmented, Segmented), f"{name} is no label map"
    return segmented.labels


def _candidates(made: Mapping[str, Made], name: str) -> tuple[Candidate, ...]:
    found = made[name]
    assert isinstance(found, Found), f"{name} gives no candidates"
    return found.candidates


def _counts(given: Made, volume: Volume) -> tuple[tuple[str, float], ...]:
    """What a stage gave, in numbers, for people."""
    match given:
        case Segmented(labels=labels):
            voxel_mm3 = grid_of(volume.geometry).voxel_mm3
            counts = count_voxels(labels)
            volumes = ((f"label {value} (mL)", round(float(n) * voxel_mm3 / 1000, 1)) for value, n in enumerate(counts) if value and n)
            return tuple(volumes)
        case Found(candidates=candidates):
            return (("candidates", float(len(candidates))),)
        case Grown(regions) | Measured(_, regions):
            return (("regions", float(len(regions))),)
        case _:
            assert_never(given)


def _analysed(
    package: Package, volume: Volume, identity: RunIdentity, made: Mapping[str, Made], records: tuple[StageRecord, ...]
) -> Analysed:
    is_capped = any(isinstance(given, Found) and given.is_capped for given in made.values())
    outputs = package.manifest.outputs
    regions = {output.stage: regions_of(made, output.stage, volume) for output in outputs}
    labels = {output.laterality_from: _labels(made, output.laterality_from) for output in outputs if output.laterality_from is not None}
    measured: dict[str, list[tuple[tuple[Measurement, ...], ...]]] = {}
    for name, given in made.items():
        if isinstance(given, Measured):
            measured.setdefault(given.of, []).append(given.measurements)
            measured.setdefault(name, []).append(given.measurements)
    looked_for = (CodedConcept(output.type.value, output.type.scheme, output.type.meaning) for output in outputs)
    findings = make_findings(package, identity.key, grid_of(volume.geometry), regions, measured, labels)
    return Analysed(
        key=identity.key,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        package=package.ref,
        geometry=volume.geometry,
        looked_for=tuple(dict.fromkeys(looked_for)),
        findings=findings,
        threshold=_operating_point(package),
        reservations=(*identity.reservations, *((Reservation.CANDIDATES_CAPPED,) if is_capped else ())),
        stages=records,
        predecessor_key=identity.predecessor_key,
        body_map=next((find_body_map(sides, grid_of(volume.geometry)) for sides in labels.values()), None),
        pictures=make_pictures(volume, findings, identity.modality),
        scores=next((given.scores for given in made.values() if isinstance(given, Segmented | Found) and given.scores is not None), None),
    )


def _operating_point(package: Package) -> float | None:
    """The score that findings passed: that of the last stage that has one."""
    points = [stage.threshold for stage in package.manifest.stages if isinstance(stage, NetworkClassify | HeatMapDetect)]
    return points[-1] if points else None
