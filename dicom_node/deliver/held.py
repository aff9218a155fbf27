"""Does a destination hold what it acknowledged? C-FIND at IMAGE level in the Study Root model, PS3.4 annex C."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.values import Held, Holding, PeerName, Proof

from .association import Line, associate
from .count import FIND, NoAnswer, find, text_of


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An object that a destination acknowledged, by its names."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


def ask_held(line: Line, objects: Sequence[Acknowledged]) -> tuple[Holding, ...]:
    """Whether the peer holds each object, in their order: YES, NO, or NOT_NOW where it does not say.

    It does not say where it takes no C-FIND, answers with a failure, or gives an answer without SOP Instance UID. Raises
    PeerUnreachable or AssociationRejected where nobody answers.
    """
    with associate(line, [build_context(FIND)]) as association:
        if not association.accepted_contexts:
            return tuple(Holding(one.sop_instance_uid, Held.NOT_NOW, Proof.FIND) for one in objects)
        return tuple(Holding(one.sop_instance_uid, _ask_one(association, line.destination, one), Proof.FIND) for one in objects)


def _ask_one(association: Association, destination: PeerName, one: Acknowledged) -> Held:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = one.study_instance_uid
    query.SeriesInstanceUID = one.series_instance_uid
    query.SOPInstanceUID = one.sop_instance_uid
    try:
        # a peer that ignores a key answers with everything it has
        named = {text_of(answer, "SOPInstanceUID") for answer in find(association, destination, query)}
    except NoAnswer:
        return Held.NOT_NOW
    if one.sop_instance_uid in named:
        return Held.YES
    return Held.NOT_NOW if "" in named else Held.NO
