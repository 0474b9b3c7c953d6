"""Windows too large for this machine: the Spark engine computes their state elsewhere, and it is read from the
lake."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fmops.analysis.lake import Lake, Window
from fmops.analysis.reference import Reference
from fmops.analysis.spark import unpack
from fmops.analysis.state import State

log = logging.getLogger("fmops.analysis")


class EngineError(RuntimeError):
    """The engine did not produce a state; the message says where its log is."""


@dataclass(frozen=True)
class SparkEngine:
    """Compute states in runs of ``fmops.analysis.spark``.

    ``run`` takes the entry point's arguments and returns when the run has succeeded, or raises ``EngineError``.
    ``lake_name`` is the run's name for the lake: its bucket.
    """

    lake: Lake
    lake_name: str
    run: Callable[[Sequence[str]], None]
    interactions: str = "interactions"
    prefix: str = "analysis"

    def __call__(
        self, keys: Sequence[tuple[str, int]], window: Window, reference: Reference, without_fitted: bool
    ) -> State:
        """Return the window's state. The run lists the window's objects itself; ``keys`` only says how much
        there is."""
        log.info("window %s: %d MiB go to Spark", window.id, sum(size for _, size in keys) >> 20)
        fitted = f"{self.prefix}/spark/{reference.version}.npz"
        name = f"{reference.version}/{window.id}{'.held-out' if without_fitted else ''}"
        output = f"{self.prefix}/spark/{name}.npz"
        texts = f"{self.prefix}/content/spark/{name}.json.gz"
        self.lake.write(fitted, reference.to_bytes())
        self.run(
            [
                *("--lake", self.lake_name, "--prefix", self.interactions, "--reference", fitted),
                *("--from", window.start.isoformat(), "--to", window.end.isoformat()),
                *("--output", output, "--texts", texts),
                *(["--without-fitted"] if without_fitted else []),
            ]
        )
        state, examples = self.lake.read(output), self.lake.read(texts)
        if state is None or examples is None:
            raise EngineError(f"window {window.id}: the Spark run succeeded, but there is no {output}")
        return unpack(state, examples)
