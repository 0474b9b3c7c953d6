"""Metadata filters of QueryVectors.

Source: "Metadata filtering" of the S3 User Guide, which lists the operators and the types that each one takes. It does
not say what ``$ne`` and ``$nin`` make of a vector without the key: they match it here, as ``notEquals`` of a knowledge
base is documented to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from local.aws.kernel.api import Params, ServiceError, validation_error
from local.aws.vectors.columns import Condition, Mask

MAX_VALUES = 100
"""Values in the filter of one query, of an index in enhanced mode (S3 User Guide, "Index modes")."""
MAX_DEPTH = 8
LOGICAL = ("$and", "$or")


class Columns(Protocol):
    """What a filter asks of an index."""

    def column_mask(self, key: str, condition: Condition) -> Mask: ...


def mask(document: Any, columns: Columns, *, hidden: tuple[str, ...] = ()) -> Mask:
    """Return which rows a filter accepts. ``hidden`` are the keys of the index that cannot be filtered.

    Raises ValidationException for a filter that the service refuses.
    """
    if _count(document) > MAX_VALUES:
        raise _invalid(f"a filter has at most {MAX_VALUES} values")
    return _mask(document, columns, hidden, depth=1)


def _mask(document: Any, columns: Columns, hidden: tuple[str, ...], depth: int) -> Mask:
    if not isinstance(document, dict) or not document:
        raise _invalid("it must be an object with at least one condition")
    if depth > MAX_DEPTH:
        raise _invalid(f"conditions are nested more than {MAX_DEPTH} deep")
    parts = []
    for name, operand in document.items():
        if name in LOGICAL:
            parts.append(_joined(name, operand, columns, hidden, depth))
        elif name.startswith("$"):
            raise _invalid(f"unknown operator {name}")
        elif name in hidden:
            raise _invalid(f"the metadata key {name} is not filterable")
        else:
            parts += [columns.column_mask(name, each) for each in _conditions(operand)]
    accepted: Mask = np.logical_and.reduce(parts)
    return accepted


def _joined(name: str, operands: Any, columns: Columns, hidden: tuple[str, ...], depth: int) -> Mask:
    if not isinstance(operands, list) or not operands:
        raise _invalid(f"{name} takes a non-empty array of filters")
    parts = [_mask(each, columns, hidden, depth + 1) for each in operands]
    joined: Mask = (np.logical_and if name == "$and" else np.logical_or).reduce(parts)
    return joined


def _conditions(operand: Any) -> list[Condition]:
    """The conditions on one key: a plain value means equality."""
    if not isinstance(operand, dict):
        return [_equal(operand)]
    if not operand:
        raise _invalid("a key needs at least one operator")
    unknown = operand.keys() - OPERATORS.keys()
    if unknown:
        raise _invalid(f"unknown operator {min(unknown)}")
    return [OPERATORS[name](value) for name, value in operand.items()]


def _equal(operand: Any) -> Condition:
    if not _is_primitive(operand):
        raise _invalid("$eq and $ne take a string, a number or a boolean")
    return _any_of([operand])


def _any_of(operand: Any) -> Condition:
    if not isinstance(operand, list) or not operand or not all(map(_is_primitive, operand)):
        raise _invalid("$in and $nin take a non-empty array of strings, numbers or booleans")
    wanted = {(type(each) is bool, each) for each in operand}
    return Condition(
        lambda value: any((type(each) is bool, each) in wanted for each in _members(value)), tuple(operand)
    )


def _compared(name: str, compare: Callable[[float, float], bool]) -> Callable[[Any], Condition]:
    def made(operand: Any) -> Condition:
        if not _is_number(operand):
            raise _invalid(f"{name} takes a number")
        return Condition(lambda value: _is_number(value) and compare(value, operand))

    return made


def _exists(operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise _invalid("$exists takes a boolean")
    return Condition(lambda value: (value is not None) is operand)


def _starts_with(operand: Any) -> Condition:
    if not isinstance(operand, str) or not operand:
        raise _invalid("$startsWith takes a string")
    return Condition(
        lambda value: any(isinstance(each, str) and each.startswith(operand) for each in _members(value))
    )


OPERATORS: dict[str, Callable[[Any], Condition]] = {
    "$eq": _equal,
    "$ne": lambda operand: _equal(operand).opposite(),
    "$gt": _compared("$gt", lambda value, operand: value > operand),
    "$gte": _compared("$gte", lambda value, operand: value >= operand),
    "$lt": _compared("$lt", lambda value, operand: value < operand),
    "$lte": _compared("$lte", lambda value, operand: value <= operand),
    "$in": _any_of,
    "$nin": lambda operand: _any_of(operand).opposite(),
    "$exists": _exists,
    "$startsWith": _starts_with,
}


def _members(value: Any) -> list[Any]:
    """The values that equality may hold for: a stored list's, since a scalar equals any of them."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_primitive(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _count(document: Params | Any) -> int:
    """How many values a filter compares with."""
    if isinstance(document, dict):
        return sum(map(_count, document.values()))
    return sum(map(_count, document)) if isinstance(document, list) else 1


def _invalid(why: str) -> ServiceError:
    return validation_error(f"Invalid query filter: {why}")
