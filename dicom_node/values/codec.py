"""The vocabulary as bytes and back: JSON, tagged by class name, the same bytes for the same value. Never a pickle.

Whole numbers, fractions, texts, bools and None are themselves; a tuple is a list; everything else is an object with one tag:
`class`, `enum`, `array` (base64 of zlib; bools packed to bits), `bytes`, `float` (what JSON cannot write: nan, inf, -inf).
"""

import base64
import dataclasses
import json
import math
import zlib
from enum import Enum
from typing import Any

import numpy as np

from . import change, geometry, instance, keys, objects, reasons, receipts, records, result, selection, series, tuning

_MODULES = (change, geometry, instance, keys, objects, reasons, receipts, records, result, selection, series, tuning)
_CLASSES: dict[str, type] = {
    name: member
    for module in _MODULES
    for name, member in vars(module).items()
    if isinstance(member, type) and member.__module__ == module.__name__ and (dataclasses.is_dataclass(member) or issubclass(member, Enum))
}
_DTYPES = ("bool", "uint8", "uint16", "int16", "int32", "int64", "float32", "float64")
_LEVEL = 6  # of zlib; another level gives other bytes for the same value


def dump(value: object) -> bytes:
    """A value of the vocabulary as bytes of ASCII; raises TypeError where a class is none of it."""
    return json.dumps(to_plain(value), allow_nan=False, separators=(",", ":")).encode("ascii")


def load(content: bytes) -> Any:
    """The value that `dump` wrote, arrays read-only; raises ValueError where the bytes are none that it writes."""
    return from_plain(json.loads(content))


def to_plain(value: object) -> Any:
    """A value as what JSON can write; raises TypeError where a class is none of the vocabulary."""
    match value:
        case Enum() if _CLASSES.get(type(value).__name__) is type(value):
            return {"enum": type(value).__name__, "value": value.value}
        case Enum():
            raise TypeError(f"{type(value).__name__} is no class of dicom_node.values")
        case None | bool() | int() | str():
            return value
        case float():
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        case bytes():
            return {"bytes": base64.b64encode(value).decode("ascii")}
        case tuple():
            return [to_plain(part) for part in value]
        case np.ndarray():
            return _array_to_plain(value)
        case _ if _CLASSES.get(type(value).__name__) is type(value) and dataclasses.is_dataclass(value):
            fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"class": type(value).__name__, "fields": fields}
        case _:
            raise TypeError(f"{type(value).__name__} is no class of dicom_node.values")


def from_plain(plain: Any) -> Any:
    """The value of what `to_plain` gave; raises ValueError where it is nothing of the kind."""
    match plain:
        case None | bool() | int() | float() | str():
            return plain
        case list():
            return tuple(from_plain(part) for part in plain)
        case {"class": str(name), "fields": dict(fields)}:
            return _object_from_plain(name, fields)
        case {"enum": str(name), "value": text}:
            return _class(name, Enum)(text)
        case {"array": str(dtype), "shape": list(shape), "content": str(content)}:
            return _array_from_plain(dtype, shape, content)
        case {"bytes": str(content)}:
            return base64.b64decode(content, validate=True)
        case {"float": "nan" | "inf" | "-inf" as text}:
            return float(text)
        case _:
            raise ValueError("no value of the codec")


def _object_from_plain(name: str, fields: dict[str, Any]) -> Any:
    kind: Any = _class(name, object)
    if issubclass(kind, Enum):
        raise ValueError(f"{name} has no fields")
    try:
        return kind(**{field: from_plain(part) for field, part in fields.items()})
    except TypeError as cause:  # a field that the class does not have, or lacks
        raise ValueError(f"fields of {name}") from cause


def _class(name: str, base: type) -> Any:
    kind = _CLASSES.get(name)
    if kind is None or not issubclass(kind, base):
        raise ValueError("a class that is not of dicom_node.values")
    return kind


def _array_to_plain(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"arrays of {array.dtype.name} are not written")
    packed = np.packbits(array) if array.dtype == np.bool_ else array
    content = _compress(packed.astype(packed.dtype.newbyteorder("<")).tobytes(), is_noisy=array.dtype in (np.uint8, np.uint16))
    return {"array": array.dtype.name, "shape": list(array.shape), "content": base64.b64encode(content).decode("ascii")}


def _compress(raw: bytes, *, is_noisy: bool) -> bytes:
    """Pictures and scores are mostly noise: to look for what repeats takes five times as long and saves a fifteenth at best."""
    how = zlib.compressobj(1, strategy=zlib.Z_RLE) if is_noisy else zlib.compressobj(_LEVEL)
    return how.compress(raw) + how.flush()


def _array_from_plain(dtype: str, shape: list[Any], content: str) -> np.ndarray[Any, Any]:
    if dtype not in _DTYPES or not all(isinstance(extent, int) and extent >= 0 for extent in shape):
        raise ValueError("an array of an unknown kind")
    try:
        raw = zlib.decompress(base64.b64decode(content, validate=True))
    except zlib.error as cause:
        raise ValueError("an array that is damaged") from cause
    if dtype == "bool":
        flat = np.unpackbits(np.frombuffer(raw, np.uint8), count=math.prod(shape)).astype(np.bool_)
    else:
        flat = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).astype(np.dtype(dtype))
    array = flat.reshape(shape)
    array.setflags(write=False)
    return array
