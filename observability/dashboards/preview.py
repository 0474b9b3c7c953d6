"""Draw dashboards from the answers of a Prometheus and of CloudWatch, as one self-contained page. This is a
preview: Grafana draws them better."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any

from observability.dashboards import cloudwatch
from observability.dashboards.cloudwatch import CloudWatch, Points
from observability.dashboards.prometheus import Prometheus

COLORS = (
    "#3a7bd5",
    "#e07b39",
    "#4aa564",
    "#c14a4a",
    "#8a63c9",
    "#b89b2f",
    "#3aa6a6",
    "#d16ba5",
    "#6b7785",
    "#7a9e34",
)
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 180, 62, 18
UNITS = {"s": "s", "reqps": "/s", "cps": "/s", "percent": "%"}

PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>FMOps dashboards: a preview</title>
<style>
 body { font: 14px system-ui, sans-serif; margin: 24px; background: #f3f4f6; color: #1f2933 }
 h1 { font-size: 20px } h2 { font-size: 15px; margin: 18px 0 6px; grid-column: 1 / -1 }
 .note { color: #52606d }
 .board { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; margin-bottom: 32px }
 .panel { background: #fff; border: 1px solid #d9dee5; border-radius: 6px; padding: 8px 10px; min-width: 0;
   overflow: hidden }
 .panel h3 { font-size: 13px; margin: 0 0 4px } .panel p { margin: 2px 0; color: #52606d; font-size: 12px }
 .value { font-size: 26px; font-weight: 600 } .bad { color: #c14a4a } .good { color: #2f8f4e }
 .legend { font-size: 11px; color: #3e4c59 } .legend span { margin-right: 10px; white-space: nowrap }
 .legend i { display: inline-block; width: 10px; height: 3px; margin-right: 4px; vertical-align: middle }
 svg { width: 100%; height: auto } text { font: 10px system-ui, sans-serif; fill: #52606d }
 .elsewhere { background: repeating-linear-gradient(45deg, #fff, #fff 8px, #f0f2f5 8px, #f0f2f5 16px) }
</style>
<h1>FMOps dashboards</h1>
<p class="note">A preview, not Grafana. $when. Panels that say what they read, and show nothing, need an account.</p>
$boards
</html>
""")


def page(
    dashboards: Sequence[dict[str, Any]], prometheus: Prometheus, metrics: CloudWatch | None = None
) -> str:
    """Return a page with all dashboards, one below the other; without ``metrics`` the CloudWatch panels
    are not drawn."""
    begin, end = (
        datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for each in (prometheus.begin, prometheus.end)
    )
    return PAGE.substitute(
        when=f"{begin} to {end} UTC",
        boards="\n".join(_board(each, prometheus, metrics) for each in dashboards),
    )


def series(
    panel: dict[str, Any], prometheus: Prometheus, metrics: CloudWatch | None = None
) -> list[tuple[str, Points]]:
    """Return the legend and points of every series of a panel, as its queries give them, without values that
    are not numbers."""
    if cloudwatch.is_ours(panel):
        searches = [target["expression"] for target in panel["targets"]]
        return [found for each in searches for found in metrics.search(each)] if metrics else []
    found = []
    for target in panel.get("targets", []):
        answers = (
            prometheus.instant(target["expr"]) if target.get("instant") else prometheus.range(target["expr"])
        )
        for answer in answers:
            raw = [answer["value"]] if "value" in answer else answer["values"]
            points = [(float(when), float(value)) for when, value in raw if math.isfinite(float(value))]
            if points:
                found.append((_legend(target.get("legendFormat", ""), answer["metric"]), points))
    return found


def without_data(
    dashboards: Sequence[dict[str, Any]], prometheus: Prometheus, metrics: CloudWatch | None = None
) -> list[str]:
    """Return the dashboard and title of every panel of ours that has nothing to draw."""
    return [
        f"{board['title']}: {panel['title']}"
        for board in dashboards
        for panel in board["panels"]
        if is_drawn(panel, metrics) and not series(panel, prometheus, metrics)
    ]


def is_ours(panel: dict[str, Any]) -> bool:
    """Whether a panel reads Prometheus rather than an AWS service."""
    return panel["type"] != "row" and "prometheus" in panel["datasource"]["type"]


def is_drawn(panel: dict[str, Any], metrics: CloudWatch | None) -> bool:
    """Whether the preview can draw a panel."""
    return is_ours(panel) or (metrics is not None and cloudwatch.is_ours(panel))


def _board(dashboard: dict[str, Any], prometheus: Prometheus, metrics: CloudWatch | None) -> str:
    drawn = "".join(_panel(panel, prometheus, metrics) for panel in dashboard["panels"])
    heading = f"<h1 id='{dashboard['uid']}'>{escape(dashboard['title'])}</h1>"
    note = f"<p class='note'>{escape(dashboard['description'])}</p>"
    return f"{heading}{note}<section class='board'>{drawn}</section>"


