"""A Basic Text SR: what was found and what follows from it in words, for viewers that show text alone.

Source: PS3.3 A.35.1; PS3.16 TID 2000, 2001.
"""

from collections.abc import Iterator, Sequence

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.texts import Language, Reader, render_meaning, render_number, render_reason, render_report, render_unit
from dicom_node.values import CodedConcept, Finding, Measurement, ObjectKind

from .changes import change_sentence, name_prior
from .documents import encode_parts, language, make_document, observation_context, procedure
from .elements import Elements, read_elements, sequence_value, tag_of
from .groups import numbers_of
from .images import encode_reference, reference_of_slice
from .inputs import AnyInputs, Inputs, InputsOfRefusal
from .outlines import largest_slice
from .sentences import find_missing, not_detected, refusal_comment, root_comment
from .titles import LATERALITY

_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
_MODIFIES = hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD
_SCORE_DIGITS = 2


def make_text_report(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The report of a result: a text for each finding, on the image where it is largest, and for each thing that was not detected.

    highdicom makes it with one image and one text; the texts of all findings, with their images, take their places.
    """
    missing = find_missing(inputs.result)
    absent = [not_detected(concept, inputs.language) for concept in missing]
    found = [_describe(finding, inputs) for finding in inputs.result.findings]
    comment = root_comment(inputs.result, missing, inputs.language, inputs.source)
    report = make_document(_make_content([*found[:1], *absent], comment, inputs), inputs.first_alone(), kind)
    return report, encode_parts(report, _encode_content(report, found, inputs), inputs)


def make_text_refusal(inputs: InputsOfRefusal, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The report of an analysis that there was not: its reason stands where findings stand, and nothing else does."""
    reason = render_reason(inputs.result.reason, Reader.RADIOLOGIST, inputs.language)
    comment = refusal_comment(inputs)
    report = make_document(_make_content([reason], comment, inputs), inputs.first_alone(), kind)
    content = sequence_value([read_elements(item, inputs.words.encoding) for item in report.ContentSequence])
    return report, encode_parts(report, content, inputs)


def _make_content(findings: Sequence[str], comment: str, inputs: AnyInputs) -> Dataset:
    """The root container: two sections with a text for each of these findings and for each line of the comment."""
    root = hd.sr.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="2000")
    root.ContentSequence = hd.sr.ContentSequence(
        [
            *language(inputs),
            *observation_context(inputs),
            hd.sr.CodeContentItem(name=codes.DCM.ProcedureReported, value=procedure(inputs), relationship_type=_MODIFIES),
            _section(codes.DCM.Findings, codes.DCM.Finding, findings),
            _section(codes.DCM.Conclusions, codes.DCM.Conclusion, comment.splitlines()),
        ]
    )
    return root


def _section(heading: Code, name: Code, texts: Sequence[str]) -> hd.sr.ContainerContentItem:
    section = hd.sr.ContainerContentItem(name=heading, relationship_type=_CONTAINS)
    section.ContentSequence = hd.sr.ContentSequence(
        [hd.sr.TextContentItem(name=name, value=text, relationship_type=_CONTAINS) for text in texts]
    )
    return section


def _describe(finding: Finding, inputs: Inputs) -> str:
    """A finding in one line: number, label, what and where it is; its measurements and its score, each behind a semicolon; its change."""
    numbers_of(finding, inputs.result)  # refuses what is no number
    side = [] if finding.laterality is None else [render_meaning(LATERALITY[finding.laterality], inputs.language).lower()]
    site = [] if finding.site is None else [render_meaning(finding.site, inputs.language), *side]
    what = ", ".join([render_meaning(finding.type, inputs.language), *site])
    parts = [render_report("finding", inputs.language, number=finding.number, label=finding.label, what=what)]
    parts += [_measured(measurement, inputs.language) for measurement in finding.measurements]
    if finding.score is not None:
        score = render_number(finding.score, _SCORE_DIGITS, inputs.language)
        parts.append(render_report("scored", inputs.language, value=score))
    prior = name_prior(inputs.result, inputs.language)
    change = [] if finding.change is None else [change_sentence(finding.change, prior, inputs.language)]
    return ". ".join(["; ".join(parts), *change])


def _measured(measurement: Measurement, language_: Language) -> str:
    derivation = "" if measurement.derivation is None else f" ({_lower(measurement.derivation, language_)})"
    name = render_meaning(measurement.concept, language_) + derivation
    value = render_number(measurement.value, measurement.digits, language_)
    return render_report("measured", language_, what=name, value=value, unit=render_unit(measurement.unit, language_)).rstrip()


def _lower(concept: CodedConcept, language_: Language) -> str:
    return render_meaning(concept, language_).lower()


def _encode_content(report: Dataset, found: Sequence[str], inputs: Inputs) -> bytes:
    """The root's items, with the texts of all findings in place of the first one."""
    *others, findings, conclusions = report.ContentSequence
    texts = list(findings.ContentSequence)
    absent = texts[1:] if found else texts
    items = [*(_encode_found(texts[0], found, inputs) if found else ()), *(read_elements(one, inputs.words.encoding) for one in absent)]
    section = read_elements(findings, inputs.words.encoding, without="ContentSequence")
    section[tag_of("ContentSequence")] = ("SQ", sequence_value(items))
    return sequence_value(
        [
            *(read_elements(one, inputs.words.encoding) for one in others),
            section,
            read_elements(conclusions, inputs.words.encoding),
        ]
    )


def _encode_found(example: Dataset, found: Sequence[str], inputs: Inputs) -> Iterator[Elements]:
    """A text item for each finding, inferred from the image of the slice where it is largest."""
    around = read_elements(example, inputs.words.encoding, without="TextValue")
    for finding, text in zip(inputs.result.findings, found, strict=True):
        reference = encode_reference(reference_of_slice(inputs, largest_slice(finding)))
        image: Elements = {
            tag_of("RelationshipType"): ("CS", b"INFERRED FROM"),
            tag_of("ValueType"): ("CS", b"IMAGE"),
            tag_of("ReferencedSOPSequence"): ("SQ", sequence_value([reference])),
        }
        yield around | {
            tag_of("TextValue"): inputs.words.element("TextValue", text),
            tag_of("ContentSequence"): ("SQ", sequence_value([image])),
        }
