"""The container image of an application, built by Docker or by CodeBuild."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aws_cdk import CfnElement, DefaultStackSynthesizer, IgnoreMode, Stack, Token
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct
from constructs.acknowledge import acknowledge
from constructs.data_lifetime import DataLifetime

PLATFORMS = {"arm64": ecr_assets.Platform.LINUX_ARM64, "x86_64": ecr_assets.Platform.LINUX_AMD64}

# The library creates these once per stack and architecture, at the top of the stack.
PROJECT, HANDLER = "ContainerImageBuild", "DeployTimeBuildCustomResourceHandler"


class ApplicationImage(Construct):
    """An image built from a Dockerfile at deployment: by Docker on this machine, or by CodeBuild
    in the account.

    CodeBuild costs some cents per build and takes a few minutes for the first one, but then nobody needs
    Docker.

    Args:
        folder: Folder with the Dockerfile; the build gets everything in it that .dockerignore does not exclude.
        dockerfile: Path of the Dockerfile inside the folder.
        architecture: Processor architecture of the image.
        build_args: Build arguments (`ARG`), by name. None by default.
        built_by: Who builds the image: `docker`, the default, on the machine that runs `cdk deploy`; or
            `codebuild`, in a project of the stack.
        lifetime: Whether the log groups of the build outlive the stack.
        log_retention: How long the log groups of the build keep events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        folder: Path,
        dockerfile: str = "Dockerfile",
        architecture: Literal["arm64", "x86_64"],
        build_args: Mapping[str, str] | None = None,
        built_by: Literal["docker", "codebuild"] = "docker",
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        options: dict[str, Any] = {
            "directory": str(folder),
            "file": dockerfile,
            "platform": PLATFORMS[architecture],
            "build_args": dict(build_args) if build_args else None,
        }
        if built_by == "docker":
            asset = ecr_assets.DockerImageAsset(self, "Asset", **options)
            self.repository: ecr.IRepository = asset.repository
            self._tag, self._uri = asset.image_tag, asset.image_uri
        else:
            self.repository, self._tag = self._build_remotely(options, lifetime, log_retention)
            self._uri = self.repository.repository_uri_for_tag(self._tag)

    @property
    def uri(self) -> str:
        """URI of the image in its repository, with its tag."""
        return self._uri

    def for_ecs(self) -> ecs.ContainerImage:
        """Return the image for a container of an ECS task."""
        return ecs.ContainerImage.from_ecr_repository(self.repository, self._tag)

    def for_lambda(self, command: Sequence[str]) -> lambda_.DockerImageCode:
        """Return the image for a Lambda function that runs a command of it."""
        return lambda_.DockerImageCode.from_ecr(self.repository, tag_or_digest=self._tag, cmd=list(command))

    def _build_remotely(
        self, options: dict[str, Any], lifetime: DataLifetime, retention: logs.RetentionDays
    ) -> tuple[ecr.IRepository, str]:
        # Imported here, because loading it takes a tenth of a synth.
        from cdklabs.deploy_time_build import ContainerImageBuild

        # Read .dockerignore as Docker does; otherwise files below a folder that it re-includes would
        # be left out.
        build = ContainerImageBuild(self, "Build", ignore_mode=IgnoreMode.DOCKER, **options)
        stack = Stack.of(self)
        for child in stack.node.children:
            if child.node.id.startswith(PROJECT) and isinstance(child, codebuild.Project):
                self._keep_log(build, child, lifetime, retention)
                self._acknowledge_project(child)
            elif child.node.id.startswith(HANDLER) and isinstance(child, lambda_.Function):
                self._log_handler(child, lifetime, retention)
                self._acknowledge_handler(child)
        return build.repository, build.image_tag

    def _keep_log(
        self,
        build: Construct,
        project: codebuild.Project,
        lifetime: DataLifetime,
        retention: logs.RetentionDays,
    ) -> None:
        """Create the log group that CodeBuild would otherwise create itself and keep for ever. A stack's images
        share the project."""
        log_group = project.node.try_find_child("BuildLogGroup") or logs.LogGroup(
            project,
            "BuildLogGroup",
            log_group_name=f"/aws/codebuild/{project.project_name}",
            retention=retention,
            removal_policy=lifetime.removal_policy,
        )
        build.node.add_dependency(log_group)

    def _log_handler(
        self, handler: lambda_.Function, lifetime: DataLifetime, retention: logs.RetentionDays
    ) -> None:
        if handler.node.try_find_child("HandlerLogGroup") is not None:
            return
        log_group = logs.LogGroup(
            handler, "HandlerLogGroup", retention=retention, removal_policy=lifetime.removal_policy
        )
        function = handler.node.default_child
        assert isinstance(function, lambda_.CfnFunction)  # noqa: S101 - the function's L1
        function.logging_config = lambda_.CfnFunction.LoggingConfigProperty(
            log_group=log_group.log_group_name
        )
        handler.node.try_remove_child("LogGroup")

    def _acknowledge_project(self, project: codebuild.Project) -> None:
        """Accept cdk-nag's findings on the project. It names wildcards by what they stand for, so they are
        written here as it reads them from the template."""
        stack = Stack.of(self)
        named = {
            name: f"<AWS::{name}>" if Token.is_unresolved(value) else value
            for name, value in [
                ("Partition", stack.partition),
                ("AccountId", stack.account),
                ("Region", stack.region),
            ]
        }
        arn = "arn:{Partition}:{{}}:{Region}:{AccountId}".format(**named)
        project_resource = project.node.default_child
        assert isinstance(project_resource, CfnElement)  # noqa: S101 - the project's L1
        name = f"<{stack.get_logical_id(project_resource)}>"
        qualifier = (
            stack.node.try_get_context("@aws-cdk/core:bootstrapQualifier")
            or DefaultStackSynthesizer.DEFAULT_QUALIFIER
        )
        bucket = f"cdk-{qualifier}-assets-{named['AccountId']}-{named['Region']}"
        wildcards = [
            "Resource::*",
            *(f"Action::s3:{action}*" for action in ("GetBucket", "GetObject", "List")),
            f"Resource::arn:{named['Partition']}:s3:::{bucket}/*",
            f"Resource::{arn.format('logs')}:log-group:/aws/codebuild/{name}:*",
            f"Resource::{arn.format('codebuild')}:report-group/{name}-*",
        ]
        acknowledge(
            project,
            "The build's role is the library's: it logs, reports, reads sources from CDK's bucket, and"
            " pulls public base images.",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/"
            "AmazonElasticContainerRegistryPublicReadOnly]",
            *(f"AwsSolutions-IAM5[{wildcard}]" for wildcard in wildcards),
        )
        acknowledge(
            project, "A build leaves nothing behind but the image, which ECR encrypts.", "AwsSolutions-CB4"
        )

    def _acknowledge_handler(self, handler: IConstruct) -> None:
        acknowledge(
            handler,
            "The library's function, which only starts builds: its runtime is the library's to raise.",
            "AwsSolutions-L1",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        )
