"""Words for people, in each language that there is a file of: reasons and errors for two readers, sentences and codes of a report."""

from .catalogue import ENGLISH, Language, find_languages, load_catalogue
from .codes import render_concept, render_meaning, render_unit
from .render import Reader, render_error, render_reason
from .report import render_number, render_report

__all__ = [
    "ENGLISH",
    "Language",
    "Reader",
    "find_languages",
    "load_catalogue",
    "render_concept",
    "render_error",
    "render_meaning",
    "render_number",
    "render_reason",
    "render_report",
    "render_unit",
]
