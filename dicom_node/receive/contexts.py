"""What the node offers as an acceptor: Verification, and each usable image class in each transfer syntax that it decodes.

The acceptor takes, for each proposed presentation context, the first transfer syntax of OUR order among those proposed
(PS3.8 9.3.3.2); the order and its why stand in `spool/usable.py`. No roles are set: a proposal to swap them is not answered,
which leaves the defaults (PS3.7 D.3.3.4): the caller is the user, the node the provider.
"""

from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.spool import IMAGE_CLASSES, TRANSFER_SYNTAXES

VERIFICATION = "1.2.840.10008.1.1"

_UNCOMPRESSED = list(TRANSFER_SYNTAXES[:2])


def build_contexts(*, may_send: bool) -> list[PresentationContext]:
    """The supported contexts for a caller that may store images, or only ask whether the node is there."""
    verification = build_context(VERIFICATION, _UNCOMPRESSED)
    if not may_send:
        return [verification]
    return [verification, *(build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in IMAGE_CLASSES)]
