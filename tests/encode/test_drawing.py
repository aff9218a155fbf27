"""Text on pictures is all there: each word, within its width and height, with its accents."""

from collections.abc import Iterator

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dicom_node.encode.drawing import Block, Style, font_of, height_of, line_height_px, paginate, paint, paragraph, row, width_of, wrap
from dicom_node.texts import Language
from dicom_node.texts.concepts import load_concepts
from dicom_node.texts.render import load_catalogue
from dicom_node.texts.report import load_sentences

NO_BREAK = "\N{NO-BREAK SPACE}"


def all_texts() -> Iterator[str]:
    """Everything that may come to stand on a page, in both languages, with room for what is put in."""
    for texts in (*load_sentences().values(), *load_concepts().values()):
        yield from texts.values()
    for readers in load_catalogue("reasons.toml").values():
        yield from (text for texts in readers.values() for text in texts.values())


def ink(block: Block, width_px: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is painted, on a page with room on every side; relative to the block."""
    page = Image.new("RGB", (width_px + 200, block.height_px + 200))
    paint(ImageDraw.Draw(page), [block], 100, 100)
    box = page.getbbox()
    assert box is not None
    return box[0] - 100, box[1] - 100, box[2] - 100, box[3] - 100


@pytest.mark.parametrize("width_px", [160, 736, 944])
@pytest.mark.parametrize("style", [Style(20), Style(24, is_bold=True), Style(38, is_bold=True)], ids=["text", "warning", "title"])
def test_every_text_of_the_catalogue_fits(style: Style, width_px: int) -> None:
    texts = [text for text in all_texts() if text]
    assert len(texts) > 100
    for text in texts:
        lines = wrap(text, style, width_px)
        assert "".join(lines).replace(NO_BREAK, "").replace(" ", "") == text.replace(NO_BREAK, "").replace(" ", "")
        assert all(width_of(line, style) <= width_px for line in lines)
    longest = sorted(texts, key=len)[-12:]
    for text in longest:
        block = paragraph(text, style, width_px)
        left, top, right, bottom = ink(block, width_px)
        assert left >= -2
        assert right <= width_px + 2
        assert top >= 0
        assert bottom <= block.height_px


@given(st.text("aàÉ ,.;:1234567890-\n", max_size=200), st.integers(12, 400))
def test_no_letter_is_lost_whatever_the_width(text: str, width_px: int) -> None:
    lines = wrap(text, Style(20), width_px)
    assert "".join(lines).replace(NO_BREAK, "").replace(" ", "") == "".join(text.split())
    assert all(width_of(line, Style(20)) <= width_px or len(line) == 1 for line in lines)


def test_french_signs_stay_with_their_word() -> None:
    text = "Réserve : l'archive n'a pas confirmé ; non"
    for width_px in range(140, 400, 7):
        assert not any(line.startswith((":", ";")) for line in wrap(text, Style(20), width_px))


def test_a_number_stays_with_its_unit() -> None:
    for width_px in range(90, 300, 7):
        assert any(f"10{NO_BREAK}mm" in line for line in wrap(f"grand axe 10{NO_BREAK}mm et petit axe", Style(20), width_px))


def test_the_font_has_every_character_of_both_languages() -> None:
    """Pillow draws a box for what a font lacks, and says nothing."""
    wanted = {ord(one) for text in all_texts() for one in text} - {ord("\n")}
    for is_bold in (False, True):
        path = font_of(Style(20, is_bold)).path
        assert isinstance(path, str)
        with TTFont(path) as font:
            assert wanted <= set(font.getBestCmap())
    assert {ord(one) for one in "éèàç³"} <= wanted
    assert set(Language) == {"en", "fr"}


def test_cells_stay_in_their_columns() -> None:
    columns = [(0, 100), (120, 100)]
    left = row(["many words that need three lines", ""], columns, Style(20))
    assert ink(left, 220)[2] <= 102
    right = row(["", "many words that need three lines"], columns, Style(20))
    assert ink(right, 220)[0] >= 118
    assert right.height_px == left.height_px >= 3 * line_height_px(Style(20))


def test_a_heading_is_repeated_on_each_page_and_nothing_is_left_out() -> None:
    style = Style(20)
    heading = paragraph("heading", style, 300)
    rows = [row([f"row {number}"], [(0, 300)], style, heading=heading) for number in range(20)]
    blocks = [paragraph("before", style, 300), *rows, paragraph("after", style, 300)]
    pages = paginate(blocks, room_px=8 * heading.height_px)
    assert [len(page) for page in pages] == [8, 8, 8, 1]
    assert [page.index(heading) for page in pages if heading in page] == [1, 0, 0]
    assert [block for page in pages for block in page if block != heading] == blocks
    assert all(height_of(page) <= 8 * heading.height_px for page in pages)


def test_what_is_higher_than_a_page_has_one_of_its_own() -> None:
    style = Style(20)
    blocks = [paragraph("a", style, 300), paragraph("many words " * 40, style, 100), paragraph("b", style, 300)]
    assert paginate(blocks, room_px=100) == [[block] for block in blocks]


def test_blocks_do_not_touch() -> None:
    """Accents on capitals above, letters that hang below."""
    style = Style(21)
    page = Image.new("RGB", (400, 200))
    blocks = [paragraph("gjpqy ÀÉÊ", style, 300, below_px=0), paragraph("ÀÉÊ gjpqy", style, 300, below_px=0)]
    paint(ImageDraw.Draw(page), blocks, 10, 10)
    inked = np.asarray(page).any(axis=(1, 2))
    assert not inked[10 + blocks[0].height_px - 1]
    assert inked[10 : 10 + blocks[0].height_px].any()
    assert inked[10 + blocks[0].height_px :].any()
