"""The bytes of all instances, as they came, and their headers as values."""

from .ahead import HeadersAhead
from .file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .identity import Identity, is_uid, parse_identity
from .part10 import read_headers
from .patient import Patient, family_name_of, is_same_person, read_patient
from .spool import Incoming, Spool, open_spool
from .usable import IMAGE_CLASSES, TRANSFER_SYNTAXES

__all__ = [
    "HeadersAhead",
    "IMAGE_CLASSES",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "TRANSFER_SYNTAXES",
    "Identity",
    "Incoming",
    "Patient",
    "Spool",
    "family_name_of",
    "is_same_person",
    "is_uid",
    "open_spool",
    "parse_identity",
    "read_headers",
    "read_patient",
]
