"""`overview.png`: for each finding its slice, a close view and a cut along the body, with the outline of the segmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from scipy.ndimage import binary_dilation, zoom

from tests.make.chest import Nodule

from .results import UNITS, Group, Made, Segment
from .study import Study

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

VIEW, GAP, CAPTION, HEAD = 340, 12, 34, 64  # pixels
CLOSE_MM = 60.0
MOST_ROWS = 12
OUTLINE, INK, PAPER, FAINT = (255, 196, 0), (238, 238, 238), (17, 19, 23), (160, 166, 175)


@dataclass(frozen=True)
class Stack:
    """A series as one array: (slices, rows, columns), in modality units, slices along the normal."""

    values: npt.NDArray[np.float32]
    first_lps: npt.NDArray[np.float64]
    row: npt.NDArray[np.float64]  # direction of a growing column index
    column: npt.NDArray[np.float64]  # direction of a growing row index
    spacing_mm: tuple[float, float, float]
    is_ct: bool

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        return np.cross(self.row, self.column)


def draw(file: Path, study: Study, made: Sequence[Made], planted: Sequence[Nodule], found: Mapping[int, Segment], title: str) -> None:
    """Write the picture: a row per finding, or the middle of the largest series where there is none."""
    groups = {group.tracking_uid: group for one in made for group in one.groups if group.tracking_uid}
    rows: list[tuple[Image.Image, str]] = []
    segments = [segment for one in made for segment in one.segments]
    stacks: dict[str, Stack | None] = {}
    for segment in segments[:MOST_ROWS]:
        uid = segment.source_series_uid
        if uid not in stacks:
            stacks[uid] = _read_stack([one.file for one in study.instances if one.series_instance_uid == uid])
        stack = stacks[uid]
        if stack is not None:
            rows.append((_draw_finding(stack, segment), _caption(segment, groups, planted, found)))
    if not rows:
        stack = _read_stack(_largest_series(study))
        if stack is not None:
            # an empty picture must not read as "nothing found" where nobody looked
            rows.append((_draw_middle(stack), "analysed: no finding" if made else "not analysed: the table says why"))
    missed = [nodule for number, nodule in enumerate(planted) if number not in found]
    _paste(file, rows, title, f"not found: {', '.join(f'{n.diameter_mm:g} mm {n.side}' for n in missed)}" if missed and segments else "")


def _largest_series(study: Study) -> list[Path]:
    series: dict[str, list[Path]] = {}
    for instance in study.instances:
        series.setdefault(instance.series_instance_uid, []).append(instance.file)
    return max(series.values(), key=len)


def _read_stack(files: Sequence[Path]) -> Stack | None:
    """One frame per file, sorted by place; None where the files are no such series, and then there is no picture of it."""
    datasets = [dcmread(file) for file in files]
    if not datasets or any("ImagePositionPatient" not in one or one.get("NumberOfFrames", 1) > 1 for one in datasets):
        return None
    if len({(one.Rows, one.Columns) for one in datasets}) != 1 or datasets[0].SamplesPerPixel != 1:
        return None
    orientation = np.array(datasets[0].ImageOrientationPatient, dtype=float)
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    datasets.sort(key=lambda one: float(np.dot(normal, np.array(one.ImagePositionPatient, dtype=float))))
    at = [float(np.dot(normal, np.array(one.ImagePositionPatient, dtype=float))) for one in datasets]
    between = (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else 1.0
    values = np.stack(
        [one.pixel_array * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0)) for one in datasets]
    ).astype(np.float32)
    spacing = datasets[0].PixelSpacing
    return Stack(
        values=values,
        first_lps=np.array(datasets[0].ImagePositionPatient, dtype=float),
        row=row,
        column=column,
        spacing_mm=(between or 1.0, float(spacing[0]), float(spacing[1])),
        is_ct=datasets[0].Modality == "CT",
    )


def _draw_finding(stack: Stack, segment: Segment) -> Image.Image:
    mask = _place_mask(stack, segment)
    middle = np.argwhere(mask).mean(axis=0).round().astype(int) if mask.any() else np.array(stack.values.shape) // 2
    index = int(np.argmax(mask.sum(axis=(1, 2)))) if mask.any() else int(middle[0])
    down, across = stack.spacing_mm[1:]
    half_rows, half_columns = int(CLOSE_MM / 2 / down), int(CLOSE_MM / 2 / across)
    rows = slice(max(middle[1] - half_rows, 0), middle[1] + half_rows)
    columns = slice(max(middle[2] - half_columns, 0), middle[2] + half_columns)
    views = [
        _view(stack, stack.values[index], mask[index], (down, across), bar_mm=50),
        _view(stack, stack.values[index, rows, columns], mask[index, rows, columns], (down, across), bar_mm=10),
        # slices run along the normal, which for axial images points to the head: the head belongs to the top
        _view(stack, stack.values[::-1, middle[1]], mask[::-1, middle[1]], (stack.spacing_mm[0], across), bar_mm=50),
    ]
    return _side_by_side(views)


def _draw_middle(stack: Stack) -> Image.Image:
    nothing = np.zeros(stack.values.shape, dtype=bool)
    indices = [stack.values.shape[0] * part // 4 for part in (1, 2, 3)]
    return _side_by_side([_view(stack, stack.values[i], nothing[i], stack.spacing_mm[1:], bar_mm=50) for i in indices])


def _place_mask(stack: Stack, segment: Segment) -> Mask:
    """The segment on the stack's grid, placed by its own positions in the patient."""
    mask = np.zeros(stack.values.shape, dtype=bool)
    slices, height, width = mask.shape
    for plane in segment.planes:
        offset = plane.position_lps - stack.first_lps
        k = round(float(offset @ stack.normal) / stack.spacing_mm[0])
        down, across = np.nonzero(plane.mask)
        i = down + round(float(offset @ stack.column) / stack.spacing_mm[1])
        j = across + round(float(offset @ stack.row) / stack.spacing_mm[2])
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        if 0 <= k < slices:
            mask[k, i[inside], j[inside]] = True
    return mask


