"""Building blocks of the dashboards: data sources, queries, panels, and links to the traces behind a number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.builders import cloudwatch, common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

PROMETHEUS = DataSourceRef("grafana-amazonprometheus-datasource", "fmops-prometheus")
XRAY = DataSourceRef("grafana-x-ray-datasource", "fmops-x-ray")
CLOUDWATCH = DataSourceRef("cloudwatch", "fmops-cloudwatch")
"""Data sources, by the uids that lambdas/grafana_provisioner gives them."""

SERVICE = 'job=~"$service"'
RATE = "$__rate_interval"
Query = tuple[str, str]
"""A PromQL expression and the legend of its series."""


def dashboard(uid: str, title: str, description: str) -> grafana.Dashboard:
    """Return an empty dashboard with a selector for the service."""
    services = (
        grafana.QueryVariable("service")
        .label("Service")
        .datasource(PROMETHEUS)
        .query("label_values(fmops_interactions_total, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )
    others = grafana.DashboardLink("FMOps").type(DashboardLinkType.DASHBOARDS).tags(["fmops"]).keep_time(True)
    return (
        grafana.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["fmops"])
        .time("now-3h", "now")
        .refresh("1m")
        .timezone("browser")
        .editable()
        .with_variable(services)
        .link(others.include_vars(True))
    )


def row(title: str) -> grafana.Row:
    return grafana.Row(title)


def lines(
    title: str,
    queries: Sequence[Query],
    *,
    description: str = "",
    unit: str = "short",
    stacked: bool = False,
    traces: str = "",
    span: int = 8,
) -> timeseries.Panel:
    """Return a panel of series over time. ``traces`` is an X-Ray filter expression: a click on the panel leads
    to those traces."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .span(span)
        .height(8)
        .fill_opacity(25 if stacked else 8)
        .line_width(1.5)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, (expr, legend) in zip("ABCDEF", queries, strict=False):
        panel.with_target(_query(ref, expr, legend))
    if traces:
        panel.links([_link("Traces", traces)])
    return panel


def number(
    title: str,
    expr: str,
    *,
    description: str = "",
    unit: str = "short",
    bad_above: float | None = None,
    span: int = 4,
) -> stat.Panel:
    """Return a panel with one number over the whole time range, which is red above ``bad_above``."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(span)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .with_target(_query("A", expr, title).instant())
    )
    if bad_above is None:
        return panel.color_scheme(grafana.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
    steps = [Threshold(value=None, color="green"), Threshold(value=bad_above, color="red")]
    return panel.thresholds(grafana.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))


def cloudwatch_lines(
    title: str,
    namespace: str,
    metrics: Sequence[str],
    *,
    statistic: str,
    unit: str = "short",
    span: int = 8,
    period: int = 60,
) -> timeseries.Panel:
    """Return a panel of CloudWatch metrics for every resource of the account: search expressions need no ids.
    ``period`` is in seconds."""
    panel = timeseries.Panel().title(title).datasource(CLOUDWATCH).unit(unit).min(0).span(span).height(8)
    for ref, metric in zip("ABCD", metrics, strict=False):
        search = (
            f"SEARCH('{{{namespace}}} MetricName=\"{metric.rpartition(':')[2]}\"', '{statistic}', {period})"
        )
        panel.with_target(
            cloudwatch.MetricsQuery()
            .ref_id(ref)
            .region("default")
            .expression(search)
            .id(f"q{ref.lower()}")
            .match_exact(False)
        )
    return panel


def traces(title: str, expression: str, *, description: str = "", span: int = 24) -> Any:
    """Return a panel with the list of traces that an X-Ray filter expression finds."""
    from grafana_foundation_sdk.builders import table

    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(XRAY)
        .span(span)
        .height(8)
        .with_target(XrayQuery(expression))
    )


class XrayQuery(Builder[Dataquery], Dataquery):
    """The X-Ray plugin's query, for which the SDK has no builder."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        return _xray_query(self._expression)


def quantiles(
    metric: str, labels: str = SERVICE, *, by: str = "", what: tuple[float, ...] = (0.5, 0.95)
) -> list[Query]:
    """Return the quantiles of a histogram over all tasks, optionally by label."""
    over = ", ".join(filter(None, ["le", by]))
    legend = f" {{{{{by}}}}}" if by else ""
    return [
        (
            f"histogram_quantile({quantile:g}, sum by ({over}) (rate({metric}_bucket{{{labels}}}[{RATE}])))",
            f"p{quantile * 100:g}{legend}",
        )
        for quantile in what
    ]


def rate(metric: str, by: str, labels: str = SERVICE, legend: str = "") -> Query:
    """Return the increase per second over all tasks, by labels."""
    shown = legend or " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))", shown


def _query(ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).expr(expr).legend_format(legend)


def _xray_query(expression: str) -> dict[str, object]:
    return {
        "refId": "A",
        "datasource": {"type": XRAY.type_val, "uid": XRAY.uid},
        "queryType": "getTraceSummaries",
        "query": expression,
        "region": "default",
    }


def _link(title: str, expression: str) -> grafana.DashboardLink:
    panes = {
        "x": {
            "datasource": XRAY.uid,
            "queries": [_xray_query(expression)],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    # Grafana's own variables must stay readable; everything else is escaped.
    encoded = quote(json.dumps(panes), safe="${}")
    return (
        grafana.DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .url(f"/explore?schemaVersion=1&panes={encoded}")
    )
