"""An application in a container on ECS Fargate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.application_image import ApplicationImage
from constructs.data_lifetime import DataLifetime
from constructs.network import inside

CPU_ARCHITECTURES = {"arm64": ecs.CpuArchitecture.ARM64, "x86_64": ecs.CpuArchitecture.X86_64}

INSIGHTS = {
    "off": ecs.ContainerInsights.DISABLED,
    "enabled": ecs.ContainerInsights.ENABLED,
    "enhanced": ecs.ContainerInsights.ENHANCED,
}


class AgentService(Construct):
    """A Fargate service with a read-only root file system, rolling deployments that roll back on failure, and
    no shell into its tasks.

    Args:
        name: Family of the task definition. CDK's own name would be the same for every environment
            of an account.
        vpc: VPC of the tasks. They run in its private subnets or, if it has none, in its public subnets
            with public addresses.
        image: Folder with the Dockerfile. The image must contain Python, for the health check.
        dockerfile: Path of the Dockerfile inside the folder.
        build_args: Build arguments (`ARG`) of the image, by name. None by default.
        built_by: Who builds the image: `docker` on the deploying machine (the default), or
            `codebuild` (see `ApplicationImage`).
        command: Command of the container, word by word.
        architecture: Processor architecture of the image and the task.
        cpu: CPU units of the task; 1024 are one vCPU.
        memory_mib: Memory of the task in MiB. Fargate accepts certain pairs of CPU and memory only.
        port: Port that the application listens on.
        health_path: Path that answers 200 while the application is healthy.
        environment: Environment variables of the container. None by default.
        secrets: Secrets of the container, by the environment variable that holds each. None by default.
        volumes: Directories that the application may write to, by volume name. They live as long as the task;
            everything else is read-only. None by default.
        min_tasks: Number of tasks that always run.
        max_tasks: Maximum number of tasks. If it is above `min_tasks`, the service scales on CPU, on requests
            if it is behind a load balancer, and on a metric of your own.
        container_insights: CloudWatch's metrics of the cluster and its service (`enabled`), or of its tasks and
            containers too (`enhanced`). Billed by the metric, and `off` by default.
        lifetime: Whether the log groups outlive the stack.
        log_retention: How long the log groups keep events.
    """

    CPU_TARGET_PERCENT = 60
    REQUESTS_PER_TASK_AND_MINUTE = 300

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        vpc: ec2.IVpc,
        image: Path,
        dockerfile: str = "Dockerfile",
        build_args: Mapping[str, str] | None = None,
        built_by: Literal["docker", "codebuild"] = "docker",
        command: Sequence[str],
        architecture: Literal["arm64", "x86_64"],
        cpu: int,
        memory_mib: int,
        port: int,
        health_path: str,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, ecs.Secret] | None = None,
        volumes: Mapping[str, str] | None = None,
        min_tasks: int,
        max_tasks: int,
        container_insights: Literal["off", "enabled", "enhanced"] = "off",
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self._lifetime, self._log_retention = lifetime, log_retention
        self._insights = container_insights
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
        self.task_role = self._build_task_role()
        self._scales = max_tasks > min_tasks
        self.cluster = self._build_cluster(vpc)
        self.task_definition = self._build_task_definition(name, architecture, cpu, memory_mib)
        self.container = self._build_container(
            command, port, health_path, environment or {}, secrets or {}, volumes or {}
        )
        self.service = self._build_service(vpc, min_tasks)
        self._scaling = self._build_scaling(min_tasks, max_tasks)

    def scale_on_requests(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Add tasks when each gets more than 300 requests a minute. Does nothing for a service that
        does not scale."""
        if self._scaling is not None:
            self._scaling.scale_on_request_count(
                "Requests", requests_per_target=self.REQUESTS_PER_TASK_AND_MINUTE, target_group=target_group
            )

    def scale_on(self, metric: cloudwatch.IMetric, *, target: float) -> None:
        """Add tasks while a metric is above its target; the metric must fall as tasks are added. Does nothing
        for a service that does not scale."""
        if self._scaling is not None:
            self._scaling.scale_to_track_custom_metric("Load", metric=metric, target_value=target)

    def _build_cluster(self, vpc: ec2.IVpc) -> ecs.Cluster:
        cluster = ecs.Cluster(self, "Cluster", vpc=vpc, container_insights_v2=INSIGHTS[self._insights])
        if self._insights == "off":
            acknowledge(
                cluster,
                "Billed by the metric, and off as asked: the application sends its own metrics, and ECS"
                " those of the service's CPU and memory.",
                "AwsSolutions-ECS4",
            )
        return cluster

    def _build_task_role(self) -> iam.Role:
        return iam.Role(
            self,
            "TaskRole",
            description="What the application may do",
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )

    def _build_task_definition(
        self, name: str, architecture: Literal["arm64", "x86_64"], cpu: int, memory_mib: int
    ) -> ecs.FargateTaskDefinition:
        task_definition = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=name,
            task_role=self.task_role,
            cpu=cpu,
            memory_limit_mib=memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=CPU_ARCHITECTURES[architecture],
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        acknowledge(
            task_definition,
            "The environment holds names and addresses of this deployment; what is secret comes from"
            " Secrets Manager.",
            "AwsSolutions-ECS2",
        )
        acknowledge(
            task_definition.obtain_execution_role(),
            "ecr:GetAuthorizationToken has no resources in IAM.",
            "AwsSolutions-IAM5[Resource::*]",
        )
        return task_definition

    def _build_container(
        self,
        command: Sequence[str],
        port: int,
        health_path: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, ecs.Secret],
        volumes: Mapping[str, str],
    ) -> ecs.ContainerDefinition:
        health_url = f"http://localhost:{port}{health_path}"
        container = self.task_definition.add_container(
            "assistant",
            image=self.image.for_ecs(),
            command=list(command),
            essential=True,
            readonly_root_filesystem=True,
            port_mappings=[ecs.PortMapping(container_port=port)],
            environment=dict(environment),
            secrets=dict(secrets),
            # Time to finish streamed answers and to deliver waiting records.
            stop_timeout=Duration.seconds(60),
            logging=self._log_driver("assistant"),
            health_check=ecs.HealthCheck(
                command=[
                    "CMD",
                    "python",
                    "-c",
                    f"import urllib.request as r; r.urlopen('{health_url}', timeout=4)",
                ],
                interval=Duration.seconds(15),
                timeout=Duration.seconds(5),
                retries=3,
                start_period=Duration.seconds(60),
            ),
        )
        for name, directory in volumes.items():
            self.task_definition.add_volume(name=name)
            container.add_mount_points(
                ecs.MountPoint(source_volume=name, container_path=directory, read_only=False)
            )
        return container

    def _log_driver(self, name: str) -> ecs.LogDriver:
        log_group = logs.LogGroup(
            self, "LogGroup", retention=self._log_retention, removal_policy=self._lifetime.removal_policy
        )
        # A slow log driver must not block the task.
        return ecs.LogDrivers.aws_logs(
            stream_prefix=name,
            log_group=log_group,
            mode=ecs.AwsLogDriverMode.NON_BLOCKING,
            max_buffer_size=Size.mebibytes(8),
        )

    def _build_service(self, vpc: ec2.IVpc, min_tasks: int) -> ecs.FargateService:
        private = inside(vpc)
        # HTTPS to AWS services goes out; nothing comes in until a load balancer is allowed.
        security_group = ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, allow_all_outbound=False)
        security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
        service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=self.task_definition,
            desired_count=min_tasks,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            enable_execute_command=False,
            assign_public_ip=not private,
            vpc_subnets=ec2.SubnetSelection(subnets=private or vpc.public_subnets),
            security_groups=[security_group],
            health_check_grace_period=Duration.seconds(60),
        )
        if self._insights != "off":
            service.node.add_dependency(self._build_insights_log())
        return service

    def _build_insights_log(self) -> logs.LogGroup:
        """Create the log group that Container Insights would otherwise create itself and keep for ever."""
        return logs.LogGroup(
            self,
            "InsightsLogGroup",
            log_group_name=f"/aws/ecs/containerinsights/{self.cluster.cluster_name}/performance",
            retention=self._log_retention,
            removal_policy=self._lifetime.removal_policy,
        )

    def _build_scaling(self, min_tasks: int, max_tasks: int) -> ecs.ScalableTaskCount | None:
        if not self._scales:
            return None
        scaling = self.service.auto_scale_task_count(min_capacity=min_tasks, max_capacity=max_tasks)
        scaling.scale_on_cpu_utilization("Cpu", target_utilization_percent=self.CPU_TARGET_PERCENT)
        return scaling
