"""Matching of C-FIND, C-MOVE and C-GET identifiers against headers (PS3.4 C.2.2.2), Study Root."""

import fnmatch
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_LEVEL_KEY = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_COMPUTED = {
    "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances", "ModalitiesInStudy",
    "RetrieveAETitle", "QueryRetrieveLevel", "SpecificCharacterSet",
}  # fmt: skip


def match_all(identifier: Dataset, headers: Sequence[Dataset]) -> list[Dataset]:
    """The headers that every key with a value fits."""
    keys = [element for element in identifier if element.keyword and element.keyword not in _COMPUTED and not element.is_empty]
    return [header for header in headers if all(_fits(element.VR, element.value, header.get(element.keyword)) for element in keys)]


def answer_query(identifier: Dataset, headers: Sequence[Dataset], *, ae_title: str, counts: bool) -> list[Dataset]:
    """One answer per entity of the level that was asked for, with the keys that were asked for and nothing else."""
    level = str(identifier.get("QueryRetrieveLevel", "STUDY"))
    entities: dict[str, list[Dataset]] = {}
    for header in match_all(identifier, headers):
        entities.setdefault(str(header.get(_LEVEL_KEY[level])), []).append(header)
    return [_answer(identifier, members, level, headers, ae_title=ae_title, counts=counts) for members in entities.values()]


def _answer(identifier: Dataset, members: list[Dataset], level: str, headers: Sequence[Dataset], *, ae_title: str, counts: bool) -> Dataset:
    first = members[0]
    answer = Dataset()
    answer.QueryRetrieveLevel = level
    answer.RetrieveAETitle = ae_title
    if "SpecificCharacterSet" in first:
        answer.SpecificCharacterSet = first.SpecificCharacterSet
    study = [header for header in headers if header.StudyInstanceUID == first.StudyInstanceUID]
    series = [header for header in study if header.SeriesInstanceUID == first.SeriesInstanceUID]
    computed = {
        "NumberOfStudyRelatedSeries": len({header.SeriesInstanceUID for header in study}),
        "NumberOfStudyRelatedInstances": len(study),
        "NumberOfSeriesRelatedInstances": len(series),
    }
    for element in identifier:
        if element.keyword in computed:
            if counts:
                setattr(answer, element.keyword, computed[element.keyword])
        elif element.keyword == "ModalitiesInStudy":
            answer.ModalitiesInStudy = sorted({str(header.get("Modality")) for header in study})
        elif element.keyword and element.keyword not in _COMPUTED:
            found = first.get(element.tag)
            answer.add(found if found is not None else element)
    return answer


def _fits(vr: str, wanted: object, found: object) -> bool:
    if vr == "SQ":
        return True
    values = [str(value) for value in found] if isinstance(found, MultiValue) else ["" if found is None else str(found)]
    if vr == "UI":
        uids = [str(uid) for uid in wanted] if isinstance(wanted, MultiValue) else [str(wanted)]
        return any(value in uids for value in values)
    text = str(wanted)
    if vr in {"DA", "TM", "DT"} and "-" in text:
        low, _, high = text.partition("-")
        return any((not low or value >= low) and (not high or value <= high) for value in values)
    return any(fnmatch.fnmatchcase(value, text.replace("[", "[[]")) for value in values)
