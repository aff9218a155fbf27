"""An Imaging Measurement Report with a group for each finding, or one for each thing that was not detected.

It is a Comprehensive 3D, Comprehensive or Enhanced SR, on the segmentation where there is one; beside it there may be another one, whose
groups are outlines on single images.

Source: PS3.16 TID 1500, 1410, 1411, 1501, 1600, 4019; PS3.3 A.35.
"""

from collections.abc import Callable, Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from dicom_node.values import Finding, ObjectKind

from .documents import encode_parts, language, make_document, observation_context, procedure
from .elements import Elements, read_elements, sequence_value, tag_of
from .group_forms import encode_groups, find_examples
from .groups import Group, found_group, not_detected_group, region_group
from .images import encode_content, image_library
from .inputs import AnyInputs, Inputs
from .sentences import comment_item, find_missing, root_comment
from .words import Words

_GROUPS: dict[ObjectKind, Callable[[Finding, Inputs], Group]] = {
    ObjectKind.REPORT_3D: found_group,
    ObjectKind.REPORT_COMPREHENSIVE: found_group,
    ObjectKind.REPORT_ENHANCED: found_group,
    ObjectKind.REGIONS: region_group,
}


def make_report(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The report of a result, and its elements that are encoded already: content, evidence, and what is copied from the images.

    highdicom makes it with the first image alone and one group of each form; all images and the groups of all findings take their
    places (tests/encode/test_groups.py shows that it would make the same of all).
    """
    report = _make(inputs.first_alone(), kind, find_examples(inputs.result.findings))
    return report, encode_parts(report, _encode_content(report, inputs, inputs.words), inputs)


def make_measurement_report(groups: Sequence[Group], comment: str, inputs: AnyInputs) -> Dataset:
    """The root container with these groups (TID 1500), all images of `inputs`, and a comment on the whole."""
    report = hd.sr.MeasurementReport(
        observation_context=observation_context(inputs),
        procedure_reported=procedure(inputs),
        imaging_measurements=groups,
        language_of_content_item_and_descendants=language(inputs),
    )
    root = report[0]
    root.ContentSequence.insert(len(root.ContentSequence) - 1, image_library(inputs))
    root.ContentSequence.insert(len(root.ContentSequence) - 1, comment_item(comment))
    assert isinstance(root, Dataset)
    return root


def _make(inputs: Inputs, kind: ObjectKind, findings: Sequence[Finding]) -> Dataset:
    """What highdicom makes, with a group for each of these findings.

    Outlines stand alone: viewers draw a report of one kind of group, and the report beside them says what was not detected.
    """
    missing = find_missing(inputs.result)
    groups = [_GROUPS[kind](finding, inputs) for finding in findings]
    if kind is not ObjectKind.REGIONS:
        groups += [not_detected_group(concept, inputs) for concept in missing]
    comment = root_comment(inputs.result, missing, inputs.language, inputs.source)
    return make_document(make_measurement_report(groups, comment, inputs), inputs, kind)


def _encode_content(report: Dataset, inputs: Inputs, words: Words) -> bytes:
    """The root's items. In the last of them, the measurements, the groups of all findings stand before those of what was not detected."""
    *others, measurements = report.ContentSequence
    if not inputs.result.findings:
        return encode_content([*others, measurements], inputs, words)
    count = len(find_examples(inputs.result.findings))
    examples, missing = measurements.ContentSequence[:count], measurements.ContentSequence[count:]
    groups = b"".join([*encode_groups(examples, inputs, words), encode_content(missing, inputs, words)])
    container = read_elements(measurements, words.encoding, without="ContentSequence") | {tag_of("ContentSequence"): ("SQ", groups)}
    return encode_content(others, inputs, words) + sequence_value([container])
