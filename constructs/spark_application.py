"""An application of EMR Serverless, whose Spark exists only while a job runs and costs nothing otherwise."""

from pathlib import Path
from typing import Literal

from aws_cdk import Stack
from aws_cdk import aws_emrserverless as emrserverless
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.acknowledge import acknowledge, in_findings
from constructs.application_image import ApplicationImage
from constructs.data_lifetime import DataLifetime

SERVICE = "emr-serverless.amazonaws.com"


class SparkApplication(Construct):
    """Spark with an image of our own, started by a job and stopped five minutes after the last one.

    It has no network of its own: without one EMR Serverless reaches S3, KMS and CloudWatch Logs of its region,
    and nothing else. EMR Serverless may pull images from the repository of a current `cdk bootstrap`, and from
    the image's own repository if CodeBuild builds it. Grant the jobs' permissions to `role`.

    Args:
        image: Folder with the Dockerfile, whose base must be `public.ecr.aws/emr-serverless/spark/<release>`.
        dockerfile: Path of the Dockerfile inside the folder.
        built_by: Who builds the image: `docker` on the deploying machine (the default), or
            `codebuild` (see `ApplicationImage`).
        release: Release of EMR, the same as in the image.
        max_vcpus: Maximum number of vCPUs of all workers together; each comes with 4 GB of memory.
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
        built_by: Literal["docker", "codebuild"] = "docker",
        release: str,
        max_vcpus: int,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self.log_group = logs.LogGroup(
            self, "LogGroup", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        self.role = self._build_role()
        self.image = ApplicationImage(
            self,
            "Image",
            folder=image,
            dockerfile=dockerfile,
            architecture="x86_64",
            built_by=built_by,
            lifetime=lifetime,
            log_retention=log_retention,
        )
        if built_by == "codebuild":
            self._allow_pull()
        self.application = self._build_application(release, max_vcpus)

    @property
    def id(self) -> str:
        """Id of the application."""
        return self.application.attr_application_id

    def grant_run(self, role: iam.Role) -> None:
        """Allow a role to run jobs here, under the application's role."""
        runs = f"{self.application.attr_arn}/jobruns/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["emr-serverless:StartJobRun"], resources=[self.application.attr_arn])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"], resources=[runs]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": SERVICE}},
            )
        )
        name = Stack.of(self).get_logical_id(self.application)
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "EMR Serverless names each job run when it starts.",
            f"AwsSolutions-IAM5[Resource::<{name}.Arn>/jobruns/*]",
        )

    def _build_role(self) -> iam.Role:
        stack = Stack.of(self)
        role = iam.Role(
            self,
            "Role",
            description="What the Spark jobs may do",
            assumed_by=iam.ServicePrincipal(
                SERVICE, conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
        )
        self.log_group.grant(role, "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
        # EMR Serverless looks up the log group before it writes.
        groups = f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:*"
        role.add_to_policy(iam.PolicyStatement(actions=["logs:DescribeLogGroups"], resources=[groups]))
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "logs:DescribeLogGroups lists the names of log groups, and takes no single one.",
            f"AwsSolutions-IAM5[Resource::{in_findings(self, groups)}]",
        )
        return role

    def _allow_pull(self) -> None:
        """Allow EMR Serverless to pull from the image's own repository; the bootstrap's repository
        allows it already."""
        stack = Stack.of(self)
        applications = f"arn:{stack.partition}:emr-serverless:{stack.region}:{stack.account}:/applications/*"
        self.image.repository.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(SERVICE)],
                actions=["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"],
                # Matches any application, because this one does not exist before its image.
                conditions={"StringLike": {"aws:SourceArn": applications}},
            )
        )

    def _build_application(self, release: str, max_vcpus: int) -> emrserverless.CfnApplication:
        of = emrserverless.CfnApplication
        return of(
            self,
            "Application",
            type="SPARK",
            release_label=release,
            architecture="X86_64",
            image_configuration=of.ImageConfigurationInputProperty(image_uri=self.image.uri),
            auto_start_configuration=of.AutoStartConfigurationProperty(enabled=True),
            auto_stop_configuration=of.AutoStopConfigurationProperty(enabled=True, idle_timeout_minutes=5),
            maximum_capacity=of.MaximumAllowedResourcesProperty(
                cpu=f"{max_vcpus} vCPU", memory=f"{4 * max_vcpus} GB"
            ),
            monitoring_configuration=of.MonitoringConfigurationProperty(
                cloud_watch_logging_configuration=of.CloudWatchLoggingConfigurationProperty(
                    enabled=True, log_group_name=self.log_group.log_group_name
                )
            ),
        )
