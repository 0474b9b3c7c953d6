"""Detectors' scores of a text, even below thresholds: thresholds can be judged only by scores on both sides of
them."""

from __future__ import annotations

from collections.abc import Iterable

from fmops.guardrails.types import Finding

LEAST = 0.05
"""Least score that is reported. A detector that was asked and reported none found less."""


def highest(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the finding with the highest score of each category and detector, without its place in the text."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.category.value, finding.detector)
        if finding.score >= LEAST and (key not in found or finding.score > found[key].score):
            found[key] = Finding(finding.category, round(finding.score, 2), detector=finding.detector)
    return tuple(found[key] for key in sorted(found))
