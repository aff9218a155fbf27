"""The whole of `package.toml`."""

from typing import Annotated, Literal

from pydantic import Field

from .stages import (
    BlobDetect,
    GrowthSegment,
    HeatMapDetect,
    Measure,
    Name,
    NetworkClassify,
    NetworkSegment,
    Part,
    ThresholdSegment,
)


class Code(Part):
    """A coded concept: value, scheme, meaning (at most 64 characters, LO)."""

    value: Annotated[str, Field(max_length=16)]
    scheme: Annotated[str, Field(max_length=16)]
    meaning: Annotated[str, Field(max_length=64)]


class Condition(Part):
    """What a series must be. Exactly one of `attribute` (a PS3.6 keyword) and `geometry` names the subject.

    Geometry subjects: slices, rows, columns, slice_spacing_mm, row_spacing_mm, column_spacing_mm, slice_thickness_mm,
    extent_mm (along the normal), orientation (axial, coronal, sagittal: the plane nearest to the slices), obliqueness_deg, form.
    Exactly one test: `one_of` / `none_of` (texts, compared without case), `contains_none` (words that may not occur in the
    text), `at_least` / `at_most` (numbers). `absent` says what an absent attribute means.
    """

    attribute: str | None = None
    geometry: str | None = None
    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None
    contains_none: tuple[str, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None
    absent: Literal["refused", "accepted"] = "refused"


class Preference(Part):
    """One key of the order among several accepted series of a study, the first in the list weighs most.

    `smallest` / `largest` order by a geometry subject or a numeric attribute; `values` orders by position in the list
    (compared without case, the first match in the text counts; what matches none comes last).
    """

    attribute: str | None = None
    geometry: str | None = None
    order: Literal["smallest", "largest", "values"]
    values: tuple[str, ...] = ()


class Identity(Part):
    """Who made which model, for what. `shadow`: it runs and its results are kept and shown by the node, and sent to nobody."""

    name: Name
    version: Annotated[str, Field(max_length=64)]
    title: Annotated[str, Field(max_length=48)]
    manufacturer: Annotated[str, Field(max_length=64)]
    intended_use: str
    qualification: Literal["RESEARCH", "PRODUCT"] = "RESEARCH"
    licence: str
    shadow: bool = False


class Output(Part):
    """A stage's regions as findings of the result: one for each region (`each`), or one for each label (`labels`)."""

    stage: Name
    label: Annotated[str, Field(max_length=48)]
    category: Code
    type: Code
    site: Code | None = None
    laterality_from: Name | None = None  # a segment stage whose label 1 is the patient's right, 2 the left
    colour_rgb: tuple[int, int, int] = (255, 64, 64)
    value: int | None = None  # which label of the stage; None for candidates' regions


class Accept(Part):
    """Which series the package takes."""

    conditions: tuple[Condition, ...]
    prefer: tuple[Preference, ...] = ()
    series_per_study: Annotated[int, Field(ge=1, le=100)] = 1


class Running(Part):
    """Limits of the inference process."""

    time_limit_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    memory_limit_mb: Annotated[int, Field(ge=256)] = 8192


# The tags decide which kind is meant, so that a fault is told once, against that kind alone.
AnyStage = Annotated[
    Annotated[NetworkSegment | ThresholdSegment | GrowthSegment, Field(discriminator="by")]
    | Annotated[BlobDetect | HeatMapDetect, Field(discriminator="by")]
    | NetworkClassify
    | Measure,
    Field(discriminator="kind"),
]


class Manifest(Part):
    """A model package as its maker declares it."""

    package: Identity
    accept: Accept
    stages: Annotated[tuple[AnyStage, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    running: Running = Running()
