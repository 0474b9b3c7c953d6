"""The Firehose stream that brings interaction records into the data lake."""

from aws_cdk import Duration, Size
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.data_lifetime import DataLifetime


class InteractionStream(Construct):
    """A delivery stream that writes gzipped JSON lines under `<prefix>/dt=<day>/hour=<hour>/` (UTC).

    The producer ends each record with a newline.

    Args:
        bucket: the data lake.
        prefix: key prefix of the records, without a slash at its end; failed ones go to `<prefix>-errors/`.
        buffer_seconds: 0 to 900; a file is written when they have passed or 16 MiB have come.
        lifetime: of the log group.
        log_retention: of the log group with delivery errors.
    """

    BUFFER_SIZE = Size.mebibytes(16)

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        bucket: s3.Bucket,
        prefix: str,
        buffer_seconds: int,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "LogGroup", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        self.stream = self._build_stream(bucket, prefix, buffer_seconds, log_group)

    def _build_stream(
        self, bucket: s3.Bucket, prefix: str, buffer_seconds: int, log_group: logs.LogGroup
    ) -> firehose.DeliveryStream:
        return firehose.DeliveryStream(
            self,
            "Stream",
            encryption=firehose.StreamEncryption.aws_owned_key(),
            destination=firehose.S3Bucket(
                bucket,
                data_output_prefix=f"{prefix}/dt=!{{timestamp:yyyy-MM-dd}}/hour=!{{timestamp:HH}}/",
                error_output_prefix=f"{prefix}-errors/!{{firehose:error-output-type}}/dt=!{{timestamp:yyyy-MM-dd}}/",
                compression=firehose.Compression.GZIP,
                buffering_interval=Duration.seconds(buffer_seconds),
                buffering_size=self.BUFFER_SIZE,
                encryption_key=bucket.encryption_key,
                logging_config=firehose.EnableLogging(log_group),
            ),
        )
