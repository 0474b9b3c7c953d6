"""Coverage gaps: groups of questions that no document answers, as the last report of the analysis has them."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict

from fmops.drafting.objects import Objects

LATEST = "analysis/content/reports/latest.json"
"""Outcome of the last report, which names its window and its baseline (``fmops.analysis.store``)."""
RESULTS = "analysis/content/results"
"""Prefix of the results; the next parts of a key are the baseline and the window."""


class Gap(BaseModel):
    """Questions that are like each other and far from every document."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Hash of its interactions: the same as long as the report shows the same examples."""
    window: str
    terms: list[str]
    share: float
    """Share of all questions of the window, between 0 and 1."""
    similarity: float | None
    """Median cosine similarity to the nearest document; None if it is not known."""
    questions: list[str]
    """Examples, as they were captured after redaction."""
    interaction_ids: list[str]
    """Interaction of each question."""


# The analysis's own models need packages that the assistant does not have; a test reads with these what they write.
class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Outcome(_Part):
    window: str
    baseline: str = ""


class _Quote(_Part):
    interaction_id: str
    text: str


class _Cluster(_Part):
    share: float
    terms: list[str]
    examples: list[_Quote]
    similarity: float | None = None


class _Findings(_Part):
    gaps: list[_Cluster] = []


class _Result(_Part):
    window: str
    findings: _Findings = _Findings()


def latest(lake: Objects) -> list[Gap]:
    """Return the gaps of the last report, the largest first; none before there is a report."""
    outcome = lake.read(LATEST)
    if outcome is None:
        return []
    named = _Outcome.model_validate_json(outcome.data)
    stored = lake.read(f"{RESULTS}/{named.baseline or 'none'}/{named.window}.json")
    if stored is None:
        return []
    result = _Result.model_validate_json(stored.data)
    found = [_gap(result.window, each) for each in result.findings.gaps]
    return sorted((each for each in found if each.questions), key=lambda each: -each.share)


def _gap(window: str, cluster: _Cluster) -> Gap:
    ids = sorted(each.interaction_id for each in cluster.examples)
    asked: dict[str, str] = {}
    for each in cluster.examples:
        if text := each.text.strip():
            asked.setdefault(text, each.interaction_id)
    return Gap(
        id=hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16],
        window=window,
        terms=cluster.terms,
        share=cluster.share,
        similarity=cluster.similarity,
        questions=list(asked),
        interaction_ids=list(asked.values()),
    )
