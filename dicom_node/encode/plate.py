"""A picture of a result as a page: the slice enlarged, the outlines of its findings, their caption, a scale bar, the patient's sides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dicom_node.texts import Language, render_report
from dicom_node.values import Finding, Form, Geometry, Picture

from .captions import describe, name_slice
from .drawing import AMBER, WHITE, Block, Colour, Style, font_of, height_of, paint, paragraph
from .inputs import Inputs
from .outlines import Point, outline
from .views import read_view

_LONGEST_PX = 768  # the longer side of the slice
_WIDTH_PX, _MARGIN_PX = 768, 16  # of the page, at least; round its text
_LINE_PX = 2
_SMALLEST_PX, _RING_PX = 8, 9  # an outline smaller than this has a ring of this radius around it
_SCALE_BARS_MM = (200, 100, 50, 20, 10, 5, 2, 1)
_SMALLEST_COSINE = 0.2  # of an axis of the patient that an edge names: some 12 degrees

_TITLE = Style(24, is_bold=True)
_WARNING = Style(20, is_bold=True, colour=AMBER)
_TEXT = Style(20)
_ON_IMAGE = Style(22, is_bold=True)

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the page


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the slice lies on the page, in pixels, and how many pixels of the page a column and a row of the grid take.

    `px_per_mm` is None where the spacing is not known.
    """

    left: int
    top: int
    width: int
    height: int
    column_px: float
    row_px: float
    px_per_mm: float | None

    @property
    def corner(self) -> tuple[int, int]:
        return self.left + self.width, self.top + self.height

    def place(self, point: Point) -> tuple[float, float]:
        """A point of the source image, on the page."""
        return self.left + point[0] * self.column_px, self.top + point[1] * self.row_px


