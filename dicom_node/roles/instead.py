"""What was sent in place of what, in words for the people who look after the node."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.uid import UID

from dicom_node import journal
from dicom_node.config import Config
from dicom_node.texts import Language, render_report
from dicom_node.values import DeliveryState, ObjectKind, Result

if TYPE_CHECKING:
    from dicom_node import encode


def describe_instead(
    one: journal.ObjectRow, beside: Sequence[journal.ObjectRow], language: Language, result: Result | None = None
) -> str | None:
    """Why an object is there in place of another one, or another one in its place; `beside`: all of the same result and destination.

    With the result itself it is told apart whether the destination does not take a kind, or the result cannot be written so.
    """
    if one.state is not DeliveryState.REPLACED:
        by_cause: dict[str, list[str]] = {}
        for kind in one.instead_of:
            by_cause.setdefault(_find_cause(kind, beside, result), []).append(kind)
        said = [render_report(cause, language, what=", ".join(kinds), peer=one.destination) for cause, kinds in by_cause.items()]
        return "; ".join(said) or None
    by = ", ".join(dict.fromkeys(find_kind(other) for other in beside if _takes_place(other, one))) or "?"
    is_refused = one.error is not None or one.status is not None
    if not is_refused:
        return render_report("made-anew", language, by=by, peer=one.destination)
    return render_report("replaced", language, by=by, what=name_class(one.sop_class_uid), peer=one.destination)


def _find_cause(kind: ObjectKind, beside: Sequence[journal.ObjectRow], result: Result | None) -> str:
    """The sentence that says why something else was sent in place of a kind."""
    from dicom_node import encode  # as below

    if any(find_kind(other) == kind and (other.error or other.status) for other in beside if other.state is DeliveryState.REPLACED):
        return "in-place-of-refused"
    cannot = None if result is None else encode.is_unwritable(kind, result)
    return {True: "in-place-of-unwritable", False: "in-place-of-refused", None: "in-place-of"}[cannot]


def name_class(sop_class_uid: str) -> str:
    """What the standard calls a SOP class."""
    return _NAMES.get(sop_class_uid) or UID(sop_class_uid).name


_NAMES = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}  # newer than the list of pydicom


def find_kind(one: journal.ObjectRow) -> str:
    """The kind of an object as the configuration names it; its role where there is none of its class."""
    from dicom_node import encode  # takes half a second to import, and mostly there is nothing in place of anything

    kinds = (kind for kind, form in encode.KINDS.items() if (form.role, form.sop_class_uid) == (one.role, one.sop_class_uid))
    return next(kinds, one.role)


def _takes_place(other: journal.ObjectRow, one: journal.ObjectRow) -> bool:
    if other.state is DeliveryState.REPLACED:
        return False
    wanted = {find_kind(one), *one.instead_of}
    return not wanted.isdisjoint(other.instead_of) or find_kind(other) in one.instead_of or other.role == one.role


def find_not_accepted(connection: journal.Connection, config: Config, language: Language) -> list[dict[str, Any]]:
    """What the destinations do not take of what they are configured to get, as plain values."""
    return [
        {"destination": name, "wanted": change.wanted.value, "sent": change.sent and change.sent.value, "text": text}
        for name, peer in config.peers.items()
        if "receive" in peer.may
        for change, text in _describe(name, peer.wanted, journal.read_refused_classes(connection, name), language)
    ]


def _describe(
    name: str, wanted: Sequence[ObjectKind], refused: frozenset[str], language: Language
) -> Iterator[tuple["encode.SteppedDown", str]]:
    if not refused:
        return
    from dicom_node import encode  # as above

    for change in encode.step_down(wanted, refused)[1]:
        on_the_way = itertools.takewhile(lambda one: one in refused, encode.find_classes([change.wanted]))
        classes = ", ".join(map(name_class, on_the_way))
        if change.sent is None:
            yield change, render_report("gets-nothing", language, peer=name, classes=classes, what=change.wanted)
        else:
            yield change, render_report("gets-instead", language, peer=name, classes=classes, what=change.wanted, by=change.sent)
