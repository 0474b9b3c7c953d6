"""The Knowledge stack: the documents that the assistant answers from. It changes rarely."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge_keys
from constructs.custom_resource_logs import CustomResourceLogs
from constructs.data_lake import DataLake
from constructs.document_ingestion import DocumentIngestion
from constructs.encrypted_bucket import build_bucket
from constructs.knowledge_base import KnowledgeBase

from fmops import documents
from settings import Settings, SettingsError
from settings.knowledge import DIMENSION
from stacks.base import FmopsStack
from stacks.foundation import Foundation
from stacks.observability import Observability

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "fmops" / "agent" / "knowledge"
"""Folder of the agent's own documents, which the demo publishes, or which are packaged in the image."""
DOCUMENTS = documents.PREFIX.rstrip("/")
"""Key prefix of the published documents."""


def check_documents(folder: Path = AGENT) -> None:
    """Raise SettingsError, which names each file with its remedy, for documents that could not be published."""
    try:
        documents.read(folder)
    except documents.DocumentsError as error:
        raise SettingsError(f"Documents in {folder.name}/ cannot be published.\n{error}") from None


class Knowledge(FmopsStack):
    """The bucket of documents, the knowledge base that indexes them, and their ingestion."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
        observability: Observability,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: documents and their knowledge base")
        options = settings.knowledge
        self._minimum_similarity = options.minimum_similarity
        self.bucket = self._build_bucket(foundation.lake)
        self.base = KnowledgeBase(
            self,
            "KnowledgeBase",
            name=f"{settings.environment_name}-documents",
            bucket=self.bucket,
            prefix=DOCUMENTS,
            key=foundation.lake.key,
            embedding_model_id=settings.assistant.embedding_model_id,
            dimension=DIMENSION,
            chunk_tokens=options.chunk_tokens,
            overlap_percent=options.chunk_overlap_percent,
            lifetime=self.lifetime,
        )
        self.ingestion = DocumentIngestion(
            self,
            "Ingestion",
            knowledge_base=self.base,
            manifest_bucket=foundation.lake.bucket,
            manifest_prefix=Foundation.KNOWLEDGE,
            metric_namespace=f"{settings.environment_name}/knowledge",
            batch_window=Duration.seconds(options.batch_window_seconds),
            nightly=options.nightly,
            alarm_topic=observability.prometheus.alert_topic,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        self._build_outputs()
        CustomResourceLogs(self, "CustomResourceLogs", retention=self.log_retention)

    @property
    def search_environment(self) -> dict[str, str]:
        """Return the variables of what searches the documents."""
        return {
            "FMOPS_KNOWLEDGE_BASE_ID": self.base.id,
            "FMOPS_MINIMUM_SIMILARITY": str(self._minimum_similarity),
        }

    def grant_publish_drafts(self, role: iam.Role) -> None:
        """Allow a role to write the documents of published drafts, and no other document."""
        drafted = f"{documents.PREFIX}drafted/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[self.bucket.arn_for_objects(drafted)])
        )
        acknowledge_keys(role, "Each published draft has a key of its own.", self.bucket, drafted)

    def _build_bucket(self, lake: DataLake) -> s3.Bucket:
        bucket = build_bucket(self, "Documents", lake.key, self.lifetime)
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - the bucket's L1
        # CDK's own option would add a custom resource.
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )
        # CDK's own option would name this bucket in the policy of the log bucket, whose stack is deployed before.
        lake.accept_access_logs(f"{DOCUMENTS}/")
        resource.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=lake.log_bucket.bucket_name, log_file_prefix=f"{DOCUMENTS}/"
        )
        return bucket

    def _build_outputs(self) -> None:
        CfnOutput(self, "DocumentsBucketName", value=self.bucket.bucket_name)
        CfnOutput(self, "KnowledgeBaseId", value=self.base.id)
        CfnOutput(self, "DataSourceId", value=self.base.data_source_id)
        CfnOutput(self, "IngestionFunctionName", value=self.ingestion.function.function_name)
        CfnOutput(self, "VectorIndexArn", value=self.base.index_arn)
