"""The SageMaker MLflow tracking server."""

from typing import Literal

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.mlflow_tracking import MlflowTracking
from constructs.unique_name import unique_name

Size = Literal["Small", "Medium", "Large"]


class MlflowServer(MlflowTracking):
    """A tracking server that stores its artifacts under a prefix of a bucket. It is billed by the hour,
    used or not.

    Args:
        name: Beginning of the server's name, which lasts as long as its stack. Another name replaces the
            server, and its runs are lost.
        version: Version of MLflow, such as `3.10`; clients must use the same.
        size: Size of the server: `Small`, `Medium` or `Large`, for up to 25, 50 or 100 people.
        bucket: Bucket for the artifacts, encrypted with a customer managed key or not.
        artifact_prefix: Key prefix of the artifacts, without slashes at the ends.
        maintenance_window: Start of the weekly maintenance window in UTC, such as `Tue:03:30`.
        lifetime: Whether the server outlives the stack; `RETAINED` keeps it.
    """

    # The `sagemaker-mlflow` actions (service authorization reference) that experiments, prompts, evaluation
    # and review call.
    ACTIONS = (
        *("CreateExperiment", "GetExperiment", "GetExperimentByName", "SearchExperiments", "SetExperimentTag"),
        *("CreateRun", "GetRun", "SearchRuns", "UpdateRun", "SetTag", "LogBatch", "LogMetric", "LogParam", "LogInputs"),
        *("LogOutputs", "GetMetricHistory", "ListArtifacts"),
        *("CreateRegisteredModel", "GetRegisteredModel", "SearchRegisteredModels", "SetRegisteredModelTag"),
        *("SetRegisteredModelAlias", "DeleteRegisteredModelAlias"),
        *("CreateModelVersion", "GetModelVersion", "GetModelVersionByAlias"),
        *("SearchModelVersions", "SetModelVersionTag"),
        *("StartTrace", "EndTrace", "GetTraceInfo", "SearchTraces", "SetTraceTag", "DeleteTraces"),
    )  # fmt: skip

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        version: str,
        size: Size,
        bucket: s3.Bucket,
        artifact_prefix: str,
        maintenance_window: str,
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id, bucket=bucket, artifact_prefix=artifact_prefix)
        self._name = name
        self.server = sagemaker.CfnMlflowTrackingServer(
            self,
            "Server",
            tracking_server_name=unique_name(self, name),
            artifact_store_uri=bucket.s3_url_for_object(artifact_prefix),
            role_arn=self.role.role_arn,
            mlflow_version=version,
            tracking_server_size=size,
            automatic_model_registration=False,
            weekly_maintenance_window_start=maintenance_window,
        )
        self.server.apply_removal_policy(lifetime.removal_policy)
        # SageMaker tests the artifact store when it creates the server.
        self.server.node.add_dependency(self.role)

    @property
    def arn(self) -> str:
        """ARN of the server, which is also MLflow's tracking URI."""
        return Stack.of(self).format_arn(
            service="sagemaker", resource="mlflow-tracking-server", resource_name=self.server.ref
        )

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to call the server, action by action. Deleting experiments, runs and models is not
        among the actions."""
        actions = [f"sagemaker-mlflow:{action}" for action in self.ACTIONS]
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[self.arn]))

    def grant_open(self, role: iam.Role) -> None:
        """Allow a role to make addresses that open MLflow's pages in a browser, for one visit each."""
        action = "sagemaker:CreatePresignedMlflowTrackingServerUrl"
        role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[self.arn]))
