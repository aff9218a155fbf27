"""Text on pictures: wrapped to its width, never cut."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

WHITE: Colour = (232, 232, 232)
AMBER: Colour = (255, 190, 60)

_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks: the height of its font in pixels."""

    size_px: int = 21
    is_bold: bool = False
    colour: Colour = WHITE


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, its upper left corner at (left, top) of its block, in pixels."""

    left: int
    top: int
    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that stay on one page, and how many pixels they take with the space beneath them.

    `mark` is the colour of a square before the first line. `heading` stands above the first of several blocks that have the same.
    """

    height_px: int
    lines: tuple[Line, ...]
    mark: Colour | None = None
    heading: "Block | None" = None


def paragraph(text: str, style: Style, width_px: int, below_px: int = 6) -> Block:
    """A text over the whole width."""
    return row([text], [(0, width_px)], style, below_px=below_px)


def row(
    cells: Sequence[str],
    columns: Sequence[tuple[int, int]],
    style: Style,
    *,
    mark: Colour | None = None,
    heading: Block | None = None,
    below_px: int = 6,
) -> Block:
    """One text in each column, (left, width) in pixels; it is as high as the longest of them needs."""
    step_px = line_height_px(style)
    wrapped = [(left, wrap(cell, style, width)) for cell, (left, width) in zip(cells, columns, strict=True)]
    lines = tuple(Line(left, number * step_px, text, style) for left, texts in wrapped for number, text in enumerate(texts))
    return Block(max(len(texts) for _, texts in wrapped) * step_px + below_px, lines, mark, heading)


def paginate(blocks: Iterable[Block], room_px: int) -> list[list[Block]]:
    """The blocks of each page, with their headings; one that is higher than a page has a page of its own."""
    pages: list[list[Block]] = []
    for block in blocks:
        if not pages or height_of([*pages[-1], *_headed(pages[-1], block)]) > room_px:
            pages.append([])
        pages[-1] += _headed(pages[-1], block)
    return pages


def height_of(blocks: Iterable[Block]) -> int:
    """Pixels that blocks take, one below the other."""
    return sum(block.height_px for block in blocks)


def paint(draw: ImageDraw.ImageDraw, blocks: Iterable[Block], left: int, top: int) -> None:
    """Draw blocks below each other, the upper left corner of the first at (left, top)."""
    for block in blocks:
        for line in block.lines:
            place = left + line.left, top + line.top
            draw.text(place, line.text.replace(_NO_BREAK, " "), fill=line.style.colour, font=font_of(line.style))
        if block.mark is not None:
            side = line_height_px(block.lines[0].style) // 2
            draw.rectangle((left, top + side // 2, left + side, top + side // 2 + side), fill=block.mark)
        top += block.height_px


def wrap(text: str, style: Style, width_px: int) -> tuple[str, ...]:
    """The lines of a text, none wider than the width; a word that is wider itself is broken.

    A sign that French sets apart by a space stays with its word.
    """
    lines = [""]
    for word in re.split(r"[ \t\r\n]+", re.sub(r" (?=[:;!?»])", _NO_BREAK, text)):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer, style) <= width_px:
            lines[-1] = longer
        else:
            lines += _break(word, style, width_px)
    return tuple(line for line in lines if line) or ("",)


def width_of(text: str, style: Style) -> int:
    """Pixels from the beginning of a line to its end."""
    return math.ceil(font_of(style).getlength(text.replace(_NO_BREAK, " ")))


def line_height_px(style: Style) -> int:
    """From one line to the next: room for accents on capitals and for what hangs below."""
    return sum(font_of(style).getmetrics())


def font_of(style: Style) -> ImageFont.FreeTypeFont:
    return _load_font(style.size_px, "Semibold" if style.is_bold else "Regular")


def _headed(page: Sequence[Block], block: Block) -> list[Block]:
    is_headed = block.heading is None or (page and page[-1].heading == block.heading)
    return [block] if is_headed or block.heading is None else [block.heading, block]


def _break(word: str, style: Style, width_px: int) -> list[str]:
    """A word in parts that are as long as the width allows, at least one character each."""
    parts = [word]
    while width_of(parts[-1], style) > width_px and len(parts[-1]) > 1:
        rest = parts.pop()
        fits = max((count for count in range(1, len(rest)) if width_of(rest[:count], style) <= width_px), default=1)
        parts += [rest[:fits], rest[fits:]]
    return parts


@cache
def _load_font(size_px: int, weight: str) -> ImageFont.FreeTypeFont:
    """Source Sans Pro. Basic layout: the other one is not on every machine, and the same text must give the same pixels."""
    file = resources.files("font_source_sans_pro") / "files" / f"SourceSansPro-{weight}.ttf"
    return ImageFont.truetype(str(file), size_px, layout_engine=ImageFont.Layout.BASIC)
