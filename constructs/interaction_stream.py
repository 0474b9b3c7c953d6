"""The Firehose stream that carries interaction records into the data lake."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge_keys
from constructs.data_lifetime import DataLifetime


class InteractionStream(Construct):
    """A delivery stream that writes gzipped JSON lines under `<prefix>/dt=<day>/hour=<hour>/` (UTC).

    The hour of a file is that in which its oldest record arrived; others may be younger by `buffer_seconds`. The
    producer must end each record with a newline.

    Args:
        bucket: Bucket of the data lake.
        prefix: Key prefix of the records, without a slash at its end. Failed records go to `<prefix>-errors/`.
        buffer_seconds: Seconds that records wait for others, 0 to 900. A file is written after this time, or
            once 16 MiB have arrived. Readers look back by the longest possible time.
        lifetime: Whether the log group outlives the stack.
        log_retention: How long the log group of delivery errors keeps events.
    """

    BUFFER_MIB = 16
    LONGEST_BUFFER_SECONDS = 900

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
        if not 0 <= buffer_seconds <= self.LONGEST_BUFFER_SECONDS:
            raise ValueError(
                f"buffer_seconds is {buffer_seconds}: Firehose takes 0 to {self.LONGEST_BUFFER_SECONDS}."
            )
        log_stream = self._build_log_stream(lifetime, log_retention)
        role = self._build_role(bucket, prefix)
        self.stream = self._build_stream(bucket, prefix, buffer_seconds, role, log_stream)

    @property
    def name(self) -> str:
        """Name of the delivery stream."""
        return self.stream.ref

    def grant_put(self, role: iam.Role) -> None:
        """Allow a role to put batches of records."""
        role.add_to_policy(
            iam.PolicyStatement(actions=["firehose:PutRecordBatch"], resources=[self.stream.attr_arn])
        )

    def _build_log_stream(self, lifetime: DataLifetime, retention: logs.RetentionDays) -> logs.LogStream:
        self._log_group = logs.LogGroup(
            self, "LogGroup", retention=retention, removal_policy=lifetime.removal_policy
        )
        return logs.LogStream(
            self, "LogStream", log_group=self._log_group, removal_policy=lifetime.removal_policy
        )

    def _build_role(self, bucket: s3.Bucket, prefix: str) -> iam.Role:
        """Create the role that Firehose's guide lists for S3; the L2 construct's would also delete, and read
        the whole lake."""
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("firehose.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                resources=[
                    bucket.arn_for_objects(f"{prefix}/*"),
                    bucket.arn_for_objects(f"{prefix}-errors/*"),
                ],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                resources=[bucket.bucket_arn],
            )
        )
        if bucket.encryption_key is not None:
            bucket.encryption_key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        self._log_group.grant(role, "logs:PutLogEvents")
        reason = (
            "Objects get new names all the time: the role is limited to the keys under the stream's prefixes."
        )
        acknowledge_keys(role, reason, bucket, f"{prefix}/*", f"{prefix}-errors/*")
        return role

    def _build_stream(
        self, bucket: s3.Bucket, prefix: str, buffer_seconds: int, role: iam.Role, log_stream: logs.LogStream
    ) -> firehose.CfnDeliveryStream:
        properties = firehose.CfnDeliveryStream
        encryption = (
            properties.EncryptionConfigurationProperty(
                kms_encryption_config=properties.KMSEncryptionConfigProperty(
                    awskms_key_arn=bucket.encryption_key.key_arn
                )
            )
            if bucket.encryption_key is not None
            else None
        )
        at_rest = properties.DeliveryStreamEncryptionConfigurationInputProperty(key_type="AWS_OWNED_CMK")
        stream = properties(
            self,
            "Stream",
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=at_rest,
            extended_s3_destination_configuration=properties.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=bucket.bucket_arn,
                role_arn=role.role_arn,
                prefix=f"{prefix}/dt=!{{timestamp:yyyy-MM-dd}}/hour=!{{timestamp:HH}}/",
                error_output_prefix=f"{prefix}-errors/!{{firehose:error-output-type}}/dt=!{{timestamp:yyyy-MM-dd}}/",
                compression_format="GZIP",
                buffering_hints=properties.BufferingHintsProperty(
                    interval_in_seconds=buffer_seconds, size_in_m_bs=self.BUFFER_MIB
                ),
                encryption_configuration=encryption,
                cloud_watch_logging_options=properties.CloudWatchLoggingOptionsProperty(
                    enabled=True,
                    log_group_name=self._log_group.log_group_name,
                    log_stream_name=log_stream.log_stream_name,
                ),
            ),
        )
        stream.node.add_dependency(role)
        return stream
