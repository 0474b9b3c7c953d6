"""Foundation: the key, the buckets and the network. Changes rarely."""

from constructs import Construct
from constructs.custom_resource_logs import CustomResourceLogs
from constructs.data_lake import DataLake
from constructs.network import Network

from settings import Settings
from stacks.base import FmopsStack


class Foundation(FmopsStack):
    """KMS key, data lake and log buckets, and the VPC unless nothing runs in one."""

    # Key prefixes of the data lake.
    INTERACTIONS = "interactions"
    RAW_TEXT = "interactions-raw"
    MLFLOW_ARTIFACTS = "mlflow"
    REVIEW = "review"
    PRIVACY = "privacy"
    EVALUATION = "evaluation"
    ANALYSIS = "analysis"
    ANALYSIS_CONTENT = "analysis/content"
    QUERY_RESULTS = "athena-results"
    QUERY_RESULT_DAYS = 7

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id, settings, description="FMOps: encryption key, data lake, network")
        self.lake = DataLake(
            self,
            "DataLake",
            lifetime=self.lifetime,
            retention_days={
                f"{self.INTERACTIONS}/": settings.capture.retention_days,
                f"{self.INTERACTIONS}-errors/": settings.capture.retention_days,
                # What people were shown; what they said of it lives on in MLflow and in the evaluation cases.
                f"{self.REVIEW}/": settings.capture.retention_days,
                f"{self.RAW_TEXT}/": settings.capture.raw_retention_days,
                f"{self.RAW_TEXT}-errors/": settings.capture.raw_retention_days,
                # What it quotes lives no longer than the interactions; the numbers are for long comparisons.
                f"{self.ANALYSIS_CONTENT}/": settings.capture.retention_days,
                f"{self.QUERY_RESULTS}/": self.QUERY_RESULT_DAYS,
            },
            log_retention_days=settings.log_retention_days,
        )
        self.network = self._build_network(settings)
        CustomResourceLogs(self, "CustomResourceLogs", retention=self.log_retention)

    def _build_network(self, settings: Settings) -> Network | None:
        if settings.network.mode == "none":
            return None
        return Network(
            self,
            "Network",
            egress=settings.network.egress,
            zones=settings.network.zones,
            log_bucket=self.lake.log_bucket,
        )
