"""A result as a PDF of one page, or of a few where there are many findings."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from fpdf.fonts import FontFace
from PIL import Image

from dicom_node.texts import render_number
from dicom_node.values import CodedConcept, Finding, Geometry, Measurement, Picture

from .captions import sentence_for
from .changes import change_sentence, comparison_sentences, name_prior_without_date
from .inputs import Inputs
from .outlines import largest_slice, outline
from .sentences import find_missing
from .sheet import BLACK, GREY, MARGIN_MM, WIDTH_MM, Sheet
from .titles import LATERALITY

_RED, _WHITE, _LINE, _TINT, _RED_TINT = (170, 20, 20), (255, 255, 255), (190, 195, 200), (234, 238, 243), (252, 236, 236)

_MOST_PICTURES = 4  # side by side
_GAP_MM = 4.0
_PICTURE_MM = (WIDTH_MM - (_MOST_PICTURES - 1) * _GAP_MM) / _MOST_PICTURES
_LEAST_CROP_MM = 60.0  # of a picture, so that what lies around a small finding says where it is
_CROP = 3.0  # how many times as wide as the finding a picture is

_Column = tuple[CodedConcept, CodedConcept | None, CodedConcept]  # of measurements: concept, derivation, unit


def write_pdf(inputs: Inputs, identifier: str, title: str) -> bytes:
    """The file: what kind of result this is, pictures, findings, what was not detected, reservations.

    `identifier`: 32 hexadecimal digits. The same arguments give the same bytes.
    """
    document = Sheet(inputs, identifier, title)
    document.add_page()
    _write_head(document, inputs)
    if inputs.result.findings:
        document.heading("page-found")
        _draw_pictures(document, inputs)
        _write_table(document, inputs)
    _write_not_detected(document, inputs)
    _write_changes(document, inputs)
    _write_reservations(document, inputs)
    return document.content()


# -- text -------------------------------------------------------------------------------------------------------------------


def _write_head(document: Sheet, inputs: Inputs) -> None:
    """Title, what kind of result this is, which model, which series."""
    package, number, geometry = inputs.result.package, inputs.source.series_number, inputs.result.geometry
    document.use(18, "B")
    document.paragraph(document.say("page-title", title=package.title), 8.5)
    document.ln(1.5)
    document.use(10, "B", BLACK if package.product else _RED)
    document.set_fill_color(*(_TINT if package.product else _RED_TINT))
    document.paragraph(document.say("page-product" if package.product else "research"), 7, filled=True)
    document.paragraph(document.say("unverified"), 7, filled=True)
    document.ln(1.5)
    document.use(10)
    document.paragraph(document.say("page-model", model=package.name, version=package.version, manufacturer=package.manufacturer))
    if number is None:
        document.paragraph(document.say(sentence_for("page-series-without-number", geometry), slices=geometry.shape[0]))
    else:
        document.paragraph(document.say(sentence_for("page-series", geometry), number=number, slices=geometry.shape[0]))


def _write_table(document: Sheet, inputs: Inputs) -> None:
    """A row for each finding, a column for each kind of measurement; below it what a score means."""
    findings, threshold = inputs.result.findings, inputs.result.threshold
    columns = list(dict.fromkeys(_column(measurement) for finding in findings for measurement in finding.measurements))
    has_scores = any(finding.score is not None for finding in findings)
    headings = [document.say(name) for name in ("page-number", "page-finding", "page-site", "page-image-heading")]
    headings += [_head_of(column, document) for column in columns]
    if has_scores:
        headings.append(document.say("page-score") if threshold is None else document.say("page-score-threshold", threshold=threshold))
    fixed_mm = [9.0, 27.0, 31.0, 13.0, *([18.0] if has_scores else [])]
    measured_mm = (WIDTH_MM - sum(fixed_mm)) / max(len(columns), 1)
    widths_mm = [*fixed_mm[:4], *([measured_mm] * len(columns)), *fixed_mm[4:]]
    document.use(9)
    document.set_fill_color(*_WHITE)
    document.set_draw_color(*_LINE)
    with document.table(
        width=sum(widths_mm),
        col_widths=widths_mm,
        align="LEFT",
        text_align=("RIGHT", "LEFT", "LEFT", *["RIGHT"] * (len(widths_mm) - 3)),
        borders_layout="HORIZONTAL_LINES",
        headings_style=FontFace(emphasis="BOLD", fill_color=_TINT),
        line_height=4.2,
        padding=(0.6, 1.0),
        v_align="TOP",
    ) as table:
        table.row(headings)
        for finding in findings:
            table.row(list(_cells(finding, columns, document, _image_of(finding, inputs), has_scores=has_scores)))
    if threshold is not None and has_scores:
        document.ln(1.5)
        document.use(9, colour=GREY)
        document.paragraph(document.say("score", threshold=threshold), 4.2)


def _cells(finding: Finding, columns: Sequence[_Column], document: Sheet, image: str, *, has_scores: bool) -> Iterator[str]:
    """Number, label, site and side, image, measurements, score; empty where the finding has none."""
    values = {_column(one): render_number(one.value, one.digits, document.language) for one in finding.measurements}
    side = None if finding.laterality is None else LATERALITY[finding.laterality]
    yield str(finding.number)
    yield finding.label
    yield ", ".join(document.name(concept) for concept in (finding.site, side) if concept is not None)
    yield image
    yield from (values.get(column, "") for column in columns)
    if has_scores:
        yield "" if finding.score is None else render_number(finding.score, 2, document.language)


def _column(measurement: Measurement) -> _Column:
    return measurement.concept, measurement.derivation, measurement.unit


def _head_of(column: _Column, document: Sheet) -> str:
    """As in `Attenuation, mean (HU)`; no unit where it is one."""
    concept, derivation, unit = column
    name = ", ".join(document.name(one) for one in (concept, derivation) if one is not None)
    heading = name[:1].upper() + name[1:]
    return heading if unit.value == "1" else f"{heading} ({document.name(unit)})"


def _image_of(finding: Finding, inputs: Inputs) -> str:
    """The number by which a viewer shows the image on which a finding is largest: Instance Number, else of its frame or slice."""
    index = largest_slice(finding)
    _, number = _place(inputs, index)
    return str(number)


def _place(inputs: Inputs, index: int) -> tuple[str, int]:
    """How a slice is called, as a sentence of the catalogue, and its number."""
    frame = inputs.result.geometry.frames[index]
    instance = inputs.instances[frame.sop_instance_uid]
    if len(instance.frames) > 1:
        return "page-frame", frame.frame_number
    text = next(iter(instance.attribute("InstanceNumber")), "").strip()
    return ("page-image", int(text)) if text.isdecimal() else (sentence_for("page-slice", inputs.result.geometry), index + 1)


def _write_not_detected(document: Sheet, inputs: Inputs) -> None:
    """What was looked for and not detected, each as a sentence; large where that is all there is to say."""
    result = inputs.result
    missing = find_missing(result)
    if not missing:
        return
    document.heading("page-not-detected")
    document.use(10 if result.findings else 13, "" if result.findings else "B")
    for concept in missing:
        document.paragraph(document.say("not-detected", what=document.name(concept)), 4.8 if result.findings else 6.5)


def _write_changes(document: Sheet, inputs: Inputs) -> None:
    """With which study the result was compared, what has become of each finding, and which of the prior's have no counterpart."""
    result, language = inputs.result, document.language
    if result.comparison is None:
        return
    document.heading("page-changes")
    prior = name_prior_without_date(result, language)
    compared = [document.bind(text) for text in comparison_sentences(result, prior, language)]
    unmatched = len(result.comparison.unmatched)
    changes = [
        document.say("page-change", number=one.number, label=one.label, what=change_sentence(one.change, prior, language))
        for one in result.findings
        if one.change is not None
    ]
    for text in [*compared[: len(compared) - unmatched], *changes, *compared[len(compared) - unmatched :]]:
        document.paragraph(text)


