"""Grafana dashboards and Prometheus rules as code: the same JSON is provisioned, tested and previewed.

Each module has a ``build()``; a fork changes panels there, and looks at them with ``make dashboards``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from observability.dashboards import drift, quality, safety, service
from observability.dashboards.parts import XRAY

BUILDERS = (service.build, safety.build, quality.build, drift.build)
RULES = Path(__file__).with_name("rules")


INDEXED_ONLY = (
    "With Transaction Search X-Ray shows only the traces that it indexes (1 % unless changed); "
    "every span is in CloudWatch, under Transaction Search."
)


def dashboards(*, transaction_search: bool = False) -> dict[str, dict[str, Any]]:
    """Return every dashboard as Grafana's JSON model, by its uid.

    With ``transaction_search`` the X-Ray panels say which traces they do not show.
    """
    built = [json.loads(JSONEncoder(sort_keys=True).encode(build().build())) for build in BUILDERS]
    for dashboard in built:
        # The builders give every row the id 0, and panels none: Grafana collapses rows, and links to panels,
        # by their ids.
        for number, panel in enumerate(dashboard["panels"], 1):
            panel["id"] = number
    for panel in (panel for dashboard in built for panel in dashboard["panels"] if transaction_search):
        if panel.get("datasource", {}).get("uid") == XRAY.uid:
            panel["description"] = f"{panel.get('description', '')} {INDEXED_ONLY}".strip()
    return {dashboard["uid"]: dashboard for dashboard in built}


def rules() -> dict[str, str]:
    """Return the rule files by name, in Prometheus's format, which is also that of a rule groups namespace."""
    return {path.stem: path.read_text() for path in sorted(RULES.glob("*.yaml"))}


def not_in_a_run() -> dict[str, dict[str, str]]:
    """Return the panels that are empty in a local run: the reason by title, by dashboard."""
    import yaml  # only dashboards are needed at synth

    found: dict[str, dict[str, str]] = yaml.safe_load(RULES.with_name("not_in_a_run.yaml").read_text())
    return found
