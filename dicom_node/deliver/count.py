"""How many instances of a series does the PACS hold? C-FIND in the Study Root model, PS3.4 annex C."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.config import DeliverSection, Peer
from dicom_node.errors import PeerUnreachable
from dicom_node.values import PeerName

from .association import Line, associate

MOST_ANSWERS = 100_000  # a listing that is longer is no series

FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")  # Study Root Query/Retrieve Information Model, FIND
_SUCCESS, _PENDING = 0x0000, (0xFF00, 0xFF01)

# What pydicom raises where a value is none of its VR, as the peer wrote it.
_UNREADABLE = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NotImplementedError, BytesLengthException)


class NoAnswer(Exception):
    """The peer does not want to say: its failure `status`, or 0 where what it said cannot be used."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)
        self.status = status


def ask_count(
    peer_name: PeerName, peer: Peer, our_title: str, study_instance_uid: str, series_instance_uid: str, limits: DeliverSection
) -> int | None:
    """The number of instances of a series at the peer, 0 where it knows no such series.

    Asks for Number of Series Related Instances (0020,1209), which is optional; where it does not come back, the instances are
    listed and counted. None where the peer cannot say: it takes no C-FIND or answers with a failure. Raises PeerUnreachable or
    AssociationRejected where nobody answers.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_instance_uid
    query.SeriesInstanceUID = series_instance_uid
    with associate(Line(peer_name, peer, our_title, limits), [build_context(FIND)]) as association:
        if not association.accepted_contexts:
            return None
        try:
            return _ask_number(association, peer_name, query)
        except NoAnswer:
            return None


def _ask_number(association: Association, peer_name: PeerName, query: Dataset) -> int:
    query.NumberOfSeriesRelatedInstances = ""
    series = [answer for answer in find(association, peer_name, query) if _names(answer, "SeriesInstanceUID", query)]
    if not series:
        return 0
    number = _parse_number(series[0])
    if number is not None:
        return number
    del query.NumberOfSeriesRelatedInstances
    query.QueryRetrieveLevel = "IMAGE"
    query.SOPInstanceUID = ""
    # a peer that ignores a key answers with everything it has
    listed = (answer for answer in find(association, peer_name, query) if _names(answer, "SeriesInstanceUID", query))
    return len({text_of(answer, "SOPInstanceUID") for answer in listed} - {""})


def find(association: Association, peer_name: PeerName, query: Dataset) -> Iterator[Dataset]:
    try:
        answers = association.send_c_find(query, FIND)
    except RuntimeError as cause:  # the peer has ended the association after the question before
        raise PeerUnreachable(peer_name) from cause
    for number, (status, answer) in enumerate(answers):
        if "Status" not in status:
            raise PeerUnreachable(peer_name)
        if status.Status == _SUCCESS:
            return
        if status.Status not in _PENDING or number >= MOST_ANSWERS or answer is None:
            # Also where an answer cannot be read: it may have been the one that was asked for.
            raise NoAnswer(0 if status.Status in _PENDING else int(status.Status))
        yield answer


def text_of(answer: Dataset, keyword: str) -> str:
    """An answer's value; raises NoAnswer where it cannot be read."""
    try:
        return str(answer.get(keyword) or "")
    except _UNREADABLE as cause:
        raise NoAnswer from cause


def _names(answer: Dataset, keyword: str, query: Dataset) -> bool:
    """Whether an answer is about what was asked. A unique key that a peer leaves out counts as the one that was asked for."""
    found = text_of(answer, keyword)
    return found in ("", str(query.get(keyword)))


def _parse_number(answer: Dataset) -> int | None:
    """The number that came back, or None where it is absent, empty or none."""
    try:
        number = int(text_of(answer, "NumberOfSeriesRelatedInstances") or 0)
    except ValueError:
        return None
    return number if number > 0 else None
