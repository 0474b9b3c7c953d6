"""The Foundation stack: the key, the buckets and the network. It changes rarely."""

from constructs import Construct
from constructs.custom_resource_logs import CustomResourceLogs
from constructs.data_lake import DataLake
from constructs.network import ExistingNetwork, Network

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
    KNOWLEDGE = "knowledge"
    DRAFTS = "knowledge/drafts"
    GAP_CASES = "evaluation/gaps.jsonl"
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
                # People were shown these; their labels live on in MLflow and in the evaluation cases.
                f"{self.REVIEW}/": settings.capture.retention_days,
                f"{self.RAW_TEXT}/": settings.capture.raw_retention_days,
                f"{self.RAW_TEXT}-errors/": settings.capture.raw_retention_days,
                # It quotes interactions and lives no longer than they do; the numbers are kept for long
                # comparisons.
                f"{self.ANALYSIS_CONTENT}/": settings.capture.retention_days,
                f"{self.QUERY_RESULTS}/": self.QUERY_RESULT_DAYS,
            },
            log_retention_days=settings.log_retention_days,
        )
        self.network = self._build_network(settings)
        CustomResourceLogs(self, "CustomResourceLogs", retention=self.log_retention)

    def _build_network(self, settings: Settings) -> Network | ExistingNetwork | None:
        options = settings.network
        services = _called(settings) if options.egress == "endpoints" else []
        if options.mode == "none":
            return None
        if options.vpc is not None:
            public = options.egress == "public"
            return ExistingNetwork(
                self,
                "Network",
                vpc_id=options.vpc.id,
                cidr=options.vpc.cidr,
                zones=options.vpc.zones,
                public_subnets=options.vpc.public_subnets,
                private_subnets=() if public else options.vpc.private_subnets,
                private_route_tables=() if public else options.vpc.private_route_tables,
                services=services,
            )
        return Network(
            self,
            "Network",
            egress=options.egress,
            zones=options.zones,
            services=services,
            public_subnets=bool(settings.assistant.ingress_cidrs) and settings.assistant.compute == "ecs",
            log_bucket=self.lake.log_bucket,
        )


def _called(settings: Settings) -> list[str]:
    """Return the services that the assistant calls, or that start it, from inside the VPC.

    tests/stacks/test_network.py compares them with the role.
    """
    services = [
        "aps",
        "bedrock",
        "cognito-idp",
        "comprehend",
        "firehose",
        "sagemaker",
        "secretsmanager",
        "verifiedpermissions",
        "xray",
    ]
    if settings.knowledge.has_base:
        services.append("bedrock-agent-runtime")
    return [*services, *(["ecr", "logs"] if settings.assistant.compute == "ecs" else [])]