def _panel(panel: dict[str, Any], prometheus: Prometheus, metrics: CloudWatch | None) -> str:
    if panel["type"] == "row":
        return f"<h2>{escape(panel['title'])}</h2>"
    about = f"<p>{escape(panel.get('description', ''))}</p>" if panel.get("description") else ""
    kind, body = "", _elsewhere(panel)
    if is_drawn(panel, metrics):
        found = series(panel, prometheus, metrics)
        body = _number(panel, found) if panel["type"] == "stat" else _chart(panel, found)
    else:
        kind = " elsewhere"
    return (
        f"<article class='panel{kind}' style='grid-column: span {panel['gridPos']['w']}'>"
        f"<h3>{escape(panel['title'])}</h3>{body}{about}</article>"
    )


def _elsewhere(panel: dict[str, Any]) -> str:
    source = {"cloudwatch": "CloudWatch"}.get(panel["datasource"]["type"], "X-Ray")
    queries = " · ".join(str(target.get("query") or target.get("expression")) for target in panel["targets"])
    return f"<p>Reads {source}: <code>{escape(queries)}</code></p>"


def _number(panel: dict[str, Any], found: list[tuple[str, Points]]) -> str:
    if not found:
        return "<div class='value'>no data</div>"
    value = found[0][1][-1][1]
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    limit = next((step["value"] for step in steps if step.get("value") is not None), None)
    mood = "" if limit is None else (" bad" if value >= limit else " good")
    return f"<div class='value{mood}'>{_text(value, _unit(panel))}</div>"


def _chart(panel: dict[str, Any], found: list[tuple[str, Points]]) -> str:
    if not found:
        return "<div class='value'>no data</div>"
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    layers = _stacked(found) if stacked else [(name, [0.0] * len(points), points) for name, points in found]
    times = [when for _, _, points in layers for when, _ in points]
    begin, end = min(times), max(max(times), min(times) + 1)
    top = _ceiling(max(value for _, _, points in layers for _, value in points))

    def x(when: float) -> float:
        return LEFT + (when - begin) / (end - begin) * (WIDTH - LEFT - 8)

    def y(value: float) -> float:
        return (HEIGHT - BOTTOM) - value / top * (HEIGHT - BOTTOM - 8)

    parts = []
    for share in (0, 0.5, 1):
        height = y(top * share)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH}' y1='{height:.1f}' y2='{height:.1f}' stroke='#e4e7eb'/>")
        parts.append(
            f"<text x='{LEFT - 6}' y='{height + 3:.1f}' text-anchor='end'>{_text(top * share, _unit(panel))}</text>"
        )
    for when, anchor in ((begin, "start"), (end, "end")):
        clock = datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S")
        parts.append(f"<text x='{x(when):.1f}' y='{HEIGHT - 4}' text-anchor='{anchor}'>{clock}</text>")
    for color, (_, base, points) in zip(_colors(len(layers)), layers, strict=True):
        line = " ".join(f"{x(when):.1f},{y(value):.1f}" for when, value in points)
        if len(points) == 1:  # a line needs two points to be visible
            [(when, value)] = points
            parts.append(f"<circle cx='{x(when) + 4:.1f}' cy='{y(value):.1f}' r='4' fill='{color}'/>")
        if stacked:
            back = " ".join(
                f"{x(when):.1f},{y(low):.1f}" for (when, _), low in zip(points[::-1], base[::-1], strict=True)
            )
            parts.append(f"<polygon points='{line} {back}' fill='{color}' fill-opacity='.25'/>")
        parts.append(f"<polyline points='{line}' fill='none' stroke='{color}' stroke-width='1.6'/>")
    legend = "".join(
        f"<span><i style='background:{color}'></i>{escape(name)}</span>"
        for color, (name, _, _) in zip(_colors(len(layers)), layers, strict=True)
    )
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}'>{''.join(parts)}</svg><div class='legend'>{legend}</div>"


def _stacked(found: list[tuple[str, Points]]) -> list[tuple[str, list[float], Points]]:
    """Stack each series on those before it: return its name, its lower edge and its upper edge."""
    below: dict[float, float] = {}
    layers = []
    for name, points in found:
        base = [below.get(when, 0.0) for when, _ in points]
        tops = [(when, low + value) for (when, value), low in zip(points, base, strict=True)]
        below.update(tops)
        layers.append((name, base, tops))
    return layers


def _colors(number: int) -> list[str]:
    return [COLORS[index % len(COLORS)] for index in range(number)]


def _ceiling(value: float) -> float:
    """Return a round number above ``value``."""
    if value <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= value)


def _unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", ""))


def _text(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "currencyUSD":
        return f"${value:.4g}"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.4g} {UNITS.get(unit, '')}".strip()


def _legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace(f"{{{{{name}}}}}", value)
    return re.sub(r"\{\{.*?\}\}", "", form).strip() or "all"
