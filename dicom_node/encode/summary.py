"""The summary of a result as pages: what was found and measured, what was looked for and not detected, and under which reservations."""

from collections.abc import Iterator

from PIL import Image, ImageDraw

from dicom_node.texts import Language, render_report
from dicom_node.values import Analysed, Finding

from .captions import list_measurements, name_site, sentence_for, write_change, write_score
from .changes import comparison_sentences, name_prior_without_date
from .drawing import AMBER, Block, Style, height_of, paginate, paint, paragraph, row
from .inputs import Inputs
from .sentences import find_missing, not_detected

_WIDTH_PX, _HEIGHT_PX, _MARGIN_PX = 1024, 1024, 40
_TITLE = Style(38, is_bold=True)
_WARNING = Style(24, is_bold=True, colour=AMBER)
_TEXT = Style(21)
_HEADING = Style(20, is_bold=True)
_INNER_PX = _WIDTH_PX - 2 * _MARGIN_PX

# Left edge and width of each column, in pixels: number, region, site, measurements, score, slice.
_COLUMNS = ((24, 44), (74, 140), (222, 130), (360, 420), (790, 70), (868, 76))
_COLUMN_NAMES = ("column-number", "column-region", "column-site", "column-measurements", "column-score")


def draw_summary(inputs: Inputs, pictures: int) -> list[Image.Image]:
    """The pages, RGB, in their order; `pictures` pages follow them, which are counted too. A page is as high as its text needs."""
    language = inputs.profile.language
    top = [*_title(inputs, language), *_warnings(inputs, language)]
    foot_px = height_of([_foot(1, 1, language)])
    room_px = _HEIGHT_PX - 2 * _MARGIN_PX - height_of(top) - foot_px
    bodies = paginate(_body(inputs, language), room_px)
    count = len(bodies) + pictures
    return [_draw([*top, *body], _foot(number, count, language)) for number, body in enumerate(bodies, 1)]


def _title(inputs: Inputs, language: Language) -> list[Block]:
    package = inputs.result.package
    return [
        paragraph(render_report("model", language, title=package.title, version=package.version), _TITLE, _INNER_PX),
        paragraph(
            render_report("maker", language, algorithm=package.name, manufacturer=package.manufacturer), _TEXT, _INNER_PX, below_px=14
        ),
    ]


def _warnings(inputs: Inputs, language: Language) -> list[Block]:
    names = ["unverified"] if inputs.result.package.product else ["research", "unverified"]
    return [paragraph(render_report(name, language), _WARNING, _INNER_PX, below_px=8) for name in names]


def _body(inputs: Inputs, language: Language) -> Iterator[Block]:
    result = inputs.result
    yield _sentence(_series(inputs, language), below_px=18)
    if result.findings:
        yield _sentence(render_report("marked", language, count=len(result.findings)))
        names = [*_COLUMN_NAMES, sentence_for("column-slice", result.geometry)]
        heading = row([render_report(name, language) for name in names], _COLUMNS, _HEADING)
        yield from (_finding(finding, heading, result, language) for finding in result.findings)
    missing = find_missing(result)
    yield from (_sentence(not_detected(concept, language)) for concept in missing)
    if missing:
        yield _sentence(render_report("can-miss", language))
    if result.threshold is not None and any(finding.score is not None for finding in result.findings):
        yield _sentence(render_report("score", language, threshold=result.threshold))
    yield from (_sentence(render_report(reservation, language)) for reservation in result.reservations)
    if result.predecessor_key is not None:
        yield _sentence(render_report("predecessor", language))
    yield from (_sentence(text) for text in comparison_sentences(result, name_prior_without_date(result, language), language))
    yield from _shown(inputs, language)


def _series(inputs: Inputs, language: Language) -> str:
    count, number = len(inputs.result.geometry.frames), inputs.source.series_number
    if number is None:
        return render_report(sentence_for("series-analysed-unnumbered", inputs.result.geometry), language, count=count)
    return render_report(sentence_for("series-analysed", inputs.result.geometry), language, number=number, count=count)


def _finding(finding: Finding, heading: Block, result: Analysed, language: Language) -> Block:
    changes = [] if finding.change is None else [write_change(finding, result, language)]
    cells = [
        str(finding.number),
        finding.label,
        name_site(finding, language),
        ", ".join([*list_measurements(finding, language), *changes]),
        write_score(finding, language),
        str(finding.mask.largest_slice + 1),
    ]
    return row(cells, _COLUMNS, _TEXT, mark=finding.colour_rgb, heading=heading, below_px=12)


def _shown(inputs: Inputs, language: Language) -> Iterator[Block]:
    """Which slices have pictures, and which findings are on none of them."""
    result = inputs.result
    slices = [picture.slice_index for picture in result.pictures]
    if slices:
        name = sentence_for("slices-shown", result.geometry)
        yield _sentence(render_report(name, language, slices=", ".join(str(index + 1) for index in slices)))
    hidden = [str(one.number) for one in result.findings if not any(one.mask.on_slice(index).any() for index in slices)]
    if hidden:
        yield _sentence(render_report("regions-not-shown", language, numbers=", ".join(hidden)))


def _sentence(text: str, below_px: int = 10) -> Block:
    return paragraph(text, _TEXT, _INNER_PX, below_px)


def _foot(number: int, count: int, language: Language) -> Block:
    return paragraph(render_report("page", language, number=number, count=count), _HEADING, _INNER_PX, below_px=0)


def _draw(blocks: list[Block], foot: Block) -> Image.Image:
    height_px = max(_HEIGHT_PX, 2 * _MARGIN_PX + height_of([*blocks, foot]))
    page = Image.new("RGB", (_WIDTH_PX, height_px))
    draw = ImageDraw.Draw(page)
    paint(draw, blocks, _MARGIN_PX, _MARGIN_PX)
    paint(draw, [foot], _MARGIN_PX, height_px - _MARGIN_PX - foot.height_px)
    return page
