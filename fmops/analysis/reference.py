"""The reference that windows are measured with: projections, topics, radii and frequencies, fitted once on a
sample."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = 1
COMPONENTS = 64
"""Number of principal components whose second moments are kept: variances, and covariances, which show
rotations.
"""
FREQUENCIES = 64
"""Number of random Fourier frequencies over both bandwidths (Rahimi and Recht 2007): twice as many detect no more
(`checks.bench.analysis --power`) and cost a quarter of the products. A baseline keeps those that it was fitted with."""
MAX_TOPICS = 128
"""Maximum number of topics. It must exceed the number of real topics, or a small new topic hides in a large
cluster (drift study, trap 15)."""
ROWS_PER_TOPIC = 15
MAX_CORPUS = 1024
RADIUS_QUANTILE = 0.99
TAILS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0003, 0.0001)
"""Tail shares beyond the points at which novelty and coverage are compared."""
HELD_OUT = 5
"""One row in this many is held out of the fit, to measure how far rows are from topics that were not fitted to
them."""
FIT_ROWS = 20_000
KMEANS_STEPS = 12


class BaselineError(ValueError):
    """The rows cannot be fitted to, or measured with, this reference; the message says why and what to do."""


@dataclass(frozen=True)
class Reference:
    """Everything that a window is measured with.

    Shapes: ``d`` dimensions, ``m`` components, ``k`` topics, ``r`` frequencies, ``c`` documents.

    ``version`` names the fit; ``model_id`` names the embedding model: vectors of another model are not
    comparable.
    """

    version: str
    model_id: str
    mean: Array  # [d]
    rotation: Array  # [d, d], principal axes in columns
    variances: Array  # [d], along the axes
    moment_scales: Array  # [m (m + 1) / 2], standard deviations of the products of components in the sample
    centroids: Array  # [k, d]
    shares: Array  # [k], share of each topic in the sample
    radii: Array  # [k], squared distance within which 99 % of a topic's rows were
    frequencies: Array  # [d, r]
    corpus: Array  # [c, d], unit rows; empty when coverage is read from the captured scores
    gap_similarity: float  # similarity below which a query counts as not covered
    novelty_points: Array  # [t], points at which the upper tail is compared
    similarity_points: Array  # [u], points at which the lower tail is compared

    @property
    def dimension(self) -> int:
        return int(self.mean.shape[0])

    @property
    def topics(self) -> int:
        return int(self.centroids.shape[0])

    @property
    def components(self) -> Array:
        """Return the whitened principal axes, shape ``[d, m]``."""
        count = self.component_count
        axes: Array = self.rotation[:, :count] / np.sqrt(self.variances[:count] + self.ridge)
        return axes

    @property
    def component_count(self) -> int:
        return min(COMPONENTS, self.dimension)

    @property
    def ridge(self) -> float:
        """Return the ridge added to variances before dividing by them, so that directions with little variation
        stay quiet."""
        return float(0.05 * self.variances.mean() + 1e-12)

    def to_bytes(self) -> bytes:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, format=FORMAT, **values)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            if int(stored["format"]) != FORMAT:
                raise BaselineError(
                    f"the baseline has format {int(stored['format'])}, this version reads {FORMAT}: "
                    "fit it again (make analyse FIT=1)"
                )
            values = {field.name: stored[field.name] for field in fields(cls)}
        return cls(
            **{
                **values,
                "version": str(values["version"]),
                "model_id": str(values["model_id"]),
                "gap_similarity": float(values["gap_similarity"]),
            }
        )


def fit(
    vectors: Array,
    *,
    version: str,
    model_id: str,
    corpus: Array | None = None,
    similarities: Array | None = None,
    gap_quantile: float = 0.05,
    topics: int | None = None,
    seed: int = 0,
) -> Reference:
    """Fit a reference on a sample, shape ``[n, d]``, of at least 2 rows, none of which should be in the windows
    it measures.

    Topics are centroids of k-means: at most ``n / 15``, up to 128. ``similarities``, shape ``[n]``, are the
    captured ones of the sample (NaN where there is none); they are computed when a ``corpus``, shape ``[c,
    d]``, is given.
    """
    if vectors.ndim != 2 or len(vectors) < 2:
        raise BaselineError(
            f"a baseline needs at least 2 rows with embeddings, not {len(vectors)}: choose more days (FROM=, TO=)"
        )
    generator = np.random.default_rng(seed)
    sample = vectors if len(vectors) <= FIT_ROWS else vectors[generator.permutation(len(vectors))[:FIT_ROWS]]
    sample = np.ascontiguousarray(sample, dtype=np.float32)
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    variances, rotation = _principal_axes(sample - mean)
    held_out, fitted = sample[::HELD_OUT], np.delete(sample, slice(None, None, HELD_OUT), axis=0)
    count = topics or int(np.clip(len(fitted) // ROWS_PER_TOPIC, 1, MAX_TOPICS))
    centroids, assigned, squared = _kmeans(fitted, count, generator)
    radii, novelty = _radii(assigned, squared, *_nearest(held_out, centroids), len(centroids))
    documents = _unit(_reduce_corpus(corpus, generator)) if corpus is not None and len(corpus) else sample[:0]
    closeness = (sample @ documents.T).max(axis=1) / _norms(sample) if len(documents) else similarities
    known = closeness[np.isfinite(closeness)] if closeness is not None else np.zeros(0)
    counts = np.bincount(assigned, minlength=len(centroids)) + 0.5
    reference = Reference(
        version=version,
        model_id=model_id,
        mean=mean,
        rotation=rotation,
        variances=variances,
        moment_scales=np.ones(0, np.float32),
        centroids=centroids,
        shares=(counts / counts.sum()).astype(np.float32),
        radii=radii,
        frequencies=_frequencies(sample, generator),
        corpus=documents,
        gap_similarity=float(np.quantile(known, gap_quantile)) if len(known) else -1.0,
        novelty_points=-_tail_points(-novelty),
        similarity_points=_tail_points(known),
    )
    components = (sample - mean) @ reference.components
    products = moment_products(components)
    values = {field.name: getattr(reference, field.name) for field in fields(reference)}
    return Reference(**{**values, "moment_scales": products.std(axis=0).astype(np.float32) + 1e-6})


def with_corpus(reference: Reference, corpus: Array | None) -> Reference:
    """Return the reference with other documents, shape ``[c, d]``; unchanged without any, or if it has none itself."""
    if corpus is None or not len(corpus) or not len(reference.corpus):
        return reference
    return replace(reference, corpus=_unit(_reduce_corpus(corpus, np.random.default_rng(0))))


def moment_products(components: Array) -> Array:
    """Return the products of all pairs, shape ``[n, m]`` to ``[n, m (m + 1) / 2]``, in the order of the upper
    triangle."""
    first, second = np.triu_indices(components.shape[1])
    products: Array = components[:, first] * components[:, second]
    return products


def _tail_points(values: Array) -> Array:
    """Return the points beyond which the shares of ``TAILS`` lie.

    Where there are too few rows for a share, the tail is assumed to be exponential.
    """
    if len(values) < 20:
        return np.zeros(0, np.float32)
    near, far = np.quantile(values, [0.1, 0.02])
    decay = (near - far) / np.log(0.1 / 0.02)
    points = [
        np.quantile(values, tail) if tail * len(values) >= 5 else far - decay * np.log(0.02 / tail)
        for tail in TAILS
    ]
    return np.unique(points).astype(np.float32)


def _principal_axes(centred: Array) -> tuple[Array, Array]:
    covariance = (centred.T @ centred) / len(centred)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    return np.maximum(values[::-1], 0).astype(np.float32), np.ascontiguousarray(vectors[:, ::-1], np.float32)


def _kmeans(sample: Array, count: int, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    """Run Lloyd's algorithm from greedy k-means++ seeds (Arthur and Vassilvitskii 2007).

    It is written in numpy because workers of the Spark engine have no scikit-learn. Return centroids ``[k,
    d]``, the topic of each row ``[n]`` and its squared distance ``[n]``.
    """
    squares = np.einsum("ij,ij->i", sample, sample)
    centroids = sample[[generator.integers(len(sample))]]
    nearest = _squared_distances(sample, squares, centroids)[:, 0]
    for _ in range(1, min(count, len(sample))):
        # Greedy: take the candidate that brings the rows closest, so that no two topics share a centroid.
        total = float(nearest.sum(dtype=np.float64))
        weights = nearest / total if total > 0 else np.full(len(sample), 1 / len(sample))
        places = np.searchsorted(
            np.cumsum(weights, dtype=np.float64), generator.random(2 + int(np.log(count)))
        )
        candidates = sample[np.minimum(places, len(sample) - 1)]
        closer = np.minimum(nearest[:, None], _squared_distances(sample, squares, candidates))
        best = int(closer.sum(axis=0, dtype=np.float64).argmin())
        centroids, nearest = np.vstack([centroids, candidates[[best]]]), closer[:, best]
    for _ in range(KMEANS_STEPS):
        assigned = _squared_distances(sample, squares, centroids).argmin(axis=1)
        sizes = np.bincount(assigned, minlength=len(centroids))
        order = np.argsort(assigned, kind="stable")
        starts = np.searchsorted(assigned[order], np.arange(len(centroids)))
        filled = sizes > 0
        sums = np.add.reduceat(sample[order], starts[filled], axis=0, dtype=np.float64)
        centroids = centroids.copy()
        centroids[filled] = (sums / sizes[filled, None]).astype(np.float32)
    distances = _squared_distances(sample, squares, centroids)
    assigned = distances.argmin(axis=1)
    return centroids, assigned, distances[np.arange(len(sample)), assigned]


def _squared_distances(sample: Array, squares: Array, centroids: Array) -> Array:
    """Return squared distances, shape ``[n, k]``."""
    distances = squares[:, None] - 2 * sample @ centroids.T + np.einsum("ij,ij->i", centroids, centroids)
    return np.asarray(np.maximum(distances, 0))


def _nearest(rows: Array, centroids: Array) -> tuple[Array, Array]:
    """Return the topic of each row ``[n]`` and its squared distance ``[n]``."""
    distances = _squared_distances(rows, np.einsum("ij,ij->i", rows, rows), centroids)
    return distances.argmin(axis=1), distances.min(axis=1)


def _radii(
    assigned: Array, squared: Array, held_out_topics: Array, held_out_squared: Array, count: int
) -> tuple[Array, Array]:
    """Return squared radii ``[k]`` and the novelty of the held-out rows.

    Radii come from held-out rows because fitted rows are closer than others will be. Each radius is the 99 %
    point of the topic's rows, drawn towards that of all topics where there are few rows.
    """
    overall = float(np.quantile(squared, RADIUS_QUANTILE)) + 1e-9
    prior_rows = 30
    radii = np.full(count, overall)
    for topic in range(count):
        own = squared[assigned == topic]
        if len(own):
            weight = len(own) / (len(own) + prior_rows)
            radii[topic] = weight * np.quantile(own, RADIUS_QUANTILE) + (1 - weight) * overall
    novelty = held_out_squared / radii[held_out_topics]
    further = max(float(np.quantile(novelty, RADIUS_QUANTILE)), 1e-6)
    return (radii * further).astype(np.float32), novelty / further


def _frequencies(sample: Array, generator: np.random.Generator) -> Array:
    """Return frequencies for Gaussian kernels of two widths: the median distance of the sample's rows, and half
    of it."""
    chosen = sample[generator.permutation(len(sample))[:1000]]
    squares = np.einsum("ij,ij->i", chosen, chosen)
    distances = _squared_distances(chosen, squares, chosen)
    median = float(np.sqrt(np.median(distances[np.triu_indices(len(chosen), 1)]))) or 1.0
    half = FREQUENCIES // 2
    drawn = generator.standard_normal((sample.shape[1], FREQUENCIES)).astype(np.float32)
    drawn[:, :half] /= median
    drawn[:, half:] /= median / 2
    return drawn


def _reduce_corpus(corpus: Array, generator: np.random.Generator) -> Array:
    """Return the documents as they are, or as many centroids of them as the kernel can afford to compare
    with.
    """
    documents = np.ascontiguousarray(corpus, np.float32)
    return documents if len(documents) <= MAX_CORPUS else _kmeans(documents, MAX_CORPUS, generator)[0]


def _norms(rows: Array) -> Array:
    return np.asarray(np.maximum(np.linalg.norm(rows, axis=1), 1e-12))


def _unit(rows: Array) -> Array:
    return np.asarray(rows / _norms(rows)[:, None], np.float32)