def _write_reservations(document: Sheet, inputs: Inputs) -> None:
    """What a reader must know, and whether an earlier result is replaced."""
    names = [*inputs.result.reservations, *([] if inputs.result.predecessor_key is None else ["predecessor"])]
    if not names:
        return
    document.heading("page-reservations")
    for name in names:
        document.paragraph(document.say(name))


# -- pictures ---------------------------------------------------------------------------------------------------------------


def _draw_pictures(document: Sheet, inputs: Inputs) -> None:
    """The first findings of which there is a picture, side by side, each with its outline and below it where that is."""
    pictures: Mapping[int, Picture] = {one.slice_index: one for one in getattr(inputs.result, "pictures", ())}
    shown = [finding for finding in inputs.result.findings if largest_slice(finding) in pictures][:_MOST_PICTURES]
    if not shown:
        return
    document.ln(1)
    top_mm = lowest_mm = document.get_y()
    for place, finding in enumerate(shown):
        index, left_mm = largest_slice(finding), MARGIN_MM + place * (_PICTURE_MM + _GAP_MM)
        _draw_picture(document, pictures[index], finding, inputs.result.geometry, (left_mm, top_mm))
        name, number = _place(inputs, index)
        document.set_xy(left_mm, top_mm + _PICTURE_MM + 0.8)
        document.use(8.5)
        caption = f"{finding.number} {finding.label}, " + document.say(name, number=number, count=inputs.result.geometry.shape[0])
        document.multi_cell(_PICTURE_MM, 3.8, caption, align="L", max_line_height=3.8)
        lowest_mm = max(lowest_mm, document.get_y())
    document.set_xy(MARGIN_MM, lowest_mm + 2)


