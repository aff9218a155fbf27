"""The node's own classes, found by walking over all its modules."""

import importlib
import pkgutil
import sys
from typing import TypeVar

import dicom_node

T = TypeVar("T")


def find_leaves(base: type[T]) -> list[type[T]]:
    """The classes of a hierarchy that have no class below them: those that are made, not only caught."""
    import_all()
    found = [base]
    for kind in found:
        found += [below for below in kind.__subclasses__() if below not in found]
    # `slots=True` makes each dataclass twice; the first one hangs about until it is collected, and is no name of its module.
    named = [kind for kind in found if getattr(sys.modules[kind.__module__], kind.__name__, None) is kind]
    leaves = [kind for kind in named if not set(kind.__subclasses__()) & set(named) and kind.__module__.startswith("dicom_node.")]
    return sorted(leaves, key=lambda kind: kind.__name__)


def import_all() -> None:
    """Import every module of the node, so that no class is missed."""
    for module in pkgutil.walk_packages(dicom_node.__path__, "dicom_node."):
        if not module.name.endswith(".__main__"):  # would start a command
            importlib.import_module(module.name)