def _view(stack: Stack, values: npt.NDArray[np.float32], mask: Mask, spacing_mm: tuple[float, float], *, bar_mm: int) -> Image.Image:
    """One cut in true proportions inside a square, with the outline and a bar of `bar_mm`."""
    height_mm, width_mm = values.shape[0] * spacing_mm[0], values.shape[1] * spacing_mm[1]
    scale = VIEW / max(height_mm, width_mm)  # pixels per millimetre
    factors = (spacing_mm[0] * scale, spacing_mm[1] * scale)
    grey = zoom(_to_grey(stack, values), factors, order=1).clip(0, 255).astype(np.uint8)
    large = zoom(mask.astype(np.float32), factors, order=1) > 0.5
    colour = np.repeat(grey[..., None], 3, axis=2)
    colour[binary_dilation(large, iterations=2) & ~large] = OUTLINE
    canvas = Image.new("RGB", (VIEW, VIEW), (0, 0, 0))
    canvas.paste(Image.fromarray(colour), ((VIEW - colour.shape[1]) // 2, (VIEW - colour.shape[0]) // 2))
    _draw_bar(canvas, scale, bar_mm)
    return canvas


def _to_grey(stack: Stack, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if stack.is_ct:  # the usual lung window
        low, high = -1250.0, 250.0
    else:
        low, high = (float(value) for value in np.percentile(stack.values, (1, 99)))
    return (values - low) / max(high - low, 1e-6) * 255.0


def _draw_bar(canvas: Image.Image, scale: float, bar_mm: int) -> None:
    pen = ImageDraw.Draw(canvas)
    length = bar_mm * scale
    left, y = 14, VIEW - 16
    right = left + max(length, pen.textlength(f"{bar_mm} mm", font=_font(14)))
    pen.rectangle([(left - 6, y - 24), (right + 6, y + 6)], fill=(0, 0, 0))  # readable on bone as on air
    pen.line([(left, y), (left + length, y)], fill=INK, width=3)
    pen.text((left, y - 22), f"{bar_mm} mm", fill=INK, font=_font(14))


def _side_by_side(views: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (len(views) * VIEW + (len(views) - 1) * GAP, VIEW), PAPER)
    for number, view in enumerate(views):
        whole.paste(view, (number * (VIEW + GAP), 0))
    return whole


def _caption(segment: Segment, groups: Mapping[str, Group], planted: Sequence[Nodule], found: Mapping[int, Segment]) -> str:
    parts = [f"{segment.number}. {segment.label}"]
    shown = [f"planted: {planted[number].diameter_mm:g} mm, {planted[number].side}" for number, one in found.items() if one is segment]
    parts += shown if shown or not planted else ["not planted"]
    group = groups.get(segment.tracking_uid)
    parts += [_number(*one) for one in group.numbers if one[0] != "Threshold Value"] if group else [f"{segment.volume_ml:.2f} ml"]
    return "  ·  ".join(parts)


def _number(name: str, value: float, unit: str) -> str:
    short = "score" if name.startswith("Score") else "mean" if name.startswith("Attenuation") else name.lower()
    return f"{short} {value:g} {UNITS.get(unit, unit)}".rstrip()


def _paste(file: Path, rows: Sequence[tuple[Image.Image, str]], title: str, foot: str) -> None:
    width = 3 * VIEW + 4 * GAP
    height = HEAD + len(rows) * (VIEW + CAPTION + GAP) + (CAPTION if foot else 0)
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, 10), title, fill=INK, font=_font(20))
    pen.text(
        (GAP, 38),
        "slice  ·  close view  ·  cut along the stack      outline: segmentation as the archive holds it",
        fill=FAINT,
        font=_font(14),
    )
    top = HEAD
    for image, caption in rows:
        pen.text((GAP, top + 6), _fit(pen, caption, width - 2 * GAP), fill=INK, font=_font(15))
        picture.paste(image, (GAP, top + CAPTION))
        top += VIEW + CAPTION + GAP
    if foot:
        pen.text((GAP, top + 4), foot, fill=INK, font=_font(15))
    picture.save(file, optimize=True)


def _fit(pen: ImageDraw.ImageDraw, text: str, width: float) -> str:
    while pen.textlength(text, font=_font(15)) > width:
        text = text[: -len(text) // 20 or -1].rstrip(" ·…") + "…"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:  # not every machine has it
        return ImageFont.load_default(size)
