"""A TOML file that a person wrote, as a typed value, or everything that is wrong with it at once."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dicom_node.errors import Problem, SettingsError

T = TypeVar("T", bound=BaseModel)


def parse_file(file: Path, kind: type[T]) -> T:
    """A TOML file as a value of the given model, or SettingsError with every problem: file, key, value, what is allowed."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise SettingsError((Problem(file, "", "", f"a file that can be read ({cause.strerror})"),)) from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise SettingsError((Problem(file, "", "", f"valid TOML: {cause}"),)) from cause
    try:
        return kind.model_validate(document)
    except ValidationError as cause:
        raise SettingsError(tuple(_problem(file, fault, kind, document) for fault in _own_faults(cause))) from cause


def _own_faults(cause: ValidationError) -> list[Any]:
    """The faults without those that only follow from a fault inside: a list is called too short when its items are wrong."""
    faults = cause.errors()
    parents = {fault["loc"][:length] for fault in faults for length in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["loc"] not in parents]


def _problem(file: Path, fault: Any, kind: type[BaseModel], document: Any) -> Problem:
    key = ".".join(_keys_of(fault, document))
    value = "" if fault["type"] == "missing" else _shortened(fault["input"])
    allowed = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        name = str(fault["loc"][-1])
        nearest = difflib.get_close_matches(name, sorted(_known_keys(kind, set())), n=1)
        hint = "; there is one in another section" if nearest == [name] else f"; did you mean {nearest[0]}?" if nearest else ""
        allowed = f"no such key{hint}"
    return Problem(file, key, value, allowed)


def _keys_of(fault: Any, document: Any) -> list[str]:
    """The place of a fault as the file has it: pydantic puts the tag of a union between the keys, which the reader never wrote."""
    keys: list[str] = []
    *outer, last = fault["loc"]
    for part in outer:
        if (isinstance(document, dict) and part in document) or (isinstance(document, list) and isinstance(part, int)):
            keys.append(str(part))
            document = document[part]
    is_tag = fault["type"].startswith("union_tag") and isinstance(last, str)
    return keys if is_tag else [*keys, str(last)]


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(kind: Any, seen: set[Any]) -> set[str]:
    """Every key that a model and the models inside it know."""
    if kind in seen:
        return set()
    seen.add(kind)
    keys: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            keys |= {name} | _known_keys(field.annotation, seen)
    else:
        for argument in getattr(kind, "__args__", ()):
            keys |= _known_keys(argument, seen)
    return keys
