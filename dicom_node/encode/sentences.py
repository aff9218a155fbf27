"""What the report says in words."""

from collections.abc import Sequence
from datetime import UTC, datetime

import highdicom as hd
from pydicom.sr.codedict import codes

from dicom_node.texts import Language, Reader, render_meaning, render_reason, render_report
from dicom_node.values import Analysed, CodedConcept, NotAnalysed, Withdrawn

from .changes import comparison_sentences, name_prior
from .inputs import InputsOfRefusal
from .source import Source


def root_comment(result: Analysed, missing: Sequence[CodedConcept], language: Language, source: Source | None = None) -> str:
    """Sentences, one a line: what kind of result this is, of which series, what was found, what was not, under which reservations."""
    sentences = [] if result.package.product else [render_report("research", language)]
    sentences.append(render_report("unverified", language))
    sentences += series_sentences(source, language)
    if result.findings:
        sentences.append(render_report("marked", language, count=len(result.findings)))
    sentences += [not_detected(concept, language) for concept in missing]
    if result.threshold is not None and any(finding.score is not None for finding in result.findings):
        sentences.append(render_report("score", language, threshold=result.threshold))
    sentences += [render_report(reservation, language) for reservation in result.reservations]
    if result.predecessor_key is not None:
        sentences.append(render_report("predecessor", language))
    return "\r\n".join([*sentences, *comparison_sentences(result, name_prior(result, language), language)])


def find_missing(result: Analysed) -> list[CodedConcept]:
    """What was looked for and not detected."""
    found = {(finding.type.value, finding.type.scheme) for finding in result.findings}
    return [concept for concept in result.looked_for if (concept.value, concept.scheme) not in found]


def sentence_of(name: str, result: NotAnalysed) -> str:
    """The name of a sentence that says that there was no result; of the one that says that there is none any more."""
    return f"{name}-withdrawn" if isinstance(result, Withdrawn) else name


def refusal_comment(inputs: InputsOfRefusal) -> str:
    """Sentences, one a line, of an analysis that there was not, or whose result was withdrawn: why, by what, of which series."""
    result, language = inputs.result, inputs.language
    sentences = [*no_result_sentences(result, language), *earlier_sentences(inputs), *series_sentences(inputs.source, language)]
    if result.package is None or not result.package.product:
        sentences.append(render_report("research", language))
    return "\r\n".join(sentences)


def no_result_sentences(result: NotAnalysed, language: Language) -> list[str]:
    """Why there is no result, and that this says nothing about what the images show; or that it is not to be used any more."""
    package = result.package
    if package is None:
        says_nothing = render_report(sentence_of("no-algorithm", result), language)
    else:
        says_nothing = render_report(sentence_of("no-result", result), language, model=package.name, version=package.version)
    return [render_reason(result.reason, Reader.RADIOLOGIST, language), says_nothing]


def earlier_sentences(inputs: InputsOfRefusal) -> list[str]:
    """How many objects are withdrawn; or that an earlier result is there; none where there is nothing of the kind."""
    result, language = inputs.result, inputs.language
    if not inputs.replaced:
        return []
    if isinstance(result, Withdrawn):
        return [render_report("objects-withdrawn", language, count=len(inputs.replaced))]
    if result.earlier is None:
        return []
    when = datetime.fromtimestamp(result.earlier.made_at, UTC).strftime("%Y-%m-%d %H:%M")
    return [render_report("earlier-result", language, when=when)]


def series_sentences(source: Source | None, language: Language) -> list[str]:
    """Which series it is about, in the words of the images; none where they say nothing of it."""
    if source is None:
        return []
    number = [] if source.series_number is None else [str(source.series_number)]
    description = [f"({source.series_description})"] if source.series_description else []
    return [render_report("series", language, series=" ".join(number + description))] if number or description else []


def notice_details(inputs: InputsOfRefusal) -> list[str]:
    """Which series has no result, by which model, and for what that is qualified.

    The series by its number and its images: its description may hold anything, and pixels are not corrected.
    """
    package, number, count, language = inputs.result.package, inputs.source.series_number, inputs.image_count, inputs.language
    sentences = earlier_sentences(inputs)
    if number is None:
        sentences.append(render_report(sentence_of("series-not-analysed-unnumbered", inputs.result), language, count=count))
    else:
        sentences.append(render_report(sentence_of("series-not-analysed", inputs.result), language, number=number, count=count))
    if package is None:
        sentences.append(render_report("no-model", language))
    else:
        sentences.append(render_report("model", language, title=package.title, version=package.version))
        sentences.append(render_report("maker", language, algorithm=package.name, manufacturer=package.manufacturer))
    if package is None or not package.product:
        sentences.append(render_report("research", language))
    return sentences


def not_detected(concept: CodedConcept, language: Language) -> str:
    """Nothing found is said as what it is; it is not called normal."""
    return render_report("not-detected", language, what=render_meaning(concept, language))


def comment_item(text: str) -> hd.sr.TextContentItem:
    """A Comment (121106, DCM)."""
    return hd.sr.TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
