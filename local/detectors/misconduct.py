"""Stand-in for Bedrock's MISCONDUCT category: nearest neighbours over MiniLM."""

from __future__ import annotations

from local.detectors import neighbours


def score(text: str) -> float:
    """Return a score from 0 to 1."""
    return neighbours.scores(text, ("MISCONDUCT",), "not_toxic", 0.09)["MISCONDUCT"]
