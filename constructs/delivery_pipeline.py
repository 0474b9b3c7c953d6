"""A pipeline that deploys the app that it is part of, and itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aws_cdk import CfnResource, Stack, Stage, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge, in_findings

PYTHON = "3.12"
ARTIFACT_ACTIONS = ("Abort", "DeleteObject", "GetBucket", "GetObject", "List")
KEY_ACTIONS = ("GenerateDataKey", "ReEncrypt")
PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


class PlatformError(ValueError):
    """A stage has an image that the pipeline's machines cannot build; the message is one sentence that says which."""


class DeliveryPipeline(Construct):
    """A CDK pipeline (CodePipeline and CodeBuild): source, synth, itself, assets, then stage after stage.

    What a push changes of the pipeline itself, it changes before it goes on. All machines are of one architecture,
    and emulate no other: a stage
    with an image asset of another is refused (`ApplicationImage` with `built_by` `codebuild` is no asset, and is
    built in its stack).

    Args:
        repository: `OWNER/NAME`.
        branch: whose pushes start it.
        connection_arn: of the CodeConnections connection to the repository, which somebody has authorized in the
            console.
        synth_commands: write the cloud assembly into `cdk.out`.
        cli_version: of the CDK CLI with which it changes itself; npm's `latest` is an old one.
        architecture: of the machines, and of every image asset of the stages.
        bucket: for what the steps hand on; with a key of its own, if a stage is in another account.
        log_group: for what they say.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        repository: str,
        branch: str,
        connection_arn: str,
        synth_commands: Sequence[str],
        cli_version: str,
        architecture: Literal["arm64", "x86_64"],
        bucket: s3.Bucket,
        log_group: logs.LogGroup,
    ) -> None:
        super().__init__(scope, id)
        self._checks: list[pipelines.CodeBuildStep] = []
        self._permissions: list[iam.PolicyStatement] = []
        self._source = pipelines.CodePipelineSource.connection(
            repository, branch, connection_arn=connection_arn
        )
        self._log_group, self._bucket = log_group, bucket
        self._image, self._architecture, self._connection_arn = (
            _image(architecture),
            architecture,
            connection_arn,
        )
        self._pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            synth=pipelines.ShellStep("Synth", input=self._source, commands=list(synth_commands)),
            artifact_bucket=bucket,
            cli_version=cli_version,
            code_build_defaults=self._machine(),
            # To build images takes a Docker daemon, which takes a privileged container.
            asset_publishing_code_build_defaults=self._machine(privileged=True),
            pipeline_type=codepipeline.PipelineType.V2,
            publish_assets_in_parallel=False,
        )

    def deploy(
        self,
        stage: Stage,
        *,
        approved_by_hand: bool = False,
        then: Sequence[str] = (),
        permissions: Sequence[iam.PolicyStatement] = (),
    ) -> None:
        """Add a stage: after somebody's approval, if told; ``then`` are commands that must succeed after it, with
        these permissions."""
        before = [pipelines.ManualApprovalStep(f"Approve{stage.stage_name}")] if approved_by_hand else []
        after = [
            pipelines.CodeBuildStep(
                f"Check{stage.stage_name}",
                input=self._source,
                commands=list(then),
                role_policy_statements=list(permissions),
            )
        ]
        if then:
            self._checks += after
            self._permissions += permissions
        self._pipeline.add_stage(stage, pre=before, post=after if then else [])
        self._check_platforms(stage)

    def _check_platforms(self, stage: Stage) -> None:
        machine = PLATFORMS[self._architecture]
        for file in sorted(Path(stage.synth().directory).glob("*.assets.json")):
            for image in json.loads(file.read_text())["dockerImages"].values():
                platform = image["source"].get("platform", machine)
                if platform != machine:
                    raise PlatformError(
                        f"The stage {stage.stage_name} has the image {image['displayName']} for {platform}, but "
                        "the pipeline's machines"
                        f" build for {machine} only: build it in its stack, by CodeBuild (images: codebuild)."
                    )

    def build(self) -> None:
        """Make the pipeline's resources: after the last stage, which changes them."""
        self._pipeline.build_pipeline()
        self._allow_connection()
        # It takes the ARNs that CDK composes for CloudFormation's actions for a fault.
        _resource(self._pipeline.pipeline).add_metadata("cfn-lint", {"config": {"ignore_checks": ["E3703"]}})
        self._acknowledge()
        for step in self._checks:
            acknowledge(
                step.project,
                "The environment is found by the names that its stacks begin with and by its tag: a pipeline "
                "stage's resources have no"
                " reference that the pipeline's stack could use.",
                *(
                    f"AwsSolutions-IAM5[Resource::{in_findings(self, resource)}]"
                    for statement in self._permissions
                    for resource in statement.resources
                    if "*" in resource
                ),
            )

    def _allow_connection(self) -> None:
        """Allow the use of the connection under the service's new name too: CDK grants it under the old one."""
        for role in self.node.find_all():
            if isinstance(role, iam.Role) and "/Source/" in role.node.path:
                role.add_to_principal_policy(
                    iam.PolicyStatement(
                        actions=["codeconnections:UseConnection"], resources=[self._connection_arn]
                    )
                )

    def _machine(self, *, privileged: bool = False) -> pipelines.CodeBuildOptions:
        return pipelines.CodeBuildOptions(
            build_environment=codebuild.BuildEnvironment(build_image=self._image, privileged=privileged),
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=self._log_group)
            ),
            partial_build_spec=codebuild.BuildSpec.from_object(
                {"phases": {"install": {"runtime-versions": {"python": PYTHON}}}}
            ),
        )

    def _acknowledge(self) -> None:
        """Acknowledge the findings about CDK Pipelines' own grants, each on the policy of its role."""
        for construct in self.node.find_all():
            if isinstance(construct, codebuild.Project):
                self._acknowledge_project(construct)
            elif isinstance(construct, iam.Policy):
                self._acknowledge_policy(construct)
        mutation = self._pipeline.node.find_child("UpdatePipeline").node.find_child("SelfMutation")
        acknowledge(
            mutation,
            "CDK's: it deploys the pipeline, in whichever account, by roles that a condition holds to those "
            "tagged as the bootstrap's; and"
            " asks CloudFormation for stacks and S3 for buckets, which know no resources.",
            f"AwsSolutions-IAM5[Resource::arn:*:iam::{in_findings(self, Stack.of(self).account)}:role/*]",
            "AwsSolutions-IAM5[Resource::*]",
        )

    def _place(self, service: str) -> str:
        """The beginning of a service's ARNs here, as findings write it."""
        stack = Stack.of(self)
        return in_findings(self, f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}")

    def _acknowledge_project(self, project: codebuild.Project) -> None:
        acknowledge(
            project,
            "What it hands on is the repository's, and is encrypted by S3; it has no secret that a key of its "
            "own would keep.",
            "AwsSolutions-CB4",
        )
        named = f"<{Stack.of(self).get_logical_id(_resource(project))}>"
        acknowledge(
            project,
            "CDK's grant of a project's own log streams and test reports, whose names begin with the project's.",
            f"AwsSolutions-IAM5[Resource::{self._place('logs')}:log-group:/aws/codebuild/{named}:*]",
            f"AwsSolutions-IAM5[Resource::{self._place('codebuild')}:report-group/{named}-*]",
        )

    def _acknowledge_policy(self, policy: iam.Policy) -> None:
        acknowledge(
            policy,
            "CDK's grant of the artifacts: their keys are new for each run, and the bucket holds nothing else.",
            *(f"AwsSolutions-IAM5[Action::s3:{action}*]" for action in ARTIFACT_ACTIONS),
            *(f"AwsSolutions-IAM5[Action::kms:{action}*]" for action in KEY_ACTIONS),
            f"AwsSolutions-IAM5[Resource::<{Stack.of(self).get_logical_id(_resource(self._bucket))}.Arn>/*]",
        )
        if "/Assets/" in policy.node.path:
            acknowledge(
                policy,
                "CDK's: one role for all projects that publish assets, which are made and removed as assets come "
                "and go.",
                f"AwsSolutions-IAM5[Resource::{self._place('logs')}:log-group:/aws/codebuild/*]",
                f"AwsSolutions-IAM5[Resource::{self._place('codebuild')}:report-group/*]",
                "AwsSolutions-IAM5[Resource::*]",
            )


def _resource(construct: Construct) -> CfnResource:
    child = construct.node.default_child
    assert isinstance(child, CfnResource)  # noqa: S101 - the construct's L1
    return child


def _image(architecture: str) -> codebuild.IBuildImage:
    if architecture == "arm64":
        return codebuild.LinuxArmBuildImage.AMAZON_LINUX_2023_STANDARD_3_0
    return codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5
