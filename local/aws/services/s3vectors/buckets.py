"""Vector buckets, their policies, and the tags of buckets and indexes."""

from __future__ import annotations

import json
import re

from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    operation,
    validation_error,
)
from local.aws.services.s3vectors.state import (
    MODE,
    SERVICE,
    VectorBucket,
    VectorBuckets,
    bucket_arn,
    checked,
    encryption_of,
    find_bucket,
    page_of,
)

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
PAGE = 500


@checked("CreateVectorBucket")
def create_vector_bucket(params: Params, context: Context) -> Params:
    name = params["vectorBucketName"]
    if not BUCKET_NAME.fullmatch(name):
        raise validation_error("Invalid vector bucket name")
    buckets, arn = context.state(VectorBuckets).by_arn, bucket_arn(name, context)
    if arn in buckets:
        raise ServiceError("ConflictException", "A vector bucket with the specified name already exists")
    encryption = encryption_of(params, {"sseType": "AES256"})
    buckets[arn] = VectorBucket(name, arn, encryption, dict(params.get("tags") or {}))
    return {"vectorBucketArn": arn}


@checked("GetVectorBucket")
def get_vector_bucket(params: Params, context: Context) -> Params:
    bucket = find_bucket(params, context)
    details = {"encryptionConfiguration": bucket.encryption, "defaultIndexMode": MODE}
    return {"vectorBucket": {**bucket.summary(), **details}}


@checked("ListVectorBuckets")
def list_vector_buckets(params: Params, context: Context) -> Params:
    prefix = params.get("prefix") or ""
    buckets = context.state(VectorBuckets).by_arn
    found = [buckets[arn].summary() for arn in sorted(buckets) if buckets[arn].name.startswith(prefix)]
    page, token = page_of(found, params, default=PAGE)
    return {"vectorBuckets": page, "nextToken": token}


@checked("DeleteVectorBucket")
def delete_vector_bucket(params: Params, context: Context) -> Params:
    bucket = find_bucket(params, context)
    if bucket.indexes:
        raise ServiceError("ConflictException", "The specified vector bucket is not empty")
    del context.state(VectorBuckets).by_arn[bucket.arn]
    return {}


@checked("PutVectorBucketPolicy")
def put_vector_bucket_policy(params: Params, context: Context) -> Params:
    """Keep the policy. It is not evaluated: within one account identity policies decide."""
    bucket = find_bucket(params, context)
    try:
        document = json.loads(params["policy"])
    except ValueError as error:
        raise validation_error("Invalid policy: it is no JSON") from error
    if not isinstance(document, dict) or "Statement" not in document:
        raise validation_error("Invalid policy: it has no Statement")
    bucket.policy = params["policy"]
    return {}


@checked("GetVectorBucketPolicy")
def get_vector_bucket_policy(params: Params, context: Context) -> Params:
    bucket = find_bucket(params, context)
    if bucket.policy is None:
        raise ServiceError("NotFoundException", "The specified vector bucket policy could not be found")
    return {"policy": bucket.policy}


@checked("DeleteVectorBucketPolicy")
def delete_vector_bucket_policy(params: Params, context: Context) -> Params:
    find_bucket(params, context).policy = None
    return {}


@checked("PutVectorBucketDefaultIndexMode")
def put_vector_bucket_default_index_mode(params: Params, context: Context) -> Params:
    find_bucket(params, context)
    check_mode(params["defaultIndexMode"])
    return {}


def check_mode(mode: str) -> None:
    """Refuse the mode that only older vector buckets may have."""
    if mode != MODE:
        raise validation_error("CLASSIC is only for vector buckets created before September 30, 2026")


def _tags(params: Params, context: Context) -> dict[str, str]:
    arn = params["resourceArn"]
    bucket = context.state(VectorBuckets).by_arn.get(arn.partition("/index/")[0])
    index = bucket.indexes.get(arn.rpartition("/index/")[2]) if bucket and "/index/" in arn else None
    found = index or (bucket if bucket and bucket.arn == arn else None)
    if found is None:
        raise ServiceError("NotFoundException", "The specified resource could not be found")
    return found.tags


@operation(SERVICE, "ListTagsForResource")
def list_tags_for_resource(params: Params, context: Context) -> Params:
    return {"tags": _tags(params, context)}


@operation(SERVICE, "TagResource")
def tag_resource(params: Params, context: Context) -> Params:
    _tags(params, context).update(params["tags"])
    return {}


@operation(SERVICE, "UntagResource")
def untag_resource(params: Params, context: Context) -> Params:
    tags = _tags(params, context)
    for key in params["tagKeys"]:
        tags.pop(key, None)
    return {}


@operation(SERVICE, "UpdateMetadataConfiguration")
def update_metadata_configuration(_: Params, __: Context) -> Params:
    raise NotImplementedHere("full-text search of vectors' metadata")
