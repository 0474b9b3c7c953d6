"""An application in a container image on Lambda."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.alarms import notify
from constructs.application_image import ApplicationImage
from constructs.data_lifetime import DataLifetime
from constructs.network import inside

ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}

# Lambda sets these itself and refuses a function that defines them (Lambda Developer Guide,
# "Reserved environment variables").
RESERVED = {"AWS_REGION", "AWS_DEFAULT_REGION"}
ENVIRONMENT_BYTES = 4096
"""Maximum size of all environment variables together (Lambda quotas)."""
TOKEN = re.compile(r"\$\{Token\[[^\]]*\]\}")
TOKEN_BYTES = 90
"""Generous estimate of the size of a name or ARN that is known only at deployment."""


class FunctionEnvironmentError(ValueError):
    """The environment is larger than Lambda accepts; the message is written for whoever wrote the settings."""


class AgentFunction(Construct):
    """An HTTP server on Lambda: the same image that runs on ECS, which gets its requests from the Lambda Web
    Adapter in it.

    Answers are streamed. The sandbox is frozen between two requests, so the application must have delivered
    whatever it holds by the time an answer ends.

    Args:
        image: Folder with the Dockerfile; the image it builds has the adapter in /opt/extensions.
        dockerfile: Path of the Dockerfile inside the folder.
        build_args: Build arguments (`ARG`) of the image, by name. None by default.
        built_by: Who builds the image: `docker` on the deploying machine (the default), or
            `codebuild` (see `ApplicationImage`).
        command: Command of the container, word by word.
        architecture: Processor architecture of the image and the function.
        memory_mib: Memory of the function in MiB. CPU comes in proportion: one whole vCPU at 1769 MiB.
        timeout: Maximum duration of one request, at most fifteen minutes.
        concurrency: Number of concurrent requests that are reserved for the function, which is also its
            maximum. By default it shares the account's quota.
        port: Port that the application listens on.
        ready_path: Path that answers 200 once the application takes requests.
        environment: Environment variables of the function; those that Lambda reserves are left out. Raises
            `FunctionEnvironmentError` above 4 KB.
        vpc: VPC in whose private subnets the function runs. By default it runs outside any VPC, which costs
            nothing and starts fastest.
        alarm_topic: SNS topic that is told of errors and throttled requests. No alarms by default.
        lifetime: Whether the log groups outlive the stack.
        log_retention: How long the log groups keep events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        image: Path,
        dockerfile: str = "Dockerfile",
        build_args: Mapping[str, str] | None = None,
        built_by: Literal["docker", "codebuild"] = "docker",
        command: Sequence[str],
        architecture: Literal["arm64", "x86_64"],
        memory_mib: int,
        timeout: Duration,
        concurrency: int | None = None,
        port: int,
        ready_path: str,
        environment: Mapping[str, str] | None = None,
        vpc: ec2.IVpc | None = None,
        alarm_topic: sns.ITopic | None = None,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        variables = {name: value for name, value in (environment or {}).items() if name not in RESERVED}
        variables |= _adapter(port, ready_path)
        _check_size(variables)
        log_group = logs.LogGroup(
            self, "LogGroup", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        self.image = ApplicationImage(
            self,
            "Image",
            folder=image,
            dockerfile=dockerfile,
            architecture=architecture,
            build_args=build_args,
            built_by=built_by,
            lifetime=lifetime,
            log_retention=log_retention,
        )
        self.role = iam.Role(
            self,
            "Role",
            description="What the application may do",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        log_group.grant_write(self.role)
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            code=self.image.for_lambda(command),
            architecture=ARCHITECTURES[architecture],
            memory_size=memory_mib,
            timeout=timeout,
            reserved_concurrent_executions=concurrency,
            environment=variables,
            role=self.role,
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=inside(vpc)) if vpc else None,
            security_groups=[_only_out(self, vpc)] if vpc else None,
        )
        self._acknowledge(in_vpc=vpc is not None)
        self.alarms = self._build_alarms(alarm_topic)

    def _acknowledge(self, *, in_vpc: bool) -> None:
        acknowledge(
            self.role.node.find_child("DefaultPolicy"),
            "Writing and reading traces has no resources in IAM (service authorization reference of X-Ray).",
            "AwsSolutions-IAM5[Resource::*]",
        )
        if in_vpc:
            policy = "service-role/AWSLambdaVPCAccessExecutionRole"
            acknowledge(
                self.role,
                "Lambda makes network interfaces under the role; their ARNs are not known before, and AWS"
                " keeps this list.",
                f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]",
                f"AwsSolutions-IAM4[Policy::arn:aws:iam::aws:policy/{policy}]",
            )

    def _build_alarms(self, topic: sns.ITopic | None) -> list[cloudwatch.Alarm]:
        period = Duration.minutes(5)
        watched = [
            (
                "Errors",
                self.function.metric_errors(period=period),
                "Requests of the function fail or time out: look at its log group.",
            ),
            (
                "Throttles",
                self.function.metric_throttles(period=period),
                "Requests find no free sandbox: raise the concurrency of the function or of the account.",
            ),
        ]
        alarms = [
            cloudwatch.Alarm(
                self,
                name,
                alarm_description=meaning,
                metric=metric,
                threshold=1,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            for name, metric, meaning in watched
        ]
        if topic is not None:
            notify(alarms, topic)
        return alarms


def _adapter(port: int, ready_path: str) -> dict[str, str]:
    """Return the settings of the Lambda Web Adapter. They let a start exceed the ten seconds that Lambda
    allows, at the cost of the first request."""
    return {
        "AWS_LWA_PORT": str(port),
        "AWS_LWA_READINESS_CHECK_PATH": ready_path,
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_ASYNC_INIT": "true",
    }


def _check_size(variables: Mapping[str, str]) -> None:
    sizes = {
        name: len(name.encode()) + len(TOKEN.sub("x" * TOKEN_BYTES, value).encode())
        for name, value in variables.items()
    }
    if (total := sum(sizes.values())) > ENVIRONMENT_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise FunctionEnvironmentError(
            f"The environment of the assistant would be about {total} bytes, {sizes[largest]} of them"
            f" {largest}, but Lambda takes {ENVIRONMENT_BYTES}: shorten the settings that are in it, such as"
            " assistant.guardrails, or set assistant.compute to ecs."
        )


def _only_out(scope: Construct, vpc: ec2.IVpc) -> ec2.SecurityGroup:
    """Return a security group that allows HTTPS out and nothing in: functions are not invoked through the
    network.
    """
    security_group = ec2.SecurityGroup(scope, "SecurityGroup", vpc=vpc, allow_all_outbound=False)
    security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
    return security_group
