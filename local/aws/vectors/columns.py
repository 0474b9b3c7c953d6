"""Metadata of an index by column: the distinct values of a key, and which of them each row has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
MISSING = 0
"""The code of a row whose vector has no such key."""


@dataclass(frozen=True)
class Condition:
    """A question about one value of metadata, None for a missing key.

    ``equal_to`` are the only plain values that ``holds`` can be true for, where there are such: then the others are
    not asked. ``negated`` turns the answers around.
    """

    holds: Callable[[Any], bool]
    equal_to: tuple[Any, ...] | None = None
    negated: bool = False

    def opposite(self) -> Condition:
        return replace(self, negated=not self.negated)


class Column:
    """The values of one metadata key, of which each distinct one is kept once.

    A condition is asked once of each distinct value, not once of each vector.
    """

    def __init__(self, rows: int) -> None:
        self._codes = np.zeros(rows, np.int32)
        self._values: list[Any] = [None]
        self._code_of: dict[Any, int] = {}
        self._lists: list[int] = []

    def set(self, row: int, value: Any) -> None:
        """Note the value of a row, None for a vector without the key."""
        if row >= len(self._codes):
            self._codes = grown(self._codes, row + 1)
        self._codes[row] = MISSING if value is None else self._code(value)

    def move(self, source: int, target: int) -> None:
        """Give a row the value of another one."""
        self._codes[target] = self._codes[source]

    def _code(self, value: Any) -> int:
        name = _name(value)
        if name not in self._code_of:
            self._code_of[name] = len(self._values)
            if isinstance(value, list):
                self._lists.append(len(self._values))
            self._values.append(value)
        return self._code_of[name]

    def mask(self, rows: int, condition: Condition) -> Mask:
        """Return which of the first rows a condition holds for."""
        answers = np.zeros(len(self._values), np.bool_)
        for code in self._codes_to_ask(condition):
            answers[code] = condition.holds(self._values[code])
        found: Mask = (~answers if condition.negated else answers)[self._codes[:rows]]
        return found

    def _codes_to_ask(self, condition: Condition) -> Iterable[int]:
        if condition.equal_to is None:
            return range(len(self._values))
        equal = (self._code_of.get(_name(each)) for each in condition.equal_to)
        return {*self._lists, *(code for code in equal if code is not None)}


def _name(value: Any) -> Any:
    """A value as a key of a dictionary. True equals 1 for Python, and is another value for a filter."""
    if isinstance(value, list):
        return tuple(map(_name, value))
    return type(value) is bool, value


def grown(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """Return an array of at least twice the length with the same beginning, so that appending stays cheap."""
    larger = np.zeros((max(rows, 2 * len(array), 16), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
