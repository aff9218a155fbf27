"""What pictures and pages say of a finding and of the place of a slice, in a few words."""

from collections.abc import Iterator

from pydicom.sr.coding import Code

from dicom_node.texts import Language, load_catalogue, render_concept, render_meaning, render_number, render_report
from dicom_node.values import Analysed, CodedConcept, Finding, Form, Geometry, Measurement

from .changes import write_before
from .inputs import Inputs
from .titles import LATERALITY
from .views import read_view

_NO_BREAK = "\N{NO-BREAK SPACE}"  # between a number and its unit


def name_site(finding: Finding, language: Language) -> str:
    """Site and side, such as `Lung, left`; empty where neither is known."""
    side = None if finding.laterality is None else LATERALITY[finding.laterality]
    return ", ".join(render_concept(one, language) for one in (finding.site, side) if one is not None)


def list_measurements(finding: Finding, language: Language) -> list[str]:
    """Each measurement with its unit, such as `long axis 10.4 mm`."""
    return [_measurement(one, language) for one in finding.measurements]


def write_score(finding: Finding, language: Language) -> str:
    """The score with two decimals; empty where there is none."""
    return "" if finding.score is None else render_number(finding.score, 2, language)


def write_change(finding: Finding, result: Analysed, language: Language) -> str:
    """What has become of it in a few words, such as `grown compared with 4 months before (volume +193 %)`; empty without a comparison."""
    change = finding.change
    if change is None:
        return ""
    percent = "" if change.volume_change_percent is None else render_number(change.volume_change_percent, 0, language)
    signed = f"+{percent}" if percent[:1].isdigit() else percent
    return render_report(f"short-{change.category}", language, before=write_before(result, language), percent=signed)


def describe(finding: Finding, result: Analysed, language: Language) -> str:
    """A finding in a line: `2 Nodule, Lung, left: volume 523.1 mm³, long axis 10.4 mm, score 0.81, new compared with 4 months before`."""
    score = [] if finding.score is None else [render_report("score-of", language, score=write_score(finding, language))]
    changes = [write_change(finding, result, language)] if finding.change is not None else []
    facts = ", ".join([*list_measurements(finding, language), *score, *changes])
    name = ", ".join(part for part in (f"{finding.number}{_NO_BREAK}{finding.label}", name_site(finding, language)) if part)
    return f"{name}{load_catalogue(language).colon}{facts}" if facts else name


def sentence_for(name: str, geometry: Geometry) -> str:
    """The name of a sentence about slices; of the one about images, where each slice of the grid is an image by itself."""
    return f"{name}-projection" if geometry.form is Form.PROJECTION else name


def name_slice(inputs: Inputs, index: int, language: Language) -> str:
    """Where a slice lies in the volume and what it is called in the archive: `Slice 12 of 133, Instance Number 45`.

    Of a mammogram also which breast it shows, and from where.
    """
    result = inputs.result
    frame = result.geometry.frames[index]
    instance = inputs.instances[frame.sop_instance_uid]
    name = sentence_for("slice", result.geometry)
    parts = [render_report(name, language, number=index + 1, count=len(result.geometry.frames))]
    parts += [render_report("instance", language, number=number) for number in instance.attribute("InstanceNumber")[:1]]
    if len(instance.frames) > 1:
        parts.append(render_report("frame", language, number=frame.frame_number))
    if inputs.source.modality == "MG":
        view = read_view(instance)
        parts += _meanings((view.side, view.view, *view.modifiers), language)
    return ", ".join(parts)


def _meanings(codes: tuple[Code | None, ...], language: Language) -> Iterator[str]:
    for code in codes:
        if code is not None:
            yield render_meaning(CodedConcept(code.value, code.scheme_designator, code.meaning), language).lower()


def _measurement(measurement: Measurement, language: Language) -> str:
    value = render_number(measurement.value, measurement.digits, language)
    derivation = "" if measurement.derivation is None else f" ({render_concept(measurement.derivation, language)})"
    number = _NO_BREAK.join(part for part in (value, render_concept(measurement.unit, language)) if part)
    return f"{render_concept(measurement.concept, language)}{derivation} {number}"
