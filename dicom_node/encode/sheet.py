"""The sheet of paper on which a result is written, or that there is none: A4 with our fonts. Nothing of the patient stands on it.

PDF/A-2b, as fpdf2 writes it (ISO 19005-2); no validator has judged that.
"""

import re
from html import escape

import font_source_sans_pro
from fpdf import FPDF

from dicom_node.texts import Language, render_concept, render_report
from dicom_node.values import CodedConcept

from .drawing import Colour
from .identity import Moment
from .inputs import AnyInputs

MARGIN_MM, WIDTH_MM = 15.0, 180.0  # of A4
BLACK: Colour = (20, 20, 20)
GREY: Colour = (95, 95, 95)

_FONT = "Source Sans Pro"
_SHORT = 12  # hexadecimal digits of a digest that a person compares


class Sheet(FPDF):
    """A4 with a footer on each page, and nothing that another run would write differently.

    `identifier`: 32 hexadecimal digits. `title` and `description` stand in the file's metadata, the description where it says something.
    """

    def __init__(self, inputs: AnyInputs, identifier: str, title: str, description: str = "") -> None:
        super().__init__(format="A4", enforce_compliance="PDF/A-2B")
        self._inputs, self.identifier, self.language = inputs, identifier, inputs.language
        title, creator = self.bind(title), f"{inputs.profile.model_name} {inputs.profile.node_version}"
        self.set_lang(self.language)
        self.set_title(title)
        self.set_creator(creator)
        self.set_xmp_metadata(_xmp(title, description, creator, inputs.source.moment))  # fpdf2's own would say when the program ran
        self.set_image_filter("FlateDecode")
        self.set_margins(MARGIN_MM, MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(True, margin=20)
        for style, name in (("", "SourceSansPro"), ("B", "SourceSansProBold")):
            self.add_font(_FONT, style, font_source_sans_pro.font_files_ttf[name])

    def file_id(self) -> str:
        """The two identifiers of a file that was never changed (ISO 32000-1, 14.4)."""
        return f"<{self.identifier}><{self.identifier}>"

    def content(self) -> bytes:
        """The file, of an even number of bytes."""
        written = bytes(self.output())
        return written + b"\n" * (len(written) % 2)  # PS3.5 8.2: an OB is even; white space behind the last line is legal in a PDF

    def say(self, name: str, **fields: int | float | str) -> str:
        """A sentence of the catalogue."""
        return self.bind(render_report(name, self.language, **fields))

    def name(self, concept: CodedConcept) -> str:
        """A concept's name, or a unit's sign."""
        return render_concept(concept, self.language)

    def bind(self, text: str) -> str:
        """The text with no-break spaces where French typography has spaces that no line may end at."""
        if self.language is not Language.FRENCH:
            return text
        return re.sub(r"« ", "«\N{NO-BREAK SPACE}", re.sub(r" ([:;?!»])", "\N{NO-BREAK SPACE}\\1", text))

    def use(self, size: float, style: str = "", colour: Colour = BLACK) -> None:
        """Font, its size in points, and colour of the text that follows."""
        self.set_font(_FONT, style, size)
        self.set_text_color(*colour)

    def paragraph(self, text: str, height_mm: float = 4.8, *, filled: bool = False) -> None:
        """Text over the whole width, then a new line."""
        self.multi_cell(0, height_mm, text, align="L", fill=filled, new_x="LMARGIN", new_y="NEXT")

    def heading(self, name: str) -> None:
        """A heading, on the page of the line that follows it."""
        if self.will_page_break(20):
            self.add_page()
        self.ln(3.5)
        self.use(11.5, "B")
        self.paragraph(self.say(name), 6)
        self.use(10)

    def footer(self) -> None:
        """What made the page, so that the result can be found again."""
        result, profile = self._inputs.result, self._inputs.profile
        self.set_y(-15)
        self.use(7.5, colour=GREY)
        fields: dict[str, int | float | str] = {
            "station": profile.station,
            "node": profile.model_name,
            "node_version": profile.node_version,
            "result": result.key[:_SHORT],
            "page": self.page_no(),
            "pages": "{nb}",  # fpdf2 writes the number of pages here
        }
        if result.package is None:
            text = self.say("page-footer-without-model", **fields)
        else:
            package = result.package
            text = self.say("page-footer", model=package.name, version=package.version, digest=package.digest[:_SHORT], **fields)
        self.paragraph(text, 3.4)


def _xmp(title: str, description: str, creator: str, moment: Moment) -> str:
    """The file's metadata (ISO 19005-2, 6.6): what it is, and the moment on the clock of the images, whose time zone is not known."""
    date, time = moment.date, moment.time
    when = f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}"
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" xmp:CreatorTool="{escape(creator)}" xmp:CreateDate="{when}">
<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>
{_text("title", title)}{_text("description", description)}</rdf:Description>
</rdf:RDF>
</x:xmpmeta>"""


def _text(name: str, text: str) -> str:
    """An element of Dublin Core; nothing where there is no text."""
    return f'<dc:{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></dc:{name}>\n' if text else ""
