"""The plain sentence that a report begins with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from fmops.analysis.document_drift import DocumentChange, DocumentDrift
from fmops.analysis.findings import Cluster, Findings, TopicChange
from fmops.analysis.trend import RECENT, Trend

RISES = {"coverage": "far from every document", "novelty": "far from every topic of the baseline"}


def sentence(
    findings: Findings, *, alert: bool, unusual: bool, trends: Mapping[str, Trend] | None = None
) -> str:
    """Return a sentence on the most important finding of a window that could be compared."""
    if findings.new_topics:
        return _new_topic(findings.new_topics[0], len(findings.new_topics) - 1)
    changed = [topic for topic in findings.topics if topic.changed]
    if findings.gap_grew:
        lead = findings.gaps[0].terms if findings.gaps else []
        about = f", first of all {named(lead)}" if lead else ""
        return (
            f"{percent(findings.gap_share)} of the queries are far from every document, "
            f"{percent(findings.usual_gap_share)} usually are{about}."
        )
    rising = [
        (text, trends[name])
        for name, text in RISES.items()
        if trends and name in trends and trends[name].rising
    ]
    if rising:
        return _rising(*rising[0])
    if changed:
        return _changed(max(changed, key=lambda topic: abs(topic.share - topic.usual)), len(changed) - 1)
    if alert or unusual:
        return "The queries differ from what is usual by more than days differ, but no topic grew by enough to name it."
    return "The queries are what they usually are."


def _new_topic(topic: Cluster, others: int) -> str:
    covered = {
        True: ", which a document is near to",
        False: ", and no document covers it",
        None: "",
    }[topic.covered]
    since = f"Since {day(topic.since)} people" if topic.since else "People"
    more = f" {_count(others)} more." if others else ""
    return (
        f"{since} ask about {named(topic.terms)}: {percent(topic.share)} of the queries, new{covered}.{more}"
    )


def _count(others: int) -> str:
    return "There is one new topic" if others == 1 else f"There are {others} new topics"


def _rising(text: str, trend: Trend) -> str:
    windows = min(RECENT, len(trend.history))
    return (
        f"More and more queries are {text}: {percent(trend.recent)} of those of the last {windows} windows, "
        f"{percent(trend.usual)} usually."
    )


def _changed(topic: TopicChange, others: int) -> str:
    direction = "more" if topic.share > topic.usual else "less"
    more = (
        f" {others} other topics changed too."
        if others > 1
        else " One other topic changed too."
        if others
        else ""
    )
    return (
        f"People ask {direction} about {named(topic.terms)}: {percent(topic.share)} of the queries, "
        f"{percent(topic.usual)} usually.{more}"
    )


def documents(drift: DocumentDrift) -> str:
    """Return sentences on what changed in the documents, the loss of answers first; empty if nothing did."""
    said = []
    losing = max([*drift.removed, *drift.moved], key=lambda change: change.lost, default=None)
    if losing is not None and losing.lost:
        said.append(
            f"{percent(drift.lost_share)} of the questions have lost the document that covered them, most of them "
            f"{_titled(losing)}."
        )
    if drift.gained_share:
        best = max([*drift.added, *drift.moved], key=lambda change: change.gained)
        said.append(
            f"{percent(drift.gained_share)} of the questions, which no document covered, are covered now: "
            f"most of them by {_titled(best)}."
        )
    counts = [
        (len(drift.added), "added"),
        (len(drift.removed), "removed"),
        (len(drift.moved), "changed in meaning"),
        (drift.edited, "reworded"),
    ]
    told = [f"{count} {what}" for count, what in counts if count]
    if told:
        said.append(f"Documents: {', '.join(told)}.")
    return " ".join(said)


def _titled(change: DocumentChange) -> str:
    return f"“{change.title or change.id}”"


def named(terms: list[str]) -> str:
    """Return a topic's name: its terms."""
    return ", ".join(terms[:3]) if terms else "something without common words"


def percent(share: float) -> str:
    """Format a share as a percentage, such as 0.3 % or 6 %."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < value < 3 else f"{value:.0f} %"


def day(window_id: str) -> str:
    """Format a window's id as a day, such as 12 Nov, or 12 Nov 06:00."""
    moment = datetime.fromisoformat(window_id if "T" not in window_id else f"{window_id}:00")
    return f"{moment.day} {moment:%b}" + (f" {moment:%H:%M}" if "T" in window_id else "")
