"""The Capture stack: interaction records into the data lake, and SQL over them. It changes rarely."""

from pathlib import Path

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.interaction_stream import InteractionStream
from constructs.interaction_table import InteractionTable
from constructs.interaction_view import InteractionView

from settings import Settings
from stacks.base import FmopsStack
from stacks.foundation import Foundation

ROOT = Path(__file__).parents[1]


class Capture(FmopsStack):
    """Firehose stream, Glue table and Athena workgroup."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: interaction records")
        self.stream = InteractionStream(
            self,
            "Interactions",
            bucket=foundation.lake.bucket,
            prefix=Foundation.INTERACTIONS,
            buffer_seconds=settings.capture.buffer_seconds,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        self.raw_stream = self._build_raw_stream(settings, foundation)
        self.table = InteractionTable(
            self,
            "Lake",
            name=settings.environment_name,
            schema=ROOT / "fmops" / "interaction.schema.json",
            bucket=foundation.lake.bucket,
            prefix=Foundation.INTERACTIONS,
            results_prefix=Foundation.QUERY_RESULTS,
        )
        InteractionView(self, "Dataset", table=self.table, query=ROOT / "fmops" / "capture" / "dataset.sql")
        CfnOutput(self, "LakeBucketName", value=foundation.lake.bucket.bucket_name)
        CfnOutput(self, "DeliveryStreamName", value=self.stream.name)
        CfnOutput(self, "GlueDatabaseName", value=self.table.database_name)
        CfnOutput(self, "GlueTableName", value=self.table.table_name)

    def _build_raw_stream(self, settings: Settings, foundation: Foundation) -> InteractionStream | None:
        if not settings.capture.raw_text:
            return None
        return InteractionStream(
            self,
            "RawText",
            bucket=foundation.lake.bucket,
            prefix=Foundation.RAW_TEXT,
            buffer_seconds=settings.capture.buffer_seconds,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
