"""Words for people: every reason and error for two readers, in two languages; the sentences and codes of a report."""

from .codes import render_meaning, render_unit
from .concepts import render_concept
from .render import Language, Reader, render_error, render_reason
from .report import render_number, render_report

__all__ = [
    "Language",
    "Reader",
    "render_concept",
    "render_error",
    "render_meaning",
    "render_number",
    "render_reason",
    "render_report",
    "render_unit",
]
