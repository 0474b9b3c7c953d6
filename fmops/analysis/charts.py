"""The report's charts as SVG text: no script, no file beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fmops.analysis.findings import Cluster, TopicChange
from fmops.analysis.result import WindowResult
from fmops.analysis.wording import day, named, percent

WIDTH, HEIGHT = 760, 190
MAX_LABELS = 14
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 26


def trend(results: Sequence[WindowResult], values: Sequence[float], usual: float, label: str) -> str:
    """Draw a share over windows, with the usual share as a line and the windows with an alarm marked."""
    if not values:
        return ""
    top = max([*values, 2 * usual, 0.01]) * 1.1
    step = (WIDTH - LEFT - RIGHT) / max(len(values) - 1, 1)
    places = [(LEFT + step * n, _y(value, top)) for n, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle class="{"alert" if result.alert else "dot"}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{5 if result.alert else 3}"><title>{escape(day(result.window))}: '
        f"{percent(value)}{', alarm' if result.alert else ''}</title></circle>"
        for (x, y), value, result in zip(places, values, results, strict=True)
    )
    marks = sorted({0, len(values) // 2, len(values) - 1})
    dates = "".join(
        f'<text class="axis" x="{places[n][0]:.1f}" y="{HEIGHT - 8}" text-anchor="{_anchor(n, len(values))}">'
        f"{escape(day(results[n].window))}</text>"
        for n in marks
    )
    base = _y(usual, top)
    ticks = "".join(
        f'<text class="axis" x="{LEFT - 8}" y="{_y(value, top) + 4:.1f}" text-anchor="end">{percent(value)}</text>'
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(value, top):.1f}" y2="{_y(value, top):.1f}"/>'
        for value in (0.0, top / 2.2, top / 1.1)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{ticks}'
        f'<line class="usual" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base:.1f}" y2="{base:.1f}"/>'
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{base - 5:.1f}" text-anchor="end">usual: {percent(usual)}</text>'
        f'<polyline class="line" points="{line}"/>{dots}{dates}</svg>'
    )


def _anchor(index: int, count: int) -> str:
    return "start" if index == 0 else "end" if index == count - 1 else "middle"


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def topic_map(topics: Sequence[TopicChange], new: Sequence[Cluster], *, compared: bool) -> str:
    """Draw topics placed by similarity (the first two principal axes), sized by share and coloured by
    change.
    """
    if not topics:
        return ""
    height = 420
    xs = [*(topic.x for topic in topics), *(cluster.x for cluster in new)]
    ys = [*(topic.y for topic in topics), *(cluster.y for cluster in new)]
    low_x, low_y = min(xs), min(ys)
    span_x, span_y = max(max(xs) - low_x, 1e-6), max(max(ys) - low_y, 1e-6)

    def place(x: float, y: float) -> tuple[float, float]:
        return 40 + (WIDTH - 80) * (x - low_x) / span_x, 40 + (height - 80) * (y - low_y) / span_y

    circles = []
    for topic in topics:
        x, y = place(topic.x, topic.y)
        radius = 3 + 60 * max(topic.share, topic.usual) ** 0.5
        kind = "same"
        if compared and topic.changed:
            kind = "grown" if topic.share > topic.usual else "shrunk"
        title = f"{named(topic.terms)}: {percent(topic.share)}" + (
            f", usually {percent(topic.usual)}" if compared else ""
        )
        circles.append((radius, _circle(x, y, radius, kind, title)))
    fresh = "".join(
        _circle(
            *place(cluster.x, cluster.y),
            3 + 60 * cluster.share**0.5,
            "new",
            f"new: {named(cluster.terms)}, {percent(cluster.share)}",
        )
        for cluster in new
    )
    wanted = [(*place(cluster.x, cluster.y), f"new: {named(cluster.terms[:2])}") for cluster in new]
    wanted += [
        (*place(topic.x, topic.y), named(topic.terms[:2]))
        for topic in sorted(topics, key=lambda topic: (-topic.changed if compared else 0, -topic.share))
    ]
    labels = "".join(_label(*item) for item in _apart(wanted)[:MAX_LABELS])
    drawn = "".join(circle for _, circle in sorted(circles, key=lambda item: -item[0]))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Map of topics">{drawn}{fresh}{labels}</svg>'


def _circle(x: float, y: float, radius: float, kind: str, title: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(title)}</title></circle>'


def _apart(labels: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Return the labels that overlap no label before them; a letter is about six units wide."""
    kept: list[tuple[float, float, str]] = []
    for x, y, text in labels:
        if all(abs(y - b) > 15 or abs(x - a) > 3.3 * (len(text) + len(other)) for a, b, other in kept):
            kept.append((x, y, text))
    return kept


def _label(x: float, y: float, text: str) -> str:
    anchor = "start" if x < 90 else "end" if x > WIDTH - 90 else "middle"
    return f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
