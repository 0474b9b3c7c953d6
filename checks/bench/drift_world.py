"""Synthetic traffic with a known drift: topics in an embedding space whose spectrum is that of a
real sentence embedder.

It has 384 dimensions and 80 topics with Zipf shares. The variances fall so that the participation ratio is 75
to 85 and the first ten axes hold about a quarter, as measured on all-MiniLM-L6-v2 (drift study, section 3).
Rows have length one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

DIMENSION = 384
TOPICS = 80
BETWEEN = 0.55
"""Share of the variance that lies between topics."""


@dataclass
class World:
    """One embedding model and one population; everything follows from the seed."""

    seed: int
    dimension: int = DIMENSION
    topics: int = TOPICS

    def __post_init__(self) -> None:
        generator = np.random.default_rng([self.seed, 1])
        variances = (np.arange(self.dimension) + 4.0) ** -0.62
        self.scale = np.sqrt(variances / variances.sum())
        basis, _ = np.linalg.qr(generator.standard_normal((self.dimension, self.dimension)))
        self.basis = basis.astype(np.float32)
        weights = 1 / (np.arange(self.topics) + 3.0)
        self.shares = weights / weights.sum()
        self.centres = self._draw(generator, self.topics) * np.sqrt(BETWEEN)
        self.offset = self._draw(generator, 1)[0] * 0.5
        self.unseen = self._draw(generator, 1)[0] * np.sqrt(BETWEEN)
        self.direction = self._draw(generator, 1)[0]
        self.direction /= np.linalg.norm(self.direction)

    def _draw(self, generator: np.random.Generator, count: int) -> Array:
        return (generator.standard_normal((count, self.dimension)) * self.scale).astype(np.float32)

    def sample(
        self,
        count: int,
        generator: np.random.Generator,
        *,
        new: float = 0.0,
        shift: float = 0.0,
        rotate: float = 0.0,
        rotate_within: float = 0.0,
        boost: float = 1.0,
        jitter: float = 0.0,
        per_session: int = 1,
    ) -> Array:
        """Return rows, shape ``[count, d]``.

        ``new``: share of a topic that was never seen. ``shift``: length of a shift of every row (rows have
        length one). ``rotate``: degrees by which the rows turn about their mean, in planes of two axes.
        ``rotate_within``: degrees by which each topic's own variation turns. ``boost``: factor of the shares of
        three topics. ``jitter``: sigma of the log of factors of all shares, drawn anew. ``per_session``:
        consecutive rows that share a topic and half of their variation.
        """
        shares = self.shares.copy()
        shares[5:8] *= boost
        if jitter:
            shares *= np.exp(jitter * generator.standard_normal(self.topics))
        sessions = -(-count // per_session)
        topics = np.repeat(generator.choice(self.topics, sessions, p=shares / shares.sum()), per_session)[
            :count
        ]
        noise = self._draw(generator, count)
        if per_session > 1:
            shared = np.repeat(self._draw(generator, sessions), per_session, axis=0)[:count]
            noise = (noise + shared) * np.float32(np.sqrt(0.5))
        if rotate_within:
            noise = _turn(noise, np.radians(rotate_within))
        rows = self.centres[topics] + noise * np.float32(np.sqrt(1 - BETWEEN))
        fresh = generator.random(count) < new
        rows[fresh] += self.unseen - self.centres[topics[fresh]]
        if rotate:
            middle = self.shares @ self.centres
            rows = _turn(rows - middle, np.radians(rotate)) + middle.astype(np.float32)
        rows += self.offset
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        if shift:
            rows += np.float32(shift) * self.direction
            rows /= np.linalg.norm(rows, axis=1)[:, None]
        # The precision that embedders give; capture stores no more.
        return np.asarray(rows @ self.basis, np.float32)


SCENARIOS: dict[str, dict[str, float]] = {
    "new topic 1 %": {"new": 0.01},
    "new topic 2 %": {"new": 0.02},
    "new topic 5 %": {"new": 0.05},
    "mean shift 0.03": {"shift": 0.03},
    "rotation 45 deg": {"rotate": 45.0},
}
"""The five scenarios that the goals are about."""

HARDER: dict[str, dict[str, float]] = {
    "rotation within topics": {"rotate_within": 45.0},
    "three topics twice": {"boost": 2.0},
}
NULLS: dict[str, dict[str, float]] = {"none": {}, "none, 5 per session": {"per_session": 5}}


def pair(seed: int, changes: Mapping[str, float], rows: int) -> tuple[Array, Array, Array]:
    """Return a history to fit on ``[5000, d]`` and two windows ``[rows, d]``, the second with the changes. They
    are the same for every contender.

    ``per_session`` applies to all of them, since it is no change.
    """
    world, generator = World(seed), np.random.default_rng([seed, 2])
    usual = {"per_session": int(changes.get("per_session", 1))}
    history = world.sample(5000, generator)
    return (
        history,
        world.sample(rows, generator, **usual),
        world.sample(rows, generator, **{**changes, **usual}),
    )


def _turn(rows: Array, angle: float) -> Array:
    """Turn the planes of axes 0 and 32, 1 and 33, and so on to 31 and 63; lengths stay the same."""
    turned = rows.copy()
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    first, second = rows[:, :32], rows[:, 32:64]
    turned[:, :32] = cosine * first - sine * second
    turned[:, 32:64] = sine * first + cosine * second
    return turned
