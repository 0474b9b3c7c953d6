"""The SageMaker MLflow App."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.mlflow_tracking import MlflowTracking
from constructs.unique_name import unique_name


class MlflowApp(MlflowTracking):
    """A serverless MLflow App that stores its artifacts under a prefix of a bucket. It costs nothing while
    nobody uses it.

    Args:
        name: Beginning of the App's name, which lasts as long as its stack. Another name replaces the App, and
            its runs are lost.
        bucket: Bucket for the artifacts, encrypted with a customer managed key or not.
        artifact_prefix: Key prefix of the artifacts, without slashes at the ends.
        maintenance_window: Start of the weekly maintenance window in UTC, such as `Tue:03:30`.
        lifetime: Whether the App outlives the stack; `RETAINED` keeps it.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        bucket: s3.Bucket,
        artifact_prefix: str,
        maintenance_window: str,
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id, bucket=bucket, artifact_prefix=artifact_prefix)
        self.app = self._build_app(
            name, bucket.s3_url_for_object(artifact_prefix), maintenance_window, lifetime
        )

    @property
    def arn(self) -> str:
        """ARN of the App, which is also MLflow's tracking URI."""
        return self.app.attr_arn

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to call the App. Its API is a single action in IAM, so read-only access cannot be
        granted.
        """
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:CallMlflowAppApi"], resources=[self.arn]))

    def grant_open(self, role: iam.Role) -> None:
        """Allow a role to make addresses that open MLflow's pages in a browser, for one visit each."""
        role.add_to_policy(
            iam.PolicyStatement(actions=["sagemaker:CreatePresignedMlflowAppUrl"], resources=[self.arn])
        )

    def _build_app(
        self, name: str, artifact_uri: str, maintenance_window: str, lifetime: DataLifetime
    ) -> sagemaker.CfnMlflowApp:
        app = sagemaker.CfnMlflowApp(
            self,
            "App",
            name=unique_name(self, name),
            artifact_store_uri=artifact_uri,
            role_arn=self.role.role_arn,
            model_registration_mode="AutoModelRegistrationDisabled",
            weekly_maintenance_window_start=maintenance_window,
        )
        app.apply_removal_policy(lifetime.removal_policy)
        # SageMaker tests the artifact store when it creates the App.
        app.node.add_dependency(self.role)
        return app
