"""Settings of traces, metrics and alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from settings.kinds import Pattern, Section


class Observability(Section):
    """Metrics, alerts and dashboards."""

    grafana: bool = False
    """Whether to create an Amazon Managed Grafana workspace: it needs IAM Identity Center, and each editor is
    billed."""
    metric_interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """Seconds between two exports of each task's metrics: Managed Prometheus bills by the sample."""
    metric_retention_days: Annotated[int, Field(ge=1, le=1095)] = 150
    """Days for which Managed Prometheus keeps metrics."""
    container_insights: Literal["off", "enabled", "enhanced"] = "off"
    """CloudWatch's metrics of the cluster and its service, and with `enhanced` also of tasks and containers;
    billed by the metric. The application's own metrics go to Managed Prometheus in any case."""
    collector_image: Annotated[str, Pattern(pattern=r"^[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?$")] = (
        "public.ecr.aws/aws-observability/aws-otel-collector:v0.49.0"
    )
    """Image of the ADOT collector. Append `@sha256:...`, as your registry shows it, so that the tag cannot come
    to mean another image."""
    transaction_search: Literal["off", "use", "enable"] = "off"
    """Use of Transaction Search. `use`: traces go to X-Ray's OTLP endpoint, and CloudWatch keeps every span,
    which needs Transaction Search to be on in the account and region. `enable` also turns it on, with a
    separate stack: for one environment of an account where it is off."""
    span_index_percent: Annotated[float, Field(ge=0, le=100)] = 1
    """Percentage of spans that X-Ray also indexes as trace summaries, with `enable`; 1 % costs nothing."""
    mlflow_traces: bool = False
    """Whether traces with prompts, answers and tool results also go to MLflow: personal data. X-Ray never gets
    them."""
    mlflow_traces_experiment_id: Annotated[str, Pattern(pattern=r"^\d{1,19}$")] = "0"
    """Id of an existing MLflow experiment; 0 is the one named Default."""
    alert_email: Annotated[str, Pattern(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Address subscribed to the alerts' SNS topic, after its owner has confirmed; without one, no one is
    notified.
    """
