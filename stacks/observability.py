"""The Observability stack: metrics, alerts and dashboards. It changes with the dashboards."""

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.grafana_dashboards import DataSource, GrafanaDashboards
from constructs.grafana_workspace import GrafanaWorkspace
from constructs.prometheus_workspace import PrometheusWorkspace

from observability.dashboards import dashboards, rules
from observability.dashboards.parts import CLOUDWATCH, PROMETHEUS, XRAY
from settings import Settings
from stacks.base import FmopsStack


class Observability(FmopsStack):
    """Prometheus workspace with alerts and, if wanted, a Grafana workspace."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id, settings, description="FMOps: metrics, alerts, dashboards")
        self.prometheus = PrometheusWorkspace(
            self,
            "Prometheus",
            alias=settings.environment_name,
            rules=rules(),
            alert_email=settings.observability.alert_email,
            metric_retention_days=settings.observability.metric_retention_days,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        CfnOutput(self, "PrometheusWorkspaceId", value=self.prometheus.workspace_id)
        CfnOutput(self, "PrometheusEndpoint", value=self.prometheus.endpoint)
        if settings.observability.grafana:
            grafana = GrafanaWorkspace(
                self, "Grafana", name=settings.environment_name, prometheus_arn=self.prometheus.arn
            )
            self._build_dashboards(grafana, settings.observability.transaction_search != "off")
            CfnOutput(self, "GrafanaWorkspaceEndpoint", value=grafana.endpoint)

    def _build_dashboards(self, workspace: GrafanaWorkspace, transaction_search: bool) -> None:
        prometheus, traces = PROMETHEUS.type_val, XRAY.type_val
        GrafanaDashboards(
            self,
            "Dashboards",
            workspace=workspace,
            dashboards=dashboards(transaction_search=transaction_search),
            data_sources=(
                DataSource(str(PROMETHEUS.uid), str(prometheus), self.prometheus.endpoint),
                DataSource(str(XRAY.uid), str(traces)),
                DataSource(str(CLOUDWATCH.uid), str(CLOUDWATCH.type_val)),
            ),
            plugins=(str(prometheus), str(traces)),
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
