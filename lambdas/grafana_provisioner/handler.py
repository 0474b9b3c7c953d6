"""CloudFormation's custom resource that keeps a Grafana workspace's data sources and dashboards as the stack
has them."""

from pathlib import Path
from typing import Any

import boto3
import grafana_provisioning

grafana = boto3.client("grafana")

DASHBOARDS = Path(__file__).with_name("dashboards")


def handler(event: dict[str, Any], _context: object) -> None:
    """Provision on create and update, remove on delete, and report the outcome to CloudFormation."""
    grafana_provisioning.answer(
        event, lambda: grafana_provisioning.apply(event, grafana, grafana_provisioning.read(DASHBOARDS))
    )
