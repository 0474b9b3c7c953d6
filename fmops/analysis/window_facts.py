"""Facts about one window beside its comparison: counts for the record, another model's embeddings, signals for
review."""

from __future__ import annotations

import numpy as np

from fmops.analysis.baseline import Baseline
from fmops.analysis.findings import Findings
from fmops.analysis.reference import Reference
from fmops.analysis.result import ReviewSignal
from fmops.analysis.state import State


def described(state: State, baseline: Baseline) -> dict[str, object]:
    """Return the window's counts and its distances from the baseline, for the result's record."""
    usual = baseline.state
    ours, others = state.vectors.sum(axis=0), usual.vectors.sum(axis=0)
    lengths = np.linalg.norm(ours) * np.linalg.norm(others)
    waves = state.waves.sum(axis=0) / max(state.count, 1) - usual.waves.sum(axis=0) / max(usual.count, 1)
    return {
        "rows": state.count,
        "cosine_distance": float(1 - ours @ others / lengths) if lengths else 0.0,
        "mmd2": float((waves**2).sum() / (len(waves) / 2)),
        "checks": {name: count for name, count in sorted(state.checks.items()) if count},
        "models": dict(state.models),
        "bad_objects": state.bad_objects,
        "duplicate_share": state.duplicate_share,
        "repeated_share": state.repeated_share,
    }


def other_model(state: State, reference: Reference) -> str:
    """Return the sentence that refuses a window whose embeddings come from another model; empty when they do
    not.
    """
    others = {model: count for model, count in state.models.items() if model != reference.model_id}
    if sum(others.values()) + state.checks["other_dimension"] <= state.count:
        return ""
    model = max(others, key=others.__getitem__) if others else reference.model_id
    what = f"of {model}" if others else f"of another dimension than {reference.dimension}"
    return (
        f"The embeddings are {what}, the baseline's are of {reference.model_id}: they cannot be compared. "
        "Fit a baseline of windows with the new model: make analyse FIT=1 FROM= TO=."
    )


def for_review(state: State, findings: Findings) -> list[ReviewSignal]:
    """Return signals for new topics, gaps and the farthest outliers: each interaction once, with its first
    reason.
    """
    signals: dict[str, ReviewSignal] = {}
    for cluster in findings.new_topics:
        for quote in cluster.examples:
            signals.setdefault(
                quote.interaction_id,
                ReviewSignal(
                    interaction_id=quote.interaction_id, kind="new_topic", detail=", ".join(cluster.terms)
                ),
            )
    for row in state.examples["gap"]:
        detail = f"similarity {row.similarity:.2f} to the nearest document"
        signals.setdefault(
            row.interaction_id,
            ReviewSignal(interaction_id=row.interaction_id, kind="coverage_gap", detail=detail),
        )
    for row in state.examples["farthest"]:
        detail = f"{row.novelty:.2f} times the squared radius of its topic"
        signals.setdefault(
            row.interaction_id, ReviewSignal(interaction_id=row.interaction_id, kind="outlier", detail=detail)
        )
    return list(signals.values())
