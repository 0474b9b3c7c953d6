"""Tracking: experiments, prompts and evaluations in MLflow. Changes rarely."""

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.mlflow_app import MlflowApp

from settings import Settings
from stacks.base import FmopsStack
from stacks.foundation import Foundation


class Tracking(FmopsStack):
    """SageMaker MLflow App."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: MLflow App")
        self.mlflow = MlflowApp(
            self,
            "Mlflow",
            name=settings.environment_name,
            bucket=foundation.lake.bucket,
            artifact_prefix=Foundation.MLFLOW_ARTIFACTS,
            maintenance_window=settings.tracking.maintenance_window,
            lifetime=self.lifetime,
        )
        CfnOutput(self, "MlflowAppArn", value=self.mlflow.arn)
