"""The private names of pynetdicom that the node uses: another version may have moved them, and this test says so first."""

import inspect

import pynetdicom
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.transport import AssociationSocket, RequestHandler

from dicom_node.receive.fast import KNOWN_VERSIONS


def test_the_version_is_the_one_that_was_read() -> None:
    assert pynetdicom.__version__ == "3.0.4"
    assert pynetdicom.__version__ in KNOWN_VERSIONS


def test_the_private_names_are_there() -> None:
    assert callable(RequestHandler._create_association)
    assert callable(AssociationSocket._create_socket)
    association = inspect.getsource(Association)
    for name in ("_sent_abort", "_is_paused", "_server.shutdown_request", "_reactor_checkpoint.wait()", "_reactor_checkpoint.clear()"):
        assert f"self.{name}" in association, name
    provider = inspect.getsource(DULServiceProvider)
    for name in (
        "def _read_pdu_data(self)",
        "self._idle_timer.restart()",
        "self._kill_thread",
        "self.to_provider_queue",
        "self.event_queue",
    ):
        assert name in provider, name
    assert "_dataset_path" in inspect.getsource(C_STORE) + inspect.getsource(DIMSEMessage)


def test_event_19_is_an_invalid_pdu_which_aborts_an_established_association() -> None:
    """PS3.8 9.2, table 9-10: AA-8 in Sta6."""
    assert TRANSITION_TABLE[("Evt19", "Sta6")] == "AA-8"
