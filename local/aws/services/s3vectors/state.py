"""The vector buckets of a cloud, their indexes, and how requests name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from local.aws.kernel import pages
from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, validation_error
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.constraints import constrained

if TYPE_CHECKING:
    from local.aws.vectors.index import Vectors

SERVICE = "s3vectors"
MODE = "ENHANCED"
"""The mode of every index: AWS's choice for vector buckets created since 2026-09-30 ("Index modes" of the S3 User
Guide)."""

checked = partial(constrained, SERVICE, error="ValidationException")
"""Register an operation of the service, for requests within its model's limits."""


@dataclass
class Index:
    name: str
    arn: str
    bucket: VectorBucket
    dimension: int
    metric: str
    non_filterable: tuple[str, ...]
    encryption: Params
    vectors: Vectors
    tags: dict[str, str]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def description(self) -> Params:
        """Return the index as GetIndex shows it."""
        keys = list(self.non_filterable)
        return {
            **self.summary(),
            "dataType": "float32",
            "dimension": self.dimension,
            "distanceMetric": self.metric,
            "metadataConfiguration": {"nonFilterableMetadataKeys": keys} if keys else None,
            "encryptionConfiguration": self.encryption,
            "indexMode": MODE,
        }

    def summary(self) -> Params:
        """Return the index as ListIndexes shows it."""
        return {
            "vectorBucketName": self.bucket.name,
            "indexName": self.name,
            "indexArn": self.arn,
            "creationTime": self.created,
        }


@dataclass
class VectorBucket:
    name: str
    arn: str
    encryption: Params
    tags: dict[str, str]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    indexes: dict[str, Index] = field(default_factory=dict)
    policy: str | None = None

    def summary(self) -> Params:
        """Return the bucket as ListVectorBuckets shows it."""
        return {"vectorBucketName": self.name, "vectorBucketArn": self.arn, "creationTime": self.created}


class VectorBuckets(ServiceState):
    """All vector buckets, by ARN."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_arn: dict[str, VectorBucket] = {}


def bucket_arn(name: str, context: Context) -> str:
    return context.arn(SERVICE, f"bucket/{name}")


def find_bucket(params: Params, context: Context) -> VectorBucket:
    """Return the bucket that a request names, by its name or its ARN."""
    name, arn = params.get("vectorBucketName"), params.get("vectorBucketArn")
    if (name is None) is (arn is None):
        raise validation_error("Must specify either vectorBucketName or vectorBucketArn but not both")
    bucket = context.state(VectorBuckets).by_arn.get(arn or bucket_arn(str(name), context))
    if bucket is None:
        raise ServiceError("NotFoundException", "The specified vector bucket could not be found")
    return bucket


def find_index(params: Params, context: Context) -> Index:
    """Return the index that a request names, by its ARN or by the names of its bucket and its own."""
    bucket, name, arn = (params.get(each) for each in ("vectorBucketName", "indexName", "indexArn"))
    if (arn is not None) is (bucket is not None or name is not None) or (bucket is None) is not (
        name is None
    ):
        raise validation_error("Must specify either indexArn or both vectorBucketName and indexName")
    if arn is None:
        arn = f"{bucket_arn(str(bucket), context)}/index/{name}"
    bucket_part, _, index_name = str(arn).rpartition("/index/")
    found = context.state(VectorBuckets).by_arn.get(bucket_part)
    index = found.indexes.get(index_name) if found else None
    if index is None:
        raise ServiceError("NotFoundException", "The specified index could not be found")
    return index


def encryption_of(params: Params, default: Params) -> Params:
    """Return a request's encryption, or the default. ValidationException for a kind that does not fit its key."""
    given: Params | None = params.get("encryptionConfiguration")
    if not given:
        return default
    kind, key = given.get("sseType", "AES256"), given.get("kmsKeyArn")
    if (kind == "aws:kms") is not bool(key):
        raise validation_error("kmsKeyArn is allowed if and only if sseType is aws:kms, which requires it")
    return {"sseType": kind, **({"kmsKeyArn": key} if key else {})}


INVALID_TOKEN = "Invalid nextToken"


def page_of(items: Sequence[Any], params: Params, *, default: int) -> tuple[Sequence[Any], str | None]:
    """Return a page of a list, and the token of the next one."""
    return pages.page_of(items, params, default=default, invalid=INVALID_TOKEN)
