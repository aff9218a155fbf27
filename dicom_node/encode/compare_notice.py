"""A picture and a page that say that there is no result, from their bytes alone.

What is drawn or printed cannot be read back. What can: that they are whole, that the header and the file's metadata say why there is no
result, all in one language, and that the picture has the bar of a notice, which no picture of a result has.
"""

import html
import io
import re

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from dicom_node.texts import Language, Reader, find_languages, render_reason, render_report
from dicom_node.values import NotAnalysed, Withdrawn

from .characters import to_ascii
from .compare_captures import is_whole_image
from .compare_marks import is_whole_document
from .read_back import is_titled_as

_BAR, _LETTERS = (178, 71, 0), (255, 255, 255)
_BAR_PX, _FEWEST_LETTER_PIXELS = 100, 2000


def is_picture_of_refusal(content: bytes, result: NotAnalysed) -> bool:
    """One image with the bar, whose header says why there is no result, and of which model."""
    image = pydicom.dcmread(io.BytesIO(content))
    why, *others = str(image.ImageComments).splitlines()
    derived = _name("derived-notice", result)
    return (
        is_whole_image(image, number=1)
        and _is_of(image, result)
        and len(image.SourceImageSequence) > 0
        and any(
            _is(why, _reason(result, language)) and _is(str(image.DerivationDescription), render_report(derived, language))
            for language in find_languages()
        )
        and _names_model(" ".join(others), result)
        and _has_bar(image)
    )


def is_page_of_refusal(content: bytes, result: NotAnalysed) -> bool:
    """A whole file; it and its header have the title of a notice, and it says why there is no result, and of which model."""
    page = pydicom.dcmread(io.BytesIO(content))
    title, description = (_metadata(bytes(page.EncapsulatedDocument), name) for name in ("title", "description"))
    return (
        is_whole_document(page)
        and _is_of(page, result)
        and len(page.SourceInstanceSequence) > 0
        and any(_is_titled_and_says(title, description, result, language) for language in find_languages())
        and _is(str(page.DocumentTitle), title.rstrip())  # pydicom leaves out spaces at its end
        and _names_model(description, result)
    )


def _is_of(dataset: Dataset, result: NotAnalysed) -> bool:
    return is_titled_as(dataset, result) and str(dataset.StudyInstanceUID) == result.study_instance_uid


def _is(found: str, wanted: str) -> bool:
    """Whether a text of a header is the wanted one, in the header's character set."""
    return found in {wanted, to_ascii(wanted)}


def _reason(result: NotAnalysed, language: Language) -> str:
    return render_reason(result.reason, Reader.RADIOLOGIST, language)


def _title(result: NotAnalysed, language: Language) -> str:
    if result.package is None:
        return render_report(_name("not-analysed", result), language)
    return render_report(_name("page-title-notice", result), language, title=result.package.title)


def _name(sentence: str, result: NotAnalysed) -> str:
    return sentence + "-withdrawn" * isinstance(result, Withdrawn)


def _names_model(text: str, result: NotAnalysed) -> bool:
    if result.package is None:
        return True
    model = f"{result.package.name} {result.package.version}"
    return model in text or to_ascii(model) in text


def _metadata(document: bytes, name: str) -> str:
    """A text of Dublin Core in the file's XMP (ISO 16684-1), every space one that may break; empty where there is none."""
    found = re.search(f"<dc:{name}>.*?<rdf:li[^>]*>(.*?)</rdf:li>".encode(), document, re.DOTALL)
    return "" if found is None else _breaking(html.unescape(found[1].decode()))


def _is_titled_and_says(title: str, description: str, result: NotAnalysed, language: Language) -> bool:
    return title == _title(result, language) and description.startswith(_breaking(_reason(result, language)))


def _breaking(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _has_bar(image: Dataset) -> bool:
    """Whether the uppermost row is all of the colour of the bar, and those beneath it mostly; and letters stand on it."""
    pixels = np.frombuffer(image.PixelData, dtype=np.uint8)[: image.Rows * image.Columns * 3].reshape(image.Rows, image.Columns, 3)
    top = pixels[:_BAR_PX].reshape(-1, 3)
    is_bar, is_letter = ((top == colour).all(axis=1) for colour in (_BAR, _LETTERS))
    return bool(is_bar[: image.Columns].all() and is_bar.mean() > 0.5 and np.count_nonzero(is_letter) >= _FEWEST_LETTER_PIXELS)
