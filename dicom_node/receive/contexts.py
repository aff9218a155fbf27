"""What the node offers as an acceptor: Verification, each usable image class in each transfer syntax that it decodes, and to peers
that commit what they were sent, the storage commitment class, with the roles swapped.

The acceptor takes, for each proposed presentation context, the first transfer syntax of OUR order among those proposed
(PS3.8 9.3.3.2); the order and its why stand in `spool/usable.py`. For images no roles are set: a proposal to swap them is not
answered, which leaves the defaults (PS3.7 D.3.3.4): the caller is the user, the node the provider. Who reports a commitment proposes
itself as the provider, which is accepted; one that forgets to is understood all the same (PS3.4 J.3.3).
"""

from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.spool import IMAGE_CLASSES, TRANSFER_SYNTAXES

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # push model

_UNCOMPRESSED = list(TRANSFER_SYNTAXES[:2])


def build_contexts(*, may_send: bool, may_report: bool = False) -> list[PresentationContext]:
    """The supported contexts for a caller that may store images, report commitments, or only ask whether the node is there."""
    contexts = [build_context(VERIFICATION, _UNCOMPRESSED)]
    if may_report:
        commitment = build_context(STORAGE_COMMITMENT, _UNCOMPRESSED)
        commitment.scu_role, commitment.scp_role = False, True  # the caller's
        contexts.append(commitment)
    if may_send:
        contexts += (build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in IMAGE_CLASSES)
    return contexts
