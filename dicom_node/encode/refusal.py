"""A report that says that there is no result, and why: never to be taken for one that says that nothing was found.

Source: PS3.16 TID 1500, 1501.
"""

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.texts import Reader, render_reason, render_report
from dicom_node.values import CodedConcept, ObjectKind, Role, Withdrawn, derive_uid

from .documents import encode_parts, make_document
from .elements import Elements
from .groups import SCHEME, Group, algorithm, code_of
from .images import encode_content, references
from .inputs import InputsOfRefusal
from .sentences import comment_item, refusal_comment, sentence_of
from .sr import make_measurement_report

# Not *presence of property*, which is where *absent* stands when nothing was found.
_EVALUATION = CodedConcept("EVALUATION", SCHEME, "Evaluation by the algorithm")
_WITHDRAWN = CodedConcept("WITHDRAWN", SCHEME, "Withdrawn by a person")


def make_refusal(inputs: InputsOfRefusal, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """A report with one group, on all images: they were not evaluated, or what was found on them is withdrawn, for this reason."""
    comment = refusal_comment(inputs)
    first = inputs.first_alone()
    report = make_document(make_measurement_report([_group(first)], comment, first), first, kind)
    return report, encode_parts(report, encode_content(report.ContentSequence, inputs, inputs.words), inputs)


def _group(inputs: InputsOfRefusal) -> Group:
    """No finding and no measurement: one evaluation, which is *not evaluated* or *withdrawn*, and the reason in words."""
    result = inputs.result
    evaluated = code_of(_WITHDRAWN) if isinstance(result, Withdrawn) else codes.SCT.NotEvaluated
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derive_uid(result.key, Role.REPORT, "not analysed"),
            identifier=render_report(sentence_of("not-analysed", result), inputs.language),
        ),
        algorithm_id=None if result.package is None else algorithm(result.package),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(code_of(_EVALUATION), evaluated)],
        source_images=[hd.sr.SourceImageForMeasurementGroup(*one) for one in references(inputs)],
    )
    group[0].ContentSequence.append(comment_item(render_reason(result.reason, Reader.RADIOLOGIST, inputs.language)))
    return group
