"""Stable 64-bit hashes of strings, vectorised, the same in every engine and process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

# The finaliser of splitmix64 (Steele, Lea, Flood 2014). It maps 0 to 0, so that padding changes nothing.
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
AT_ONCE = 4096
"""Number of rows hashed at a time, few enough that they stay in the cache."""
_WORD = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Hashes) -> Hashes:
    """Permute 64-bit integers in a way that spreads every bit."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def hash_strings(strings: Sequence[str]) -> Hashes:
    """Return one hash per string, shape ``[n]``."""
    if not len(strings):
        return np.zeros(0, np.uint64)
    try:
        packed = np.array(strings, dtype=np.bytes_)  # ASCII, as ids are: packed in C
    except UnicodeEncodeError:
        packed = np.array([text.encode() for text in strings], dtype=np.bytes_)
    width = -(-max(packed.dtype.itemsize, 1) // 8) * 8
    words = packed.astype(f"S{width}").view("<u8").reshape(len(strings), -1).astype(np.uint64)
    return hash_words(words)


def hash_words(words: Hashes) -> Hashes:
    """Return one hash per row of 64-bit words, shape ``[n, words]`` to ``[n]``; zeros at a row's end do not
    count.
    """
    odd = mix(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _WORD) | np.uint64(1)
    hashes = np.empty(len(words), np.uint64)
    for start in range(0, len(words), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        hashes[part] = mix(mix(words[part]) @ odd)
    return hashes
