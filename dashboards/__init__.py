"""Grafana dashboards and Prometheus rules, as code: what is provisioned, tested and previewed is one JSON.

Each module has a ``build()``; a fork changes panels there, and looks at them with ``make dashboards``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import drift, quality, safety, service

BUILDERS = (service.build, safety.build, quality.build, drift.build)
RULES = Path(__file__).with_name("rules")


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard as Grafana's JSON model, by its uid."""
    built = [json.loads(JSONEncoder(sort_keys=True).encode(build().build())) for build in BUILDERS]
    for dashboard in built:
        # The builders give every row the id 0, and panels none: Grafana collapses rows, and links to panels,
        # by their ids.
        for number, panel in enumerate(dashboard["panels"], 1):
            panel["id"] = number
    return {dashboard["uid"]: dashboard for dashboard in built}


def rules() -> dict[str, str]:
    """The rule files, by name: Prometheus's format, which is what a rule groups namespace holds."""
    return {path.stem: path.read_text() for path in sorted(RULES.glob("*.yaml"))}


def not_in_a_run() -> dict[str, dict[str, str]]:
    """Panels that show nothing in a local run: the reason by title, by dashboard."""
    import yaml  # synthesizing needs dashboards, and not this

    found: dict[str, dict[str, str]] = yaml.safe_load(RULES.with_name("not_in_a_run.yaml").read_text())
    return found
