"""What the report says in words."""

from collections.abc import Sequence

import highdicom as hd
from pydicom.sr.codedict import codes

from dicom_node.texts import Language, render_report
from dicom_node.values import Analysed, CodedConcept

from .changes import comparison_sentences


def root_comment(result: Analysed, missing: Sequence[CodedConcept], language: Language) -> str:
    """Sentences, one a line: what kind of result this is, what was found, what was not, under which reservations."""
    sentences = [] if result.package.product else [render_report("research", language)]
    sentences.append(render_report("unverified", language))
    if result.findings:
        sentences.append(render_report("marked", language, count=len(result.findings)))
    sentences += [not_detected(concept, language) for concept in missing]
    if result.threshold is not None and any(finding.score is not None for finding in result.findings):
        sentences.append(render_report("score", language, threshold=result.threshold))
    sentences += [render_report(reservation, language) for reservation in result.reservations]
    if result.predecessor_key is not None:
        sentences.append(render_report("predecessor", language))
    return "\r\n".join([*sentences, *comparison_sentences(result, language)])


def not_detected(concept: CodedConcept, language: Language) -> str:
    """Nothing found is said as what it is; it is not called normal."""
    return render_report("not-detected", language, what=concept.meaning)


def comment_item(text: str) -> hd.sr.TextContentItem:
    """A Comment (121106, DCM)."""
    return hd.sr.TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