def _draw_picture(document: Sheet, picture: Picture, finding: Finding, geometry: Geometry, corner_mm: tuple[float, float]) -> None:
    """The part of a slice around a finding, as large as the square at `corner_mm` (left, top) of the page allows."""
    (row_mm, column_mm), (left_mm, top_mm) = geometry.pixel_proportions, corner_mm
    shown = tuple(
        _reduce(one, picture.reduced_by, size) for one, size in zip(find_crop(finding, geometry), picture.pixels.shape, strict=True)
    )
    rows, columns = (slice(one.start * picture.reduced_by, one.stop * picture.reduced_by) for one in shown)
    height_mm, width_mm = (rows.stop - rows.start) * row_mm, (columns.stop - columns.start) * column_mm
    scale = _PICTURE_MM / max(height_mm, width_mm)
    left_mm += (_PICTURE_MM - width_mm * scale) / 2
    part = Image.fromarray(np.ascontiguousarray(picture.pixels[shown]))
    document.image(part, left_mm, top_mm, width_mm * scale, height_mm * scale)
    document.set_draw_color(*finding.colour_rgb)
    document.set_line_width(0.3)
    (first, row, column), voxels = finding.mask.origin, finding.mask.voxels
    for line in outline(voxels[largest_slice(finding) - first], (row, column)):
        points = [((x - columns.start) * column_mm * scale + left_mm, (y - rows.start) * row_mm * scale + top_mm) for x, y in line]
        document.polygon(points, style="D")
    document.set_line_width(0.2)


def _reduce(part: slice, by: int, size: int) -> slice:
    """The pixels of a picture that hold this part of the grid, of which each is a square of `by` by `by`; at least one of `size`."""
    start = min(part.start // by, size - 1)
    return slice(start, max(start + 1, min(-(-part.stop // by), size)))


def find_crop(finding: Finding, geometry: Geometry) -> tuple[slice, slice]:
    """Rows and columns around a finding: a square in the patient, where the image is large enough."""
    (_, *origin), (_, *extent) = finding.mask.origin, finding.mask.voxels.shape
    spacing_mm = geometry.pixel_proportions
    side_mm = max(_LEAST_CROP_MM, *(_CROP * count * mm for count, mm in zip(extent, spacing_mm, strict=True)))
    parts = []
    for first, count, size, mm in zip(origin, extent, geometry.shape[1:], spacing_mm, strict=True):
        wanted = min(size, max(count, round(side_mm / mm)))
        start = min(max(first + count // 2 - wanted // 2, 0), size - wanted)
        parts.append(slice(start, start + wanted))
    rows, columns = parts
    return rows, columns
