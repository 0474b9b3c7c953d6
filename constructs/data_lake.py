"""The encryption key, the data lake's bucket and the bucket for access logs."""

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_bucket import build_bucket


class DataLake(Construct):
    """A KMS key, a bucket encrypted with it, and a bucket for access logs.

    Args:
        lifetime: Whether the data outlives the stack. `TEMPORARY` empties and deletes the buckets with the
            stack, and schedules the key's deletion.
        retention_days: Age in days at which objects expire, by key prefix with its slash. Objects under other
            prefixes are kept; by default all are.
        log_retention_days: Age in days at which access logs expire.
    """

    ALB_LOGS_PREFIX = "load-balancer"

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        lifetime: DataLifetime,
        retention_days: Mapping[str, int] | None = None,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, id)
        # New apps of `cdk init` set this flag; without it S3 would be asked for an ACL, which the buckets
        # refuse.
        self.node.set_context("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy", True)
        self._lifetime = lifetime
        self.key = self._build_key()
        self.log_bucket = self._build_log_bucket(log_retention_days)
        self.bucket = self._build_bucket(retention_days or {})

    def accept_access_logs(self, prefix: str) -> None:
        """Allow S3 to write the access logs of the account's other buckets below a key prefix of the log bucket."""
        self.log_bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.log_bucket.arn_for_objects(f"{prefix}*")],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )

    def _build_key(self) -> kms.Key:
        return kms.Key(
            self,
            "Key",
            description="Encrypts the data lake and the claims table",
            enable_key_rotation=True,
            removal_policy=self._lifetime.removal_policy,
        )

    def _build_log_bucket(self, retention_days: int) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "LogBucket",
            # Log delivery can only write to buckets that use S3's own keys.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self._lifetime.removal_policy,
            auto_delete_objects=not self._lifetime.protected,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(retention_days))],
        )
        # The account in the key is the load balancer's, as Elastic Load Balancing documents it.
        keys = f"{self.ALB_LOGS_PREFIX}/AWSLogs/{Stack.of(self).account}/*"
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(keys)],
            )
        )
        return bucket

    def _build_bucket(self, retention_days: Mapping[str, int]) -> s3.Bucket:
        return build_bucket(
            self,
            "Bucket",
            self.key,
            self._lifetime,
            server_access_logs_bucket=self.log_bucket,
            server_access_logs_prefix="data-lake/",
            # Where rules overlap, S3 applies the shorter one: expired objects are gone after a day, not after thirty.
            lifecycle_rules=[
                s3.LifecycleRule(
                    prefix=prefix,
                    expiration=Duration.days(days),
                    noncurrent_version_expiration=Duration.days(1),
                )
                for prefix, days in retention_days.items()
            ],
        )
