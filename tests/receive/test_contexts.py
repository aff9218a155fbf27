"""What is offered to callers, and in which order transfer syntaxes are taken."""

import pytest
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from dicom_node.receive import build_contexts
from dicom_node.spool import IMAGE_CLASSES, TRANSFER_SYNTAXES
from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE

JPEG_BASELINE, J2K, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"


@pytest.mark.parametrize(
    ("proposed", "taken"),
    [
        ([IMPLICIT_LITTLE, EXPLICIT_LITTLE], EXPLICIT_LITTLE),
        ([J2K, IMPLICIT_LITTLE], IMPLICIT_LITTLE),
        ([JPEG_BASELINE, J2K], J2K),  # lossless before lossy
        ([J2K, RLE], RLE),
        ([JPEG_BASELINE], JPEG_BASELINE),
        (["1.2.840.10008.1.2.4.53"], None),  # spectral selection, retired: nothing decodes it
    ],
)
def test_the_first_of_our_order_is_taken(proposed: list[str], taken: str | None) -> None:
    context = build_context(CT_IMAGE, proposed)
    context.context_id = 1
    results, roles = negotiate_as_acceptor([context], build_contexts(may_send=True))
    assert [result.transfer_syntax[0] if result.result == 0 else None for result in results] == [taken]
    assert roles == []


def test_every_compressed_transfer_syntax_has_a_decoder_that_is_installed() -> None:
    for syntax in TRANSFER_SYNTAXES:
        assert UID(syntax) in AllTransferSyntaxes
        assert not UID(syntax).is_compressed or UID(syntax).is_deflated or get_decoder(UID(syntax)).is_available, syntax


def test_a_caller_that_may_not_send_is_offered_verification_alone() -> None:
    assert [context.abstract_syntax for context in build_contexts(may_send=False)] == ["1.2.840.10008.1.1"]
    reporter = build_contexts(may_send=False, may_report=True)
    assert [context.abstract_syntax for context in reporter] == ["1.2.840.10008.1.1", "1.2.840.10008.1.20.1"]
    assert len(build_contexts(may_send=True)) == 1 + len(IMAGE_CLASSES) == 1 + len(set(IMAGE_CLASSES))


@pytest.mark.parametrize(
    ("proposed", "answered", "is_taken"),
    [
        ((False, True), (False, True), True),  # PS3.4 J.3.3: who reports is the provider
        ((True, True), (False, True), True),
        (None, None, True),  # forgot to say so
        ((True, False), (False, False), False),
    ],
)
def test_who_reports_a_commitment_is_its_provider(
    proposed: tuple[bool, bool] | None, answered: tuple[bool, bool] | None, is_taken: bool
) -> None:
    """PS3.7 D.3.3.4: roles as (user, provider) of the caller."""
    context = build_context("1.2.840.10008.1.20.1", [IMPLICIT_LITTLE])
    context.context_id = 1
    roles = {} if proposed is None else {UID("1.2.840.10008.1.20.1"): proposed}
    (result,), replies = negotiate_as_acceptor([context], build_contexts(may_send=False, may_report=True), roles)  # type: ignore[arg-type]
    assert (result.result == 0) is is_taken
    if is_taken:
        assert [(reply.scu_role, reply.scp_role) for reply in replies] == ([] if answered is None else [answered])
