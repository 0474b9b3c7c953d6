"""The collector beside the assistant: its configuration, its variables, and its container in the task."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ecs as ecs
from constructs.agent_service import AgentService
from constructs.otel_collector import OtelCollector

from observability.collector import config as collector_config
from observability.collector.template import Option, compose
from settings import Settings
from stacks.base import FmopsStack
from stacks.observability import Observability
from stacks.tracking import Tracking

READ_SEGMENTS = ("xray:BatchGetTraces",)
READ_SPANS = ("xray:StartTraceRetrieval", "xray:ListRetrievedTraces", "xray:CancelTraceRetrieval")
"""IAM actions that read traces from Transaction Search's log group. X-Ray reads the logs itself: the service
authorization reference names no other action."""
COLLECTOR = "/opt/aws-otel-collector/awscollector"
"""Path of the collector in the assistant's image."""


class CollectorSidecar:
    """The ADOT collector of one assistant."""

    def __init__(
        self, stack: FmopsStack, settings: Settings, observability: Observability, tracking: Tracking
    ) -> None:
        self._stack = stack
        self._settings = settings
        self._observability = observability
        self._tracking = tracking

    def options(self) -> list[Option]:
        """Return the options of the collector's configuration that the settings turn on."""
        observability, options = self._settings.observability, list[Option]()
        if observability.transaction_search != "off":
            options.append("transaction-search")
        if observability.mlflow_traces:
            options.append("mlflow-traces")
        return options

    def environment(self) -> dict[str, str]:
        """Return the collector's variables: the endpoints that it writes to."""
        options, observability = self._settings.assistant, self._settings.observability
        environment = {"AMP_REMOTE_WRITE_ENDPOINT": self._observability.prometheus.remote_write_endpoint}
        if observability.transaction_search != "off":
            environment["XRAY_OTLP_TRACES_ENDPOINT"] = (
                f"https://xray.{self._stack.region}.amazonaws.com/v1/traces"
            )
        if observability.mlflow_traces:
            environment |= {
                "CONTENT_OTLP_HTTP_ENDPOINT": f"0.0.0.0:{options.collector_content_port}",
                "MLFLOW_OTLP_TRACES_ENDPOINT": f"https://mlflow.sagemaker.{self._stack.region}.app.aws/v1/traces",
                "MLFLOW_ARN": self._tracking.mlflow.arn,
                "MLFLOW_EXPERIMENT_ID": observability.mlflow_traces_experiment_id,
            }
        return environment

    @property
    def trace_actions(self) -> Sequence[str]:
        """Return the IAM actions by which the collector writes traces."""
        spans = self._settings.observability.transaction_search != "off"
        return OtelCollector.SPANS if spans else OtelCollector.SEGMENTS

    @property
    def read_actions(self) -> Sequence[str]:
        """Return the IAM actions by which the assistant reads traces from where the collector sends them."""
        spans = self._settings.observability.transaction_search != "off"
        return READ_SPANS if spans else READ_SEGMENTS

    def build(self, app: AgentService) -> None:
        """Add the collector to the task of the application."""
        options, prometheus = self._settings.assistant, self._observability.prometheus
        configuration = compose(*self.options())
        collector_config.load(configuration)
        collector = OtelCollector(
            self._stack,
            "Collector",
            task_definition=app.task_definition,
            task_role=app.task_role,
            image=self._image(app),
            command=[COLLECTOR] if self._without_internet else None,
            configuration=configuration,
            environment=self.environment(),
            otlp_port=options.collector_port,
            health_port=options.collector_health_port,
            prometheus_arn=prometheus.arn,
            trace_actions=self.trace_actions,
            lifetime=self._stack.lifetime,
            log_retention=self._stack.log_retention,
        )
        app.container.add_container_dependencies(
            ecs.ContainerDependency(
                container=collector.container, condition=ecs.ContainerDependencyCondition.START
            )
        )

    def _image(self, app: AgentService) -> ecs.ContainerImage:
        """Return ADOT's own image, or the assistant's, which has the collector too, where the public registry
        cannot be reached."""
        if self._without_internet:
            return app.image.for_ecs()
        return ecs.ContainerImage.from_registry(self._settings.observability.collector_image)

    @property
    def _without_internet(self) -> bool:
        return self._settings.network.egress == "endpoints"
