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
    """An Amazon Managed Grafana workspace: needs IAM Identity Center, and each editor is billed."""
    metric_interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """How often each task sends its metrics: Managed Prometheus bills by the sample."""
    metric_retention_days: Annotated[int, Field(ge=1, le=1095)] = 150
    """Of Managed Prometheus."""
    container_insights: Literal["off", "enabled", "enhanced"] = "off"
    """CloudWatch's metrics of the cluster and its service, of the tasks and containers too when `enhanced`; billed by the metric. The application's
    own metrics go to Managed Prometheus without it."""
    collector_image: Annotated[str, Pattern(pattern=r"^[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?$")] = (
        "public.ecr.aws/aws-observability/aws-otel-collector:v0.49.0"
    )
    """Of the ADOT collector. Append `@sha256:...`, as your registry shows it, so that the tag cannot come to mean something else."""
    transaction_search: Literal["off", "use", "enable"] = "off"
    """`use`: traces go to X-Ray's OTLP endpoint, and CloudWatch keeps every span, which needs Transaction Search to be on in
    the account and region. `enable` also turns it on, by a stack of its own: for one environment of an account where it is off."""
    span_index_percent: Annotated[float, Field(ge=0, le=100)] = 1
    """With `enable`: the spans that X-Ray also indexes as trace summaries; 1 % costs nothing."""
    mlflow_traces: bool = False
    """Also sends traces with prompts, answers and tool results to MLflow: personal data. X-Ray never gets them."""
    mlflow_traces_experiment_id: Annotated[str, Pattern(pattern=r"^\d{1,19}$")] = "0"
    """Of an MLflow experiment that exists; 0 is the one named Default."""
    alert_email: Annotated[str, Pattern(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Subscribed to the alerts' SNS topic, after its owner has confirmed; nobody is told when it is not set."""
