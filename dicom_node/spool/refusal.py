"""How the readers of one header say no: a reason, carried up to the one place that gives it back as a value."""

from dicom_node.values import Reason
from dicom_node.values.reasons import IllegalValue

from .header import Header, Illegal


class Refusal(Exception):
    """Internal to the spool: `part10.read_instance` turns it into its reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(type(reason).__name__)
        self.reason = reason


def numbers(header: Header, keyword: str, count: int, instance_number: int | None) -> tuple[float, ...] | None:
    """Exactly `count` numbers; None where the attribute is absent or empty. Raises Refusal for all else."""
    values = header.numbers(keyword)
    if values is None:
        return None
    if isinstance(values, Illegal) or len(values) != count:
        raise Refusal(IllegalValue(keyword, instance_number))
    return values


def number(header: Header, keyword: str, instance_number: int | None) -> float | None:
    """One number."""
    values = numbers(header, keyword, 1, instance_number)
    return None if values is None else values[0]


def whole_number(header: Header, keyword: str, instance_number: int | None) -> int | None:
    """One whole number."""
    value = number(header, keyword, instance_number)
    if value is None:
        return None
    if not float(value).is_integer():
        raise Refusal(IllegalValue(keyword, instance_number))
    return int(value)
