"""The AWS Distro for OpenTelemetry collector as a sidecar."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.data_lifetime import DataLifetime


class OtelCollector(Construct):
    """A collector in an ECS task, which the other containers reach on localhost over OTLP/HTTP.

    The task keeps running without it, since telemetry must not cost an answer; ECS restarts the
    collector by itself.

    Args:
        task_definition: Task definition that gets the collector.
        image: Image of the ADOT collector, or one that contains it.
        command: Command of an image that is not ADOT's own, which must contain Python for the health check. By
            default the image is ADOT's.
        task_role: Role of the task, which is allowed to write traces and metrics.
        configuration: Configuration in YAML (made by `observability/collector/template.py`), passed in
            AOT_CONFIG_CONTENT. It holds no secret, and as plain environment each change of it makes a new
            revision of the task, which a parameter's value would not.
        environment: Variables that the configuration refers to as `${env:NAME}`, besides AWS_REGION,
            OTLP_HTTP_ENDPOINT and HEALTH_CHECK_ENDPOINT. None by default.
        otlp_port: Port for OTLP/HTTP.
        health_port: Port for the health check.
        prometheus_arn: ARN of the workspace that metrics go to.
        trace_actions: IAM actions that the exporter of traces calls; those of X-Ray's own API by default.
        lifetime: Whether the log group outlives the stack.
        log_retention: How long the log group keeps events.
    """

    MEMORY_MIB = 256
    SEGMENTS = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
    SPANS = ("xray:PutSpans", "xray:PutSpansForIndexing")
    """IAM actions of X-Ray's OTLP endpoint, which needs Transaction Search."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        task_definition: ecs.FargateTaskDefinition,
        task_role: iam.Role,
        image: ecs.ContainerImage,
        command: Sequence[str] | None = None,
        configuration: str,
        environment: Mapping[str, str] | None = None,
        otlp_port: int,
        health_port: int,
        prometheus_arn: str,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
        trace_actions: Sequence[str] = SEGMENTS,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "LogGroup", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        addresses = {
            "AWS_REGION": Stack.of(self).region,
            "OTLP_HTTP_ENDPOINT": f"0.0.0.0:{otlp_port}",
            "HEALTH_CHECK_ENDPOINT": f"0.0.0.0:{health_port}",
        }
        self._image, self._command, self._health_port = image, command, health_port
        self.container = self._build_container(
            task_definition,
            {**addresses, **(environment or {}), "AOT_CONFIG_CONTENT": configuration},
            log_group,
        )
        acknowledge(
            task_definition,
            "The configuration's ${env:NAME} are for the collector to replace, not for CloudFormation.",
            "CloudFormation-Validate::E1029",
        )
        grant_export(task_role, trace_actions, prometheus_arn)

    def _build_container(
        self,
        task_definition: ecs.FargateTaskDefinition,
        environment: dict[str, str],
        log_group: logs.LogGroup,
    ) -> ecs.ContainerDefinition:
        return task_definition.add_container(
            "collector",
            image=self._image,
            command=list(self._command) if self._command else None,
            essential=False,
            enable_restart_policy=True,
            memory_limit_mib=self.MEMORY_MIB,
            readonly_root_filesystem=True,
            environment=environment,
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix="collector", log_group=log_group, mode=ecs.AwsLogDriverMode.NON_BLOCKING
            ),
            health_check=ecs.HealthCheck(
                command=["CMD", *self._health_command()],
                interval=Duration.seconds(10),
                timeout=Duration.seconds(5),
                retries=3,
                start_period=Duration.seconds(10),
            ),
        )

    def _health_command(self) -> list[str]:
        if self._command is None:
            return ["/healthcheck", f"-port={self._health_port}"]  # the binary probes port 13133 by default
        url = f"http://localhost:{self._health_port}/"
        return ["python", "-c", f"import urllib.request as r; r.urlopen('{url}', timeout=4)"]


def grant_export(role: iam.Role, trace_actions: Sequence[str], prometheus_arn: str) -> None:
    """Allow a role to export as a collector does: to write traces, and metrics to one workspace."""
    role.add_to_policy(iam.PolicyStatement(actions=list(trace_actions), resources=["*"]))
    role.add_to_policy(iam.PolicyStatement(actions=["aps:RemoteWrite"], resources=[prometheus_arn]))
    acknowledge(
        role.node.find_child("DefaultPolicy"),
        "Writing and reading traces has no resources in IAM (service authorization reference of X-Ray).",
        "AwsSolutions-IAM5[Resource::*]",
    )
