"""The report of a window: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from fmops.analysis import charts, wording
from fmops.analysis.findings import MAX_SHOWN
from fmops.analysis.result import WindowResult
from fmops.analysis.trend import RISK

CHECKS = {
    "unreadable": "lines that are no records",
    "repeated": "records delivered more than once (counted once)",
    "wrong_clock": "records stamped outside the window by more than an hour",
    "no_embedding": "interactions without an embedding",
    "other_model": "embeddings of another model",
    "other_dimension": "embeddings of another dimension",
    "not_finite": "embeddings with values that are not numbers",
    "zero": "embeddings that are zero",
    "without_similarity": "queries without a similarity to the knowledge base",
    "corrupt_objects": "objects that could not be read",
}
PARTS = {
    "mean": "what queries are about on average",
    "covariance": "how queries vary",
    "mmd": "the distribution as a whole (maximum mean discrepancy)",
    "topics": "shares of topics",
    "novelty": "queries far from every topic",
    "coverage": "queries far from every document",
}

TRENDS = {"novelty": "queries far from every topic", "coverage": "queries far from every document"}

PLOT_STYLE = """<style>
svg { color-scheme: light dark; --soft: light-dark(#5b6675, #9aa6b5); --line: light-dark(#d9dee5, #323b47);
  --blue: light-dark(#2563a8, #6aa6e8); --red: light-dark(#c4342d, #ef7a74); font-family: system-ui, sans-serif; }
.axis { font-size: 22px; fill: var(--soft); } .grid { stroke: var(--line); }
.usual { stroke: var(--soft); stroke-dasharray: 5 4; } .line { fill: none; stroke: var(--blue); stroke-width: 4; }
.dot { fill: var(--blue); } .alert { fill: var(--red); }
</style>"""


def plot(result: WindowResult, history: Sequence[WindowResult]) -> str:
    """Return the windows' share of queries far from every topic as an SVG image that needs no page around it;
    empty without any."""
    past = [item for item in history if item.window <= result.window and item.rows]
    drawn = charts.trend(
        past,
        [item.findings.novel_share for item in past],
        result.findings.usual_novel_share,
        "Share of queries far from every topic",
    )
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f">{PLOT_STYLE}", 1
    )


def render(result: WindowResult, history: Sequence[WindowResult], *, assistant: str = "") -> str:
    """Return a window's page, which also shows the windows up to it; ``history`` is oldest first.

    ``assistant`` is the address whose page Why shows the traces of examples; without one, the page says where to look.
    """
    past = [item for item in history if item.window <= result.window and item.rows]
    found = result.findings
    compared = result.p_value is not None
    changed = [topic for topic in found.topics if topic.changed] if compared else []
    largest = [topic for topic in found.topics if topic not in changed and topic.share > 0]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": wording.percent, "named": wording.named, "day": wording.day}
    return environment.get_template("report.html.j2").render(
        result=result,
        why=f"{assistant.rstrip('/')}/why?" if assistant.startswith(("https://", "http://")) else "",
        found=found,
        compared=compared,
        changed=changed,
        topics=[*sorted(changed, key=lambda topic: -abs(topic.share - topic.usual)), *largest][
            : 4 * MAX_SHOWN
        ],
        gaps=found.gaps[:MAX_SHOWN],
        checks={text: result.checks[name] for name, text in CHECKS.items() if result.checks.get(name)},
        parts={PARTS[name]: part for name, part in result.parts.items()},
        novelty=charts.trend(
            past,
            [item.findings.novel_share for item in past],
            found.usual_novel_share,
            "Share of queries far from every topic",
        ),
        coverage=charts.trend(
            past,
            [item.findings.gap_share for item in past],
            found.usual_gap_share,
            "Share of queries far from every document",
        ),
        map=charts.topic_map(found.topics, found.new_topics, compared=compared),
        windows=len(past),
        documents=result.documents,
        documents_sentence=wording.documents(result.documents) if result.documents else "",
        shown=4 * MAX_SHOWN,
        trends=[(TRENDS[name], trend) for name, trend in result.trends.items()],
        risk=RISK,
    )
