"""That there is no result, as a PDF of one page: nobody may take it for the page of a result in which nothing was found."""

from .drawing import Colour
from .inputs import InputsOfRefusal
from .notice import NOTICE
from .sentences import no_result_sentences, notice_details, sentence_of
from .sheet import BLACK, MARGIN_MM, WIDTH_MM, Sheet

_PAPER: Colour = (255, 255, 255)
_BAR_MM = 26.0


def write_pdf_notice(inputs: InputsOfRefusal, identifier: str, title: str) -> bytes:
    """The file: a heading on a bar over the whole width, why there is no result, which series, which model.

    Why stands in the metadata, too, where it can be read back. `identifier`: 32 hexadecimal digits. The same arguments give the same bytes.
    """
    reason, says_nothing = no_result_sentences(inputs.result, inputs.language)
    sheet = Sheet(inputs, identifier, title, description=f"{reason} {says_nothing}")
    sheet.add_page()
    sheet.set_fill_color(*NOTICE)
    sheet.rect(MARGIN_MM, MARGIN_MM, WIDTH_MM, _BAR_MM, style="F")
    sheet.use(40, "B", _PAPER)
    sheet.set_xy(MARGIN_MM + 4, MARGIN_MM)
    sheet.cell(WIDTH_MM - 8, _BAR_MM, sheet.say(sentence_of("notice", inputs.result)), new_x="LMARGIN", new_y="NEXT")
    sheet.ln(7)
    sheet.use(15, "B")
    sheet.paragraph(sheet.bind(reason), 7)
    sheet.ln(4)
    sheet.use(12)
    sheet.paragraph(sheet.bind(says_nothing), 5.8)
    sheet.ln(6)
    sheet.use(10, colour=BLACK)
    for sentence in notice_details(inputs):
        sheet.paragraph(sheet.bind(sentence), 5.2)
        sheet.ln(1)
    return sheet.content()
