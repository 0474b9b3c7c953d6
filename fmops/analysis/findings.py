"""The meaning of a window's numbers: topics that grew or shrank, new ones, gaps in the knowledge base, and a
sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from fmops.analysis.baseline import Baseline, false_discovery_rates
from fmops.analysis.reference import Array
from fmops.analysis.state import Example, State, similarity_bin
from fmops.analysis.terms import Terms

MAX_SHOWN = 5
TOPIC_RATIO, TOPIC_POINTS, TOPIC_Q = 1.25, 0.005, 0.05
NEW_RATIO, NEW_SHARE, NEW_ROWS = 3.0, 0.005, 5
GAP_RATIO, GAP_POINTS = 2.0, 0.01
TOGETHER = 2.4
"""Squared distance between two rows of a group, relative to a topic's squared radius: 2, plus a margin because
topics are fine."""
NEAR = 1.25
SAME_TOPIC = 0.3
"""Fraction of a new topic's current share from which an earlier window counts as already having it."""


@dataclass(frozen=True)
class Quote:
    """An example, as the report shows it."""

    interaction_id: str
    text: str
    similarity: float | None
    trace: str = ""
    """Query of the assistant's page Why; empty when no trace was captured."""


@dataclass(frozen=True)
class TopicChange:
    """A topic of the baseline, with its share then and now. ``x`` and ``y`` give its place on the map of
    topics.
    """

    topic: int
    share: float
    usual: float
    q_value: float
    terms: list[str]
    examples: list[Quote]
    x: float
    y: float

    @property
    def changed(self) -> bool:
        """Return whether the change is significant, and at least a quarter and half a percentage point of all
        queries."""
        ratio = max(self.share, 1e-9) / max(self.usual, 1e-9)
        return (
            self.q_value <= TOPIC_Q
            and abs(self.share - self.usual) >= TOPIC_POINTS
            and not 1 / TOPIC_RATIO < ratio < TOPIC_RATIO
        )


@dataclass
class Cluster:
    """Queries that are like each other and unlike what was usual, or unlike every document.

    ``usual`` is the share of the same region in the baseline; ``similarity`` is the median similarity to the
    nearest document, if known; ``since`` is the id of the first window in the unbroken run of windows that have
    the cluster.
    """

    share: float
    usual: float
    rows: int
    terms: list[str]
    examples: list[Quote]
    similarity: float | None
    x: float
    y: float
    since: str = ""
    covered: bool | None = None


@dataclass
class Findings:
    """Everything found in one window."""

    topics: list[TopicChange] = field(default_factory=list)
    new_topics: list[Cluster] = field(default_factory=list)
    gaps: list[Cluster] = field(default_factory=list)
    novel_share: float = 0.0
    usual_novel_share: float = 0.0
    gap_share: float = 0.0
    usual_gap_share: float = 0.0
    total_variation: float = 0.0

    @property
    def matter(self) -> bool:
        """Return whether anything is large enough that someone should look."""
        return bool(self.new_topics or self.gap_grew or any(topic.changed for topic in self.topics))

    @property
    def gap_grew(self) -> bool:
        return (
            self.gap_share >= GAP_RATIO * self.usual_gap_share
            and self.gap_share - self.usual_gap_share >= GAP_POINTS
        )


def find(
    baseline: Baseline,
    window: State,
    window_id: str,
    earlier: Sequence[tuple[str, State]] = (),
    previous: Sequence[Findings] = (),
) -> Findings:
    """Return the findings of a window.

    ``earlier`` holds the states of previous windows, by id, oldest first. They date new topics, together with
    the ``previous`` findings.
    """
    reference, usual = baseline.reference, baseline.state
    terms = Terms(row.text for state in (usual, window) for row in state.examples["all"])
    found = Findings(
        novel_share=window.novel_share,
        usual_novel_share=usual.novel_share,
        gap_share=window.gap_share(reference.gap_similarity),
        usual_gap_share=usual.gap_share(reference.gap_similarity),
        total_variation=float(np.abs(window.shares - usual.shares).sum() / 2),
    )
    found.topics = _topics(baseline, window, terms)
    found.new_topics = _new_topics(baseline, window, window_id, earlier, terms)
    for topic in found.new_topics:
        if earlier and topic.since == earlier[0][0]:
            topic.since = _first_seen(baseline, topic, previous)
    found.gaps = _gaps(baseline, window, terms)
    return found


def _topics(baseline: Baseline, window: State, terms: Terms) -> list[TopicChange]:
    usual = baseline.state.shares
    rates = false_discovery_rates(baseline.topic_p_values(window))
    places = _places(baseline, baseline.reference.centroids)
    now, then = _by_topic(window.examples["topic"]), _by_topic(baseline.state.examples["topic"])
    changes = []
    for topic in np.argsort(-np.maximum(window.shares, usual)):
        rows = [*now.get(topic, []), *then.get(topic, [])]
        changes.append(
            TopicChange(
                int(topic),
                float(window.shares[topic]),
                float(usual[topic]),
                float(rates[topic]),
                terms.of([row.text for row in rows]),
                _quotes(now.get(topic, [])),
                float(places[topic, 0]),
                float(places[topic, 1]),
            )
        )
    return changes


