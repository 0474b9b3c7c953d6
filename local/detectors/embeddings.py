"""Sentence embeddings of all-MiniLM-L6-v2, computed once per text in a process of their own, and kept for later runs.

In this process, the interpreter's lock would delay a short computation behind every other thread's work.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cache

import numpy as np

from local.detectors.minilm import DIMENSION, Array
from local.detectors.vectors import KeptVectors
from local.processes.companion import Companion

_BATCH = 8
"""Texts per batch: few enough for the processor's cache, and for a short question not to wait behind a long
job.
"""
_KEPT = 4096
"""Number of texts whose vectors are cached. Detectors, retrieval and capture ask about the same texts, and each
is embedded once."""
_one_at_a_time = threading.Lock()
"""Lock that lets one thread embed at a time: embedding is bound by the processor, and two at once
only take longer."""
_known: dict[str, Array] = {}


def embed(texts: Sequence[str]) -> Array:
    """Return unit vectors, shape ``[len(texts), 384]``. Text beyond 256 tokens is not read."""
    if not texts:
        return np.empty((0, DIMENSION), np.float32)
    vectors: dict[str, Array] = {}
    unique = sorted(dict.fromkeys(texts), key=len)
    for begin in range(0, len(unique), _BATCH):
        with _one_at_a_time:
            vectors |= _embedded(unique[begin : begin + _BATCH])
    return np.stack([vectors[text] for text in texts])


def _embedded(texts: list[str]) -> dict[str, Array]:
    """Return the vector of each text, from the cache where possible."""
    vectors = {text: _known[text] for text in texts if text in _known}
    if missing := [text for text in texts if text not in vectors]:
        new = _kept().find(missing)
        if unknown := [text for text in missing if text not in new]:
            computed = dict(zip(unknown, _worker().embed(unknown), strict=True))
            _kept().keep(computed)
            new |= computed
        if len(_known) + len(new) > _KEPT:
            forget()
        _known.update(new)
        vectors |= new
    return vectors


def forget() -> None:
    """Empty the cache."""
    _known.clear()


class _Worker:
    """The model's process."""

    def __init__(self) -> None:
        self._companion = Companion("local.detectors.minilm", answers=True)

    def embed(self, texts: list[str]) -> Array:
        size = len(texts) * DIMENSION * np.dtype(np.float32).itemsize
        try:
            self._companion.send(json.dumps(texts).encode() + b"\n")
            raw = self._companion.read(size)
        except BrokenPipeError:
            raw = b""
        if len(raw) < size:
            code = self._companion.process.wait()
            raise RuntimeError(f"the process of the embeddings ended with exit code {code}")
        return np.frombuffer(raw, np.float32).reshape(len(texts), DIMENSION)


@cache
def _kept() -> KeptVectors:
    return KeptVectors()


@cache
def _worker() -> _Worker:
    return _Worker()
