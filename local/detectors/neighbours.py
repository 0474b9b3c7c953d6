"""Scores by nearest neighbours: how much closer a text is to bad examples than to harmless ones."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from local.detectors.embeddings import embed
from local.detectors.minilm import Array

_EVERYDAY = "everyday"
_NEAREST = 3
_STEEPNESS = 14.0
_MARGIN = 0.11
"""Margin by which a text must be closer to bad examples before its score exceeds one half."""
_RESEMBLANCE = 0.3
"""Similarity below which a text resembles nothing: being closer to a bad example then means nothing."""
_SHORT = 8
_LONG = 400
"""Length in characters above which a text is judged by its sentences; shorter pieces mean nothing alone."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@cache
def _exemplars() -> dict[str, Array]:
    raw: dict[str, Any] = yaml.safe_load(files("local.detectors").joinpath("exemplars.yaml").read_text())
    return {label: embed(sentences) for label, sentences in raw.items()}


def scores(text: str, labels: tuple[str, ...], harmless: str, margin: float = _MARGIN) -> dict[str, float]:
    """Return for each label, from 0 to 1, the highest score of the whole text and of each of its sentences.

    Harmless are the examples of the label ``harmless``, and those of everyday requests.
    """
    vectors = embed(_pieces(text))
    exemplars = _exemplars()
    good = np.maximum(_nearness(vectors, exemplars[harmless]), _nearness(vectors, exemplars[_EVERYDAY]))
    good = np.maximum(good, np.float32(_RESEMBLANCE))
    return {
        label: float(_logistic(_nearness(vectors, exemplars[label]) - good, margin).max()) for label in labels
    }


def _pieces(text: str) -> list[str]:
    """Return the sentences, and the whole text while it is short enough to have one meaning."""
    sentences = [piece for piece in _SENTENCE.split(text) if len(piece) > _SHORT]
    whole = [text] if len(text) <= _LONG or not sentences else []
    return list(dict.fromkeys([*whole, *sentences]))


def _nearness(vectors: Array, exemplars: Array) -> Array:
    """Return half the best similarity plus half the mean of the best few: one lucky word is not enough."""
    best = np.sort(vectors @ exemplars.T, axis=1)[:, -_NEAREST:]
    mean: Array = (best[:, -1] + best.mean(axis=1)) / 2
    return mean


def _logistic(difference: Array, margin: float) -> Array:
    result: Array = 1 / (1 + np.exp(-_STEEPNESS * (difference - margin)))
    return result
