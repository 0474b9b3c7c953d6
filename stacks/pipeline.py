"""The Pipeline stack: from a push to the environments. It changes with the environments and their order."""

import json
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Stage
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.custom_resource_logs import CustomResourceLogs
from constructs.delivery_pipeline import DeliveryPipeline

from settings import Pipeline as Options
from settings import Settings
from stacks.base import FmopsStack
from stacks.smoke import smoke_test_statements

CLI = json.loads((Path(__file__).parents[1] / "package.json").read_text())["devDependencies"]["aws-cdk"]


class Pipeline(FmopsStack):
    """A CDK pipeline in the environment's account: synth, itself, the environment, a smoke test, an approval,
    the next environment.

    `stages` holds what it deploys, in order, each created with this stack as its scope.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        options: Options,
        cross_account: bool = False,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: pipeline from a push to production")
        self._environment, self._smoke = settings.environment_name, options.smoke
        self._profile = settings.profile
        self._pipeline = DeliveryPipeline(
            self,
            "Delivery",
            repository=options.repository,
            branch=options.branch,
            connection_arn=options.connection_arn,
            synth_commands=[f"make synth PROFILE={settings.profile}"],
            cli_version=CLI,
            # SageMaker Processing's architecture, whose images are always among those that Docker builds
            # here.
            architecture="x86_64",
            bucket=self._build_bucket(cross_account),
            log_group=logs.LogGroup(
                self, "Log", retention=self.log_retention, removal_policy=self.lifetime.removal_policy
            ),
        )

    def deploy(self, stages: Sequence[Stage]) -> None:
        """Deploy the first stage, its smoke test, and each further stage after an approval."""
        for number, stage in enumerate(stages):
            smoked = self._smoke and not number
            self._pipeline.deploy(
                stage,
                approved_by_hand=number > 0,
                then=[f"make smoke PROFILE={self._profile}"] if smoked else [],
                permissions=smoke_test_statements(self, self._environment) if smoked else [],
            )
        self._pipeline.build()
        CustomResourceLogs(self, "CustomResourceLogs", retention=self.log_retention)

    def _build_bucket(self, cross_account: bool) -> s3.Bucket:
        # Roles of another account cannot use S3's own key.
        key = (
            kms.Key(self, "Key", enable_key_rotation=True, removal_policy=self.lifetime.removal_policy)
            if cross_account
            else None
        )
        bucket = s3.Bucket(
            self,
            "Artifacts",
            encryption_key=key,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            removal_policy=self.lifetime.removal_policy,
            auto_delete_objects=not self.lifetime.protected,
        )
        acknowledge(
            bucket,
            "Versions of the repository on their way between the pipeline's steps, whose roles alone reach them.",
            "AwsSolutions-S1",
        )
        return bucket