def draw_plate(inputs: Inputs, picture: Picture, number: int, count: int) -> Image.Image:
    """The page, RGB, `number` of `count` in its series. It is as high as slice and text need."""
    language, geometry = inputs.profile.language, inputs.result.geometry
    shown = [finding for finding in inputs.result.findings if finding.mask.on_slice(picture.slice_index).any()]
    width_px, height_px = _size_of(picture, geometry)
    page_px = max(_WIDTH_PX, width_px)
    head = _head(inputs, language, page_px - 2 * _MARGIN_PX)
    frame = _frame(picture, geometry, ((page_px - width_px) // 2, height_of(head) + 2 * _MARGIN_PX), (width_px, height_px))
    notes = [render_report("page", language, number=number, count=count)]
    if any(_is_tiny(finding.mask.on_slice(picture.slice_index), frame) for finding in shown):
        notes.append(render_report("ring", language))
    foot = _caption(inputs, picture, shown, notes, page_px - 2 * _MARGIN_PX)
    page = Image.new("RGB", (page_px, frame.corner[1] + height_of(foot) + 2 * _MARGIN_PX))
    page.paste(Image.fromarray(picture.pixels).resize((width_px, height_px), Image.Resampling.BICUBIC), (frame.left, frame.top))
    draw = ImageDraw.Draw(page)
    paint(draw, head, _MARGIN_PX, _MARGIN_PX)
    paint(draw, foot, _MARGIN_PX, frame.corner[1] + _MARGIN_PX)
    taken = [*_draw_sides(draw, frame, find_directions(inputs, picture.slice_index)), *_draw_scale_bar(draw, frame)]
    _draw_findings(draw, frame, picture, shown, taken)
    return page


def find_directions(inputs: Inputs, index: int) -> tuple[str, str]:
    """Where in the patient the rows of a slice run to, and its columns; empty where nothing says it.

    A projection has no place in the patient; its header may say it in letters (PS3.3 C.7.6.1.1.1).
    """
    geometry = inputs.result.geometry
    if geometry.form is not Form.PROJECTION:
        return name_directions(geometry)
    return read_view(inputs.instances[geometry.frames[index].sop_instance_uid]).orientation or ("", "")


def name_directions(geometry: Geometry) -> tuple[str, str]:
    """Where in the patient the rows of the image run to, and its columns; empty where the images have no place in the patient.

    One to three letters of L, R, P, A, H, F, the direction that says most first. Source: PS3.3 C.7.6.1.1.1.
    """
    if geometry.lps_from_index is None:
        return "", ""
    affine = np.array(geometry.lps_from_index, dtype=float)[:3, :3]
    _, down, across = (affine / np.linalg.norm(affine, axis=0)).T
    return _letters(across), _letters(down)


def _letters(direction: Iterable[float]) -> str:
    cosines = [(abs(cosine), pair[int(cosine < 0)]) for cosine, pair in zip(direction, ("LR", "PA", "HF"), strict=True)]
    return "".join(letter for size, letter in sorted(cosines, key=lambda one: -one[0]) if size >= _SMALLEST_COSINE)


def _size_of(picture: Picture, geometry: Geometry) -> tuple[int, int]:
    """Width and height of the slice on the page, in the proportions that it has in the patient; even, as Pixel Data has to be."""
    rows, columns = picture.pixels.shape
    row_mm, column_mm = geometry.pixel_proportions
    longest_mm = max(rows * row_mm, columns * column_mm)
    width, height = (max(2, round(extent_mm / longest_mm * _LONGEST_PX / 2) * 2) for extent_mm in (columns * column_mm, rows * row_mm))
    return width, height


def _frame(picture: Picture, geometry: Geometry, corner: tuple[int, int], size: tuple[int, int]) -> _Frame:
    rows, columns = (extent * picture.reduced_by for extent in picture.pixels.shape)
    column_px, row_px = size[0] / columns, size[1] / rows
    column_mm = geometry.spacing_mm[2]
    return _Frame(*corner, *size, column_px, row_px, px_per_mm=column_px / column_mm if column_mm > 0 else None)


def _head(inputs: Inputs, language: Language, width_px: int) -> list[Block]:
    package = inputs.result.package
    names = ["unverified"] if package.product else ["research", "unverified"]
    return [
        paragraph(render_report("model", language, title=package.title, version=package.version), _TITLE, width_px),
        *(paragraph(render_report(name, language), _WARNING, width_px, below_px=2) for name in names),
    ]


def _caption(inputs: Inputs, picture: Picture, shown: Sequence[Finding], notes: Sequence[str], width_px: int) -> list[Block]:
    """No text here has the colour of a finding: that colour stands for an outline and its number."""
    language = inputs.profile.language
    window = render_report("window", language, centre=picture.window_centre, width=picture.window_width)
    where = ". ".join([name_slice(inputs, picture.slice_index, language), window, *notes]) + "."
    return [paragraph(text, _TEXT, width_px) for text in (where, *(describe(finding, inputs.result, language) for finding in shown))]


def _draw_sides(draw: ImageDraw.ImageDraw, frame: _Frame, directions: tuple[str, str]) -> list[Rectangle]:
    """The letters of the patient's sides at the middle of each edge; where they stand."""
    across, down = directions
    middle = frame.left + frame.width / 2, frame.top + frame.height / 2
    places = [
        (_opposite(across), (frame.left + 6, middle[1]), "lm"),
        (across, (frame.corner[0] - 6, middle[1]), "rm"),
        (_opposite(down), (middle[0], frame.top + 4), "ma"),
        (down, (middle[0], frame.corner[1] - 4), "md"),
    ]
    return [_draw_text(draw, place, text, WHITE, anchor) for text, place, anchor in places if text]


def _opposite(letters: str) -> str:
    return letters.translate(str.maketrans("LRPAHF", "RLAPFH"))


def _draw_scale_bar(draw: ImageDraw.ImageDraw, frame: _Frame) -> list[Rectangle]:
    """The longest bar that takes no more than a quarter of the width, at the lower right; where it stands, or nothing where none fits."""
    px_per_mm = frame.px_per_mm
    length_mm = next((mm for mm in _SCALE_BARS_MM if px_per_mm is not None and mm * px_per_mm <= frame.width / 4), None)
    if px_per_mm is None or length_mm is None:
        return []
    right, bottom = frame.corner[0] - 14, frame.corner[1] - 14
    left = right - length_mm * px_per_mm
    for width, colour in ((6, (0, 0, 0)), (2, WHITE)):
        draw.line([(left, bottom - 8), (left, bottom), (right, bottom), (right, bottom - 8)], fill=colour, width=width)
    text = _draw_text(draw, ((left + right) / 2, bottom - 6), f"{length_mm} mm", WHITE, "md")
    return [(min(left, text[0]), text[1], right, float(bottom))]


def _draw_findings(draw: ImageDraw.ImageDraw, frame: _Frame, picture: Picture, shown: Sequence[Finding], taken: list[Rectangle]) -> None:
    """The outline of each finding, the smallest last, so that a large one does not hide it; then their numbers, where there is room."""
    regions = [(finding, finding.mask.on_slice(picture.slice_index)) for finding in shown]
    boxes = []
    for finding, region in sorted(regions, key=lambda one: -np.count_nonzero(one[1])):
        _, row, column = finding.mask.origin
        lines = [[frame.place(point) for point in line] for line in outline(region, (row, column))]
        for line in lines:
            draw.line(line, fill=finding.colour_rgb, width=_LINE_PX)
        points = [point for line in lines for point in line]
        (left, right), (top, bottom) = ((min(ends), max(ends)) for ends in zip(*points, strict=True))
        box = left, top, right, bottom
        if _is_tiny(region, frame):
            box = _around((left + right) / 2, (top + bottom) / 2)
            draw.ellipse(box, outline=finding.colour_rgb, width=_LINE_PX)
        boxes.append((finding, box))
    taken += [box for _, box in boxes]
    for finding, box in boxes:
        place = _find_room(draw, str(finding.number), box, frame, taken)
        taken.append(_draw_text(draw, place, str(finding.number), finding.colour_rgb, "la"))


def _is_tiny(region: npt.NDArray[np.bool_], frame: _Frame) -> bool:
    """Whether nobody would see the outline of a region on the page, such as that of a calcification on a whole breast."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    height_px, width_px = (rows[-1] + 1 - rows[0]) * frame.row_px, (columns[-1] + 1 - columns[0]) * frame.column_px
    return bool(max(height_px, width_px) < _SMALLEST_PX)


def _around(x: float, y: float) -> Rectangle:
    return x - _RING_PX, y - _RING_PX, x + _RING_PX, y + _RING_PX


def _find_room(draw: ImageDraw.ImageDraw, text: str, box: Rectangle, frame: _Frame, taken: Sequence[Rectangle]) -> tuple[float, float]:
    """The place beside a box for a text, on the slice, that covers least of what is taken; the first of equal ones, from its top down."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font_of(_ON_IMAGE), anchor="la", stroke_width=2)
    width, height = right - left, bottom - top
    beside = (box[2] + 6, box[0] - width - 6)
    wanted = [(x, box[1] + step * height) for step in (0, -1, 1, -2, 2, -3, 3) for x in beside]
    inside = [
        (min(max(x, frame.left + 2), frame.corner[0] - width - 2), min(max(y, frame.top + 2), frame.corner[1] - height - 2))
        for x, y in wanted
    ]
    return min(inside, key=lambda place: sum(_shared_px((*place, place[0] + width, place[1] + height), other) for other in taken))


def _shared_px(one: Rectangle, other: Rectangle) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _draw_text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: Colour, anchor: str) -> Rectangle:
    """Text with a black edge, to be read on white and on black; the place that it takes."""
    draw.text(place, text, fill=colour, font=font_of(_ON_IMAGE), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    return draw.textbbox(place, text, font=font_of(_ON_IMAGE), anchor=anchor, stroke_width=2)
