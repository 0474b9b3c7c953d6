"""Conditional writes: of two that saw the same object, one is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    client = cloud.client("s3")
    client.create_bucket(Bucket="conditions")
    return client


def code(call: Any, **arguments: Any) -> str:
    try:
        call(Bucket="conditions", **arguments)
    except ClientError as error:
        answer = error.response
        return f"{answer['ResponseMetadata']['HTTPStatusCode']} {answer['Error']['Code']}"
    return ""


def test_of_many_first_writers_one_wins(s3: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(
            pool.map(
                lambda number: code(s3.put_object, Key="first", Body=b"%d" % number, IfNoneMatch="*"),
                range(8),
            )
        )
    assert sorted(codes) == [""] + ["412 PreconditionFailed"] * 7
    assert s3.get_object(Bucket="conditions", Key="first")["Body"].read() == b"%d" % codes.index("")


def test_a_write_that_names_an_old_version_is_refused(s3: Any) -> None:
    etag = s3.put_object(Bucket="conditions", Key="k", Body=b"1", ContentType="text/plain")["ETag"]
    assert code(s3.put_object, Key="k", Body=b"2", IfMatch=etag, ContentType="text/plain") == ""
    assert code(s3.put_object, Key="k", Body=b"3", IfMatch=etag) == "412 PreconditionFailed"
    assert code(s3.put_object, Key="none", Body=b"3", IfMatch=etag) == "404 NoSuchKey"
    found = s3.get_object(Bucket="conditions", Key="k")
    assert (found["Body"].read(), found["ContentType"]) == (b"2", "text/plain")
