"""Objects of a bucket that several people may change at once: a write says which version it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

MISSING = ("NoSuchKey", "AccessDenied")
"""Error codes of S3 for a key that is not there; the second is for roles that may not list it."""
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""Error codes of S3 for a condition that does not hold (S3 User Guide, "Add preconditions to S3 operations")."""


class ChangedError(Exception):
    """Somebody else has written the object in the meantime."""


@dataclass(frozen=True)
class Stored:
    """An object's content and version."""

    data: bytes
    etag: str


class Objects:
    """The objects of one bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def read(self, key: str) -> Stored | None:
        """Return an object, or None if it is not there."""
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        return Stored(found["Body"].read(), found["ETag"])

    def keys(self, prefix: str) -> list[str]:
        """Return the keys below a prefix, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def put(self, key: str, data: bytes, content_type: str, **more: Any) -> None:
        """Write an object, whatever is there."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type, **more)

    def replace(self, key: str, data: bytes, content_type: str, etag: str | None) -> str:
        """Write an object in place of the version ``etag``, or a new one without it; return its version.

        Raises ``ChangedError``.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            written = self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=data, ContentType=content_type, **condition
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in TAKEN:
                raise ChangedError(key) from error
            raise
        return str(written["ETag"])
