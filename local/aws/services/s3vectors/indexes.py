"""Vector indexes."""

from __future__ import annotations

import re

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, validation_error
from local.aws.services.s3vectors.buckets import check_mode
from local.aws.services.s3vectors.state import Index, checked, encryption_of, find_bucket, find_index, page_of

INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PAGE = 500


@checked("CreateIndex")
def create_index(params: Params, context: Context) -> Params:
    from local.aws.vectors.index import Vectors

    bucket, name = find_bucket(params, context), params["indexName"]
    if not INDEX_NAME.fullmatch(name):
        raise validation_error("Invalid index name")
    if name in bucket.indexes:
        raise ServiceError("ConflictException", "An index with the specified name already exists")
    metadata = params.get("metadataConfiguration") or {}
    if metadata.get("textSearchConfigurations"):
        raise NotImplementedHere("full-text search of vectors' metadata")
    hidden = tuple(metadata.get("nonFilterableMetadataKeys") or ())
    if len(set(hidden)) < len(hidden):
        raise validation_error("nonFilterableMetadataKeys must be unique")
    arn, dimension = f"{bucket.arn}/index/{name}", params["dimension"]
    encryption = encryption_of(params, bucket.encryption)
    vectors = Vectors(dimension, params["distanceMetric"])
    tags = dict(params.get("tags") or {})
    index = Index(name, arn, bucket, dimension, params["distanceMetric"], hidden, encryption, vectors, tags)
    if key := encryption.get("kmsKeyArn"):
        context.cloud.encryption_keys[arn] = key
    bucket.indexes[name] = index
    return {"indexArn": arn}


@checked("GetIndex")
def get_index(params: Params, context: Context) -> Params:
    return {"index": find_index(params, context).description()}


@checked("ListIndexes")
def list_indexes(params: Params, context: Context) -> Params:
    indexes, prefix = find_bucket(params, context).indexes, params.get("prefix") or ""
    found = [indexes[name].summary() for name in sorted(indexes) if name.startswith(prefix)]
    page, token = page_of(found, params, default=PAGE)
    return {"indexes": page, "nextToken": token}


@checked("DeleteIndex")
def delete_index(params: Params, context: Context) -> Params:
    index = find_index(params, context)
    del index.bucket.indexes[index.name]
    context.cloud.encryption_keys.pop(index.arn, None)
    return {}


@checked("UpdateIndexMode")
def update_index_mode(params: Params, context: Context) -> Params:
    find_index(params, context)
    check_mode(params["indexMode"])
    return {}