def _new_topics(
    baseline: Baseline, window: State, window_id: str, earlier: Sequence[tuple[str, State]], terms: Terms
) -> list[Cluster]:
    """Return clusters of the novel rows whose region was almost empty in the baseline."""
    rows = window.examples["novel"]
    found = []
    for members, centre, radius in _clusters(baseline, rows):
        share = len(members) / len(rows) * window.novel_share
        usual = _share_near(baseline.state, centre, radius)
        if len(members) < NEW_ROWS or share < NEW_SHARE or share < NEW_RATIO * usual:
            continue
        since = window_id
        for name, state in reversed(earlier):
            if _share_near(state, centre, radius) < SAME_TOPIC * share:
                break
            since = name
        found.append(
            _cluster(baseline, window, members, centre, terms, share=share, usual=usual, since=since)
        )
    return sorted(found, key=lambda cluster: -cluster.share)


def _first_seen(baseline: Baseline, topic: Cluster, previous: Sequence[Findings]) -> str:
    """Return the id of the first window with the topic: the earliest that ``previous`` findings give for the
    same place on the map."""
    near = float(np.median(baseline.reference.radii))
    dates = [
        other.since
        for findings in previous
        for other in findings.new_topics
        if (other.x - topic.x) ** 2 + (other.y - topic.y) ** 2 <= near
    ]
    return min([topic.since, *dates])


def _gaps(baseline: Baseline, window: State, terms: Terms) -> list[Cluster]:
    """Return clusters of the queries that no document is near to."""
    rows = window.examples["gap"]
    share = window.gap_share(baseline.reference.gap_similarity)
    found = [
        _cluster(
            baseline,
            window,
            members,
            centre,
            terms,
            share=len(members) / len(rows) * share,
            usual=_share_near(baseline.state, centre, radius, "gap", baseline.reference.gap_similarity),
        )
        for members, centre, radius in _clusters(baseline, rows)
    ]
    return sorted(found, key=lambda cluster: -cluster.share)[: 2 * MAX_SHOWN]


def _clusters(baseline: Baseline, rows: Sequence[Example]) -> list[tuple[list[Example], Array, float]]:
    """Return groups of rows that are as close as those of a usual topic: members, centre ``[d]`` and squared
    radius."""
    if not rows:
        return []
    vectors = np.array([row.vector for row in rows], np.float32)
    if len(rows) == 1:
        return [(list(rows), vectors[0], float(np.median(baseline.reference.radii)))]
    radius = float(np.median(baseline.reference.radii))
    labels = fcluster(linkage(vectors, "average"), float(np.sqrt(TOGETHER * radius)), "distance")
    groups = []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label).tolist()
        groups.append(([rows[index] for index in inside], vectors[inside].mean(axis=0), radius))
    return groups


def _share_near(
    state: State, centre: Array, radius: float, kind: str = "novel", gap_similarity: float = 0.0
) -> float:
    """Return the share of a state's rows that are novel (or not covered) and within the radius of a centre."""
    rows = state.examples[kind]
    if not rows:
        return 0.0
    squared = ((np.array([row.vector for row in rows], np.float32) - centre) ** 2).sum(axis=1)
    share = state.novel_share if kind == "novel" else state.gap_share(gap_similarity)
    return float((squared <= NEAR * radius).mean() * share)


def _cluster(
    baseline: Baseline,
    window: State,
    members: Sequence[Example],
    centre: Array,
    terms: Terms,
    *,
    share: float,
    usual: float,
    since: str = "",
) -> Cluster:
    vectors = np.array([row.vector for row in members], np.float32)
    nearest = [members[index] for index in ((vectors - centre) ** 2).sum(axis=1).argsort()]
    known = [row.similarity for row in members if np.isfinite(row.similarity)]
    similarity = float(np.median(known)) if known else None
    place = _places(baseline, centre[None])[0]
    return Cluster(
        share=share,
        usual=usual,
        rows=round(share * window.count),
        terms=terms.of([row.text for row in nearest]),
        examples=_quotes(nearest),
        similarity=similarity,
        x=float(place[0]),
        y=float(place[1]),
        since=since,
        covered=_covered(baseline, similarity),
    )


def _covered(baseline: Baseline, similarity: float | None) -> bool | None:
    """Return True if a document is as near as for most queries, False if farther than for nearly all, None
    where it is unclear."""
    if similarity is None:
        return None
    if similarity < baseline.reference.gap_similarity:
        return False
    counts = baseline.state.similarity.sum(axis=0).cumsum()
    median = int(np.searchsorted(counts, counts[-1] / 2))
    return True if similarity_bin(similarity) > median else None


def _places(baseline: Baseline, vectors: Array) -> Array:
    reference = baseline.reference
    return np.asarray((vectors - reference.mean) @ reference.rotation[:, :2])


def _by_topic(rows: Sequence[Example]) -> dict[int, list[Example]]:
    grouped: dict[int, list[Example]] = {}
    for row in rows:
        grouped.setdefault(row.topic, []).append(row)
    return grouped


def _quotes(rows: Sequence[Example]) -> list[Quote]:
    """Return the first few distinct texts."""
    quotes: dict[str, Quote] = {}
    for row in rows:
        similarity = round(row.similarity, 3) if np.isfinite(row.similarity) else None
        quotes.setdefault(row.text, Quote(row.interaction_id, row.text, similarity, row.trace))
    return list(quotes.values())[:MAX_SHOWN]
