"""A check that the visit filled the dashboards: every panel that reads Prometheus, or metrics of our
jobs, has data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from demo.visit import Visit
from local.run.report import Section
from observability.dashboards import dashboards, not_in_a_run
from observability.dashboards.cloudwatch import CloudWatch
from observability.dashboards.preview import is_drawn, page, without_data
from observability.dashboards.prometheus import NoMetricsError, Prometheus

PREVIEW = Path("build/dashboards/preview.html")
PATIENCE = 30
"""Maximum seconds until the last metrics arrive: they are sent every ten to thirty seconds."""


def look(visit: Visit, section: Section) -> list[str]:
    """Draw every dashboard from the deployment's Managed Prometheus and CloudWatch, and return the
    panels without data."""
    built, metrics = list(dashboards().values()), CloudWatch(boto3.client("cloudwatch"))
    panels = sum(
        is_drawn(panel, metrics) and panel["title"] not in not_in_a_run().get(board["uid"], {})
        for board in built
        for panel in board["panels"]
    )
    try:
        empty = _wait(built, _endpoint(visit), metrics)
    except NoMetricsError as error:
        section.found = "not drawn"
        section.notes.append(f"dashboards: not drawn. {error}")
        return []
    section.found = f"{panels - len(empty)} of {panels} panels have data"
    section.say(f"Drawn on one page: {PREVIEW}")
    return [f"a panel has no data: {panel}" for panel in empty]


def unanswered(visit: Visit) -> str:
    """Return why the deployment's Managed Prometheus answers no queries, as in a local run without Prometheus; empty if
    it does."""
    try:
        Prometheus(_endpoint(visit), sign=_signed)
    except NoMetricsError as error:
        return str(error)
    return ""


def _endpoint(visit: Visit) -> str:
    return visit.outputs["Observability"]["PrometheusEndpoint"]


def _wait(built: list[dict[str, object]], endpoint: str, metrics: CloudWatch) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    titles = {str(board["uid"]): board["title"] for board in built}
    expected = {f"{titles[uid]}: {panel}" for uid, panels in not_in_a_run().items() for panel in panels}
    while True:
        prometheus = Prometheus(endpoint, sign=_signed)
        empty = [each for each in without_data(built, prometheus, metrics) if each not in expected]
        if not empty or time.monotonic() > deadline:
            PREVIEW.parent.mkdir(parents=True, exist_ok=True)
            PREVIEW.write_text(page(built, prometheus, metrics))
            return empty
        time.sleep(1)


@cache
def _identity() -> tuple[Credentials, str]:
    """Return the credentials and the region that queries are signed with; a session takes longer than a query."""
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoMetricsError("there are no AWS credentials to ask Managed Prometheus with: sign in first")
    return credentials, session.region_name


def _signed(url: str) -> Mapping[str, str]:
    credentials, region = _identity()
    request = AWSRequest("GET", url)
    SigV4Auth(credentials, "aps", region).add_auth(request)
    return dict(request.headers)
