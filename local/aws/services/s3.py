"""Conditional writes of S3, which moto does not have: If-None-Match and If-Match of PutObject."""

from __future__ import annotations

import threading
from typing import Any

from local.aws.kernel.api import FALL_THROUGH, Context, NotImplementedHere, Params, ServiceError, operation
from local.aws.kernel.cloud import Cloud

CONDITIONS = ("IfNoneMatch", "IfMatch")
_turn = threading.Lock()


@operation("s3", "PutObject")
def put_object(params: Params, context: Context) -> Any:
    """Leave a plain write to moto; check and write in one step if there is a condition."""
    conditions = {name: params[name] for name in CONDITIONS if params.get(name)}
    if not conditions:
        return FALL_THROUGH
    if conditions.get("IfNoneMatch", "*") != "*" or len(conditions) > 1:
        raise NotImplementedHere("PutObject takes If-None-Match: * or If-Match: an ETag")
    given = {name: value for name, value in params.items() if value is not None and name not in CONDITIONS}
    with _turn:
        _check(conditions, _etag(context.cloud, params["Bucket"], params["Key"]))
        answer = context.cloud.client("s3").put_object(**given)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _check(conditions: Params, etag: str | None) -> None:
    if "IfMatch" in conditions and etag is None:
        raise ServiceError("NoSuchKey", "The specified key does not exist.", http_status=404)
    wanted = conditions["IfMatch"].strip('"') if "IfMatch" in conditions else None
    if etag != wanted:
        message = "At least one of the pre-conditions you specified did not hold"
        raise ServiceError("PreconditionFailed", message, http_status=412)


def _etag(cloud: Cloud, bucket: str, key: str) -> str | None:
    s3 = cloud.client("s3")
    try:
        return str(s3.head_object(Bucket=bucket, Key=key)["ETag"]).strip('"')
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
