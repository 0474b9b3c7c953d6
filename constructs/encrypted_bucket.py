"""Versioned S3 buckets that are encrypted with a customer managed key."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.data_lifetime import DataLifetime

NONCURRENT_DAYS = 30
"""Days for which earlier versions of objects are kept."""


def build_bucket(
    scope: Construct,
    id: str,  # noqa: A002 - CDK's name
    key: kms.IKey,
    lifetime: DataLifetime,
    *,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
    **options: Any,
) -> s3.Bucket:
    """Return a new bucket in the scope, without public access, that is read over TLS only. Unfinished uploads are
    removed after a week.

    ``options`` are those of `s3.Bucket`.
    """
    return s3.Bucket(
        scope,
        id,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        versioned=True,
        removal_policy=lifetime.removal_policy,
        auto_delete_objects=not lifetime.protected,
        lifecycle_rules=[
            s3.LifecycleRule(
                abort_incomplete_multipart_upload_after=Duration.days(7),
                noncurrent_version_expiration=Duration.days(NONCURRENT_DAYS),
                # Removes the delete marker that expiry leaves once the last version is gone.
                expired_object_delete_marker=True,
            ),
            *lifecycle_rules,
        ],
        **options,
    )
