"""The Tracking stack: experiments, prompts and evaluations in MLflow. It changes rarely."""

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.mlflow_app import MlflowApp
from constructs.mlflow_server import MlflowServer
from constructs.mlflow_tracking import MlflowTracking

from settings import Settings
from stacks.base import FmopsStack
from stacks.foundation import Foundation


class Tracking(FmopsStack):
    """SageMaker MLflow App, or a tracking server."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: MLflow")
        build = self._build_app if settings.tracking.kind == "app" else self._build_server
        self.mlflow = build(settings, foundation)
        CfnOutput(self, "MlflowArn", value=self.mlflow.arn)

    def _build_app(self, settings: Settings, foundation: Foundation) -> MlflowTracking:
        return MlflowApp(
            self,
            "Mlflow",
            name=settings.environment_name,
            bucket=foundation.lake.bucket,
            artifact_prefix=Foundation.MLFLOW_ARTIFACTS,
            maintenance_window=settings.tracking.maintenance_window,
            lifetime=self.lifetime,
        )

    def _build_server(self, settings: Settings, foundation: Foundation) -> MlflowTracking:
        return MlflowServer(
            self,
            "MlflowServer",
            name=settings.environment_name,
            version=settings.tracking.server_version,
            size=settings.tracking.server_size,
            bucket=foundation.lake.bucket,
            artifact_prefix=Foundation.MLFLOW_ARTIFACTS,
            maintenance_window=settings.tracking.maintenance_window,
            lifetime=self.lifetime,
        )
