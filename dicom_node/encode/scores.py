"""A Parametric Map of what the model gave each voxel: scores, for people who work on models.

16-bit integers, of which a Real World Value Mapping makes the score: archives and viewers that know parametric maps read these, and few of
them floating point (docs/decisions/0027-scores-are-16-bit-integers-on-the-networks-grid.md).

Source: PS3.3 A.75, C.8.32.
"""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.errors import EncodingError
from dicom_node.texts import render_meaning, render_report
from dicom_node.values import SCORE_STEPS, ObjectKind, ScoreMap

from .elements import LONGEST_VALUE_BYTES, Values, tag_of
from .frames import FrameItems
from .groups import SCORE
from .inputs import Inputs
from .label_map import describe_planes
from .meanings import translate
from .seg import decimal_strings, name_dimensions, references_to_all, source_of, stand_in
from .titles import content_creator, series_description

_DIGITS = 6  # of a place in slices: half-way between two of them is half-way on every machine


def make_scores(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Values]:
    """The parametric map of a result that has scores, and its elements that are encoded already: as `seg.make_segmentations`.

    A frame for each slice of the network's grid, which names the source image that lies nearest. Raises EncodingError where the images
    have no place in the patient, or the map is too large for Pixel Data.
    """
    scores = inputs.result.scores
    if scores is None:
        raise EncodingError("scores of the result")
    count, rows, columns = scores.scores.shape
    if scores.scores.nbytes > LONGEST_VALUE_BYTES:
        raise EncodingError("size of the scores")
    made = make_map(inputs, kind, [place_on(inputs, scores, 0, shape=(1, 1))], np.zeros((1, 1, 1), dtype=np.uint16))
    (example,) = made.PerFrameFunctionalGroupsSequence
    del made.PerFrameFunctionalGroupsSequence, made.PixelData
    made.NumberOfFrames, made.Rows, made.Columns = count, rows, columns
    if count > 1:
        made.DimensionOrganizationType = "3D"  # its slices lie evenly along the normal (PS3.3 C.7.6.17.3)
    affine = np.array(scores.lps_from_index)
    places_lps = affine[:3, 3] + np.arange(count)[:, None] * affine[:3, 0]
    positions = {index: "\\".join(decimal_strings(place)).encode() for index, place in enumerate(places_lps.tolist())}
    sources = {index: source_of(inputs, nearest) for index, nearest in enumerate(_find_nearest(inputs, places_lps.tolist()))}
    items = FrameItems.of(example, sources, positions)
    return made, {
        **inputs.source.image,
        **references_to_all(inputs),
        tag_of("PerFrameFunctionalGroupsSequence"): ("SQ", describe_planes(range(count)[::-1], items)),
        tag_of("PixelData"): ("OW", np.ascontiguousarray(scores.scores[::-1].astype("<u2", copy=False)).data.cast("B")),
    }


def make_map(
    inputs: Inputs, kind: ObjectKind, sources: Sequence[Dataset], pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]
) -> Dataset:
    """What highdicom makes of stand-ins for the source images and the pixels on them."""
    result, scores, language = inputs.result, inputs.result.scores, inputs.language
    assert scores is not None
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=SCORE.value,
        lut_explanation=render_meaning(SCORE, language),
        unit=codes.UCUM.NoUnits,
        value_range=(0, SCORE_STEPS),
        slope=1 / SCORE_STEPS,
        intercept=0,
        quantity_definition=Code(SCORE.value, SCORE.scheme, SCORE.meaning),
    )
    made = hd.pm.ParametricMap(
        source_images=sources,
        pixel_array=pixels,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=(SCORE_STEPS + 1) / 2, window_width=SCORE_STEPS + 1)],
        content_label="AI_SCORES",
        content_description=series_description(result.package),
        content_creator_name=content_creator(inputs.profile.ae_title),
        **(inputs.names(kind) | {"series_description": series_description(result.package, "scores")}),
    )
    package = result.package
    made.DerivationDescription = render_report("derived-scores", language, stage=scores.stage, model=package.name, version=package.version)
    translate(made, language)
    name_dimensions(made, inputs.uids(kind))
    return made


def place_on(inputs: Inputs, scores: ScoreMap, index: int, shape: tuple[int, int]) -> Dataset:
    """A source image as highdicom wants to see it, of so many (rows, columns), that lies where a slice of the map does."""
    affine = np.array(scores.lps_from_index)
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, [2, 1]] / spacing_mm[[2, 1]]
    source = stand_in(inputs, 0, columns=shape[1])
    source.Rows = shape[0]
    source.ImagePositionPatient = decimal_strings((affine[:3, 3] + index * affine[:3, 0]).tolist())
    source.ImageOrientationPatient = decimal_strings(cosines.T.ravel().tolist())
    source.PixelSpacing = decimal_strings(spacing_mm[1:].tolist())
    source.SliceThickness = source.SpacingBetweenSlices = decimal_strings(spacing_mm[:1].tolist())[0]
    return source


def _find_nearest(inputs: Inputs, places_lps: Sequence[Sequence[float]]) -> list[int]:
    """The slice of the source's grid next to each of these places; of two that are equally near, always the same."""
    geometry = inputs.result.geometry
    index_from_lps = np.linalg.inv(np.array(geometry.lps_from_index, dtype=float))
    along = np.array(places_lps) @ index_from_lps[0, :3] + index_from_lps[0, 3]
    return [int(index) for index in np.clip(np.rint(np.round(along, _DIGITS)), 0, geometry.shape[0] - 1)]
