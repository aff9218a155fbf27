"""The page that says that there is no result: its heading, and the bar behind that, are of no page that says what was found."""

from PIL import Image, ImageDraw

from dicom_node.texts import render_report

from .drawing import WHITE, Block, Colour, Style, height_of, paint, paragraph
from .inputs import InputsOfRefusal
from .sentences import no_result_sentences, notice_details, sentence_of

NOTICE: Colour = (178, 71, 0)  # burnt orange: neither the amber of a result's warnings nor the red of *research use only*
_PAPER: Colour = (255, 255, 255)

_WIDTH_PX, _HEIGHT_PX, _MARGIN_PX = 1024, 1024, 40
_HEADING = Style(96, is_bold=True, colour=_PAPER)
_REASON = Style(36, is_bold=True)
_TEXT = Style(26, colour=WHITE)
_INNER_PX = _WIDTH_PX - 2 * _MARGIN_PX


def draw_notice(inputs: InputsOfRefusal) -> Image.Image:
    """The page, RGB: it is as high as its text needs."""
    heading = [paragraph(render_report(sentence_of("notice", inputs.result), inputs.language), _HEADING, _INNER_PX, below_px=0)]
    body = _body(inputs)
    bar_px = height_of(heading) + 2 * _MARGIN_PX
    page = Image.new("RGB", (_WIDTH_PX, max(_HEIGHT_PX, bar_px + height_of(body) + 2 * _MARGIN_PX)))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, _WIDTH_PX, bar_px - 1), fill=NOTICE)
    paint(draw, heading, _MARGIN_PX, _MARGIN_PX)
    paint(draw, body, _MARGIN_PX, bar_px + _MARGIN_PX)
    return page


def _body(inputs: InputsOfRefusal) -> list[Block]:
    """Why, that this says nothing of the images, then which series and which model."""
    reason, says_nothing = no_result_sentences(inputs.result, inputs.language)
    return [
        paragraph(reason, _REASON, _INNER_PX, below_px=28),
        paragraph(says_nothing, _TEXT, _INNER_PX, below_px=28),
        *(paragraph(text, _TEXT, _INNER_PX, below_px=12) for text in notice_details(inputs)),
    ]
