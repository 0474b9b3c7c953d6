"""Query CloudWatch for the result of a panel's search expression. The local AWS, which a run fills, does
not support searches."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

NAMESPACE = "FMOps/"
"""Prefix of the namespaces that our jobs write to; other namespaces belong to AWS's services."""
SEARCH = re.compile(
    r"""SEARCH\('\{(?P<namespace>[^,}]+)(?:,(?P<dimensions>[^}]*))?\} MetricName="(?P<metric>[^"]+)"',"""
    r""" '(?P<statistic>\w+)', (?P<period>\d+)\)"""
)
DAYS = 2
"""Days that are drawn, since a job's points lie at the end of the day that they are about."""
Points = list[tuple[float, float]]


class CloudWatch:
    """The part of CloudWatch's API that our panels need; ``client`` is boto3's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def search(self, expression: str) -> list[tuple[str, Points]]:
        """Return the name and points of every metric that one of our search expressions finds."""
        found = SEARCH.fullmatch(expression)
        if found is None:
            raise ValueError(f"{expression}: not a search as dashboards.parts.cloudwatch_lines writes it")
        wanted = set(filter(None, (found["dimensions"] or "").split(",")))
        listed = self._client.list_metrics(Namespace=found["namespace"], MetricName=found["metric"])[
            "Metrics"
        ]
        metrics = [each for each in listed if {one["Name"] for one in each["Dimensions"]} == wanted]
        return [(found["metric"], points) for each in metrics if (points := self._points(each, found))]

    def _points(self, metric: Any, found: re.Match[str]) -> Points:
        now = datetime.fromtimestamp(time.time(), UTC)
        answer = self._client.get_metric_statistics(
            Namespace=metric["Namespace"],
            MetricName=metric["MetricName"],
            Dimensions=metric["Dimensions"],
            StartTime=now - timedelta(days=DAYS),
            EndTime=now + timedelta(days=1),
            Period=int(found["period"]),
            Statistics=[found["statistic"]],
        )
        points = ((each["Timestamp"].timestamp(), each[found["statistic"]]) for each in answer["Datapoints"])
        return sorted(points)


def is_ours(panel: dict[str, Any]) -> bool:
    """Whether a panel reads metrics that our jobs write to CloudWatch."""
    return panel["type"] != "row" and any(
        (found := SEARCH.fullmatch(str(target.get("expression", ""))))
        and found["namespace"].startswith(NAMESPACE)
        for target in panel.get("targets", [])
    )
