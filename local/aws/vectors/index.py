"""The vectors of one index: their numbers in one contiguous array, searched exactly.

AWS's index answers approximately. An exact answer is the one that it approximates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from local.aws.kernel.api import Params
from local.aws.vectors.columns import Column, Condition, Mask, grown

Numbers = npt.NDArray[np.float32]
Data = Sequence[float] | Numbers
SPARE = 32
"""How many more candidates than asked for are measured again with double precision, which decides their order."""
SPARSE = 4
"""Where a filter accepts fewer than one row in so many, only those rows are multiplied."""


def as_numbers(data: Any) -> Numbers:
    """Return numbers with single precision. What that cannot hold becomes infinite."""
    if isinstance(data, np.ndarray) and data.dtype == np.float32:
        return data
    with np.errstate(over="ignore"):
        numbers: Numbers = np.array(data, np.float64).astype(np.float32)
    return numbers


@dataclass(frozen=True)
class Stored:
    """One vector as it was put."""

    key: str
    data: Numbers
    metadata: Params


class Vectors:
    """Vectors by key. Methods may be called by several threads."""

    def __init__(self, dimension: int, metric: str) -> None:
        self.dimension = dimension
        self._cosine = metric == "cosine"
        self._numbers: Numbers = np.zeros((0, dimension), np.float32)
        self._norms = np.zeros(0)  # lengths of the vectors
        self._serials = np.zeros(0, np.int64)  # the order in which keys came, which listing follows
        self._next_serial = 0
        self._keys: list[str] = []
        self._metadata: list[Params] = []
        self._row_of: dict[str, int] = {}
        self._columns: dict[str, Column] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def rows(self) -> int:
        return len(self._keys)

    def flaw_of(self, data: Data) -> str | None:
        """Return what is wrong with the numbers of a vector or of a query, if anything is."""
        if len(data) != self.dimension:
            return f"vector must have length {self.dimension}, but has length {len(data)}"
        numbers = as_numbers(data)
        if not np.isfinite(numbers).all():
            return "vector must contain only finite float32 values"
        if self._cosine and not numbers.any():
            return "vector must not be all zeros for the cosine distance metric"
        return None

    def put(self, keys: list[str], data: Sequence[Data] | Numbers, metadata: list[Params]) -> None:
        """Add vectors, shape ``[len(keys), dimension]``; one with a known key replaces it entirely."""
        numbers = as_numbers(data)
        norms = np.linalg.norm(numbers.astype(np.float64), axis=1)
        with self._lock:
            rows = [self._row(key) for key in keys]
            self._numbers[rows], self._norms[rows] = numbers, norms
            for row, each in zip(rows, metadata, strict=True):
                self._metadata[row] = each
                for name, column in self._columns.items():
                    column.set(row, each.get(name))

    def _row(self, key: str) -> int:
        if key in self._row_of:
            return self._row_of[key]
        row = len(self._keys)
        if row >= len(self._numbers):
            self._numbers = grown(self._numbers, row + 1)
            self._norms, self._serials = grown(self._norms, row + 1), grown(self._serials, row + 1)
        self._keys.append(key)
        self._metadata.append({})
        self._row_of[key], self._serials[row] = row, self._next_serial
        self._next_serial += 1
        return row

    def delete(self, keys: Iterable[str]) -> None:
        """Remove vectors; unknown keys are no error. The last row takes the place of a removed one."""
        with self._lock:
            for key in keys:
                row = self._row_of.pop(key, None)
                if row is None:
                    continue
                last = len(self._keys) - 1
                if row != last:
                    for array in (self._numbers, self._norms, self._serials):
                        array[row] = array[last]
                    self._keys[row], self._metadata[row] = self._keys[last], self._metadata[last]
                    self._row_of[self._keys[row]] = row
                    for column in self._columns.values():
                        column.move(last, row)
                self._keys.pop()
                self._metadata.pop()

    def get(self, keys: Iterable[str]) -> list[Stored]:
        """Return the vectors that there are among the keys, each once."""
        with self._lock:
            return [self._stored(self._row_of[key]) for key in dict.fromkeys(keys) if key in self._row_of]

    def page(self, after: int, limit: int, segment: tuple[int, int] = (0, 1)) -> list[tuple[int, Stored]]:
        """Return up to ``limit`` vectors that came after a serial number, each with its own.

        ``segment`` is a part of the index and how many parts there are.
        """
        part, parts = segment
        with self._lock:
            serials = self._serials[: self.rows]
            rows = np.flatnonzero((serials > after) & (serials % parts == part))
            first = rows[np.argsort(serials[rows])[:limit]]
            return [(int(serials[row]), self._stored(int(row))) for row in first]

    def _stored(self, row: int) -> Stored:
        return Stored(self._keys[row], self._numbers[row].copy(), self._metadata[row])

    def column_mask(self, key: str, condition: Condition) -> Mask:
        """Return for which rows a condition on a metadata key holds."""
        if key not in self._columns:
            column = Column(self.rows)
            for row, metadata in enumerate(self._metadata):
                column.set(row, metadata.get(key))
            self._columns[key] = column
        return self._columns[key].mask(self.rows, condition)

    def search(
        self, data: Data, limit: int, accepts: Callable[[Vectors], Mask] | None = None
    ) -> list[tuple[float, Stored]]:
        """Return the nearest vectors with their distances, nearest first, of those that ``accepts`` lets through."""
        query = as_numbers(data)
        with self._lock:
            rows = None if accepts is None else np.flatnonzero(accepts(self))
            candidates = self._candidates(query, limit + SPARE, rows)
            distances = self._distances(query, candidates)
            order = np.lexsort((self._serials[candidates], distances))[:limit]
            return [(float(distances[each]), self._stored(int(candidates[each]))) for each in order]

    def _candidates(self, query: Numbers, limit: int, rows: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        """The rows that single precision finds nearest, in no order, none twice."""
        if rows is not None and len(rows) * SPARSE < self.rows:
            nearness = self._nearness(query, self._numbers[rows], self._norms[rows])
        else:
            nearness = self._nearness(query, self._numbers[: self.rows], self._norms[: self.rows])
            nearness = nearness if rows is None else nearness[rows]
        if len(nearness) > limit:
            best = np.argpartition(nearness, len(nearness) - limit)[-limit:]
        else:
            best = np.arange(len(nearness))
        return best if rows is None else rows[best]

    def _nearness(self, query: Numbers, numbers: Numbers, norms: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A number for each row that falls as its distance grows."""
        products = numbers @ query
        near = products / norms if self._cosine else 2.0 * products - norms**2
        finite: npt.NDArray[Any] = np.nan_to_num(near, nan=-np.inf)
        return finite

    def _distances(self, query: Numbers, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Cosine distance (0 to 2), or Euclidean distance, with double precision."""
        numbers, exact = self._numbers[rows].astype(np.float64), query.astype(np.float64)
        found: npt.NDArray[np.float64]
        if self._cosine:
            length = np.linalg.norm(exact)
            found = np.maximum(0.0, 1.0 - numbers @ exact / (self._norms[rows] * length))
        else:
            found = np.linalg.norm(numbers - exact, axis=1)
        return found
