"""Publishing: make the bucket of a knowledge base hold exactly a folder's documents, by as few writes as possible.

A document must never be indexed for more people than its header says, though an ingestion job may read the bucket
between two of our writes. So the sidecar of a new document is written before the document, and a document whose
audience changes is without a sidecar, which makes it invisible to everybody, while its body is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fmops.documents.folder import DocumentFile
from fmops.documents.sidecar import PREFIX, SUFFIX, audience, audience_of
from fmops.parallel import in_order

DIGEST = "sha256"
"""Name of the object's metadata that holds the digest of its body. The ETag is no digest with a KMS key."""
DRAFTED = "drafted/"
"""Folder of the documents that people published from drafts (``fmops.drafting``), which no other folder removes."""
DELETED_AT_ONCE = 1000
"""Maximum number of keys of one DeleteObjects call (S3 API Reference)."""

Tell = Callable[[int, int], None]
"""A function that is told how many steps are done, and of how many."""


class PublishingError(Exception):
    """Objects could not be deleted; the message names the first of them."""


@dataclass(frozen=True)
class Change:
    """A document to write: its body, its sidecar, or both."""

    file: DocumentFile
    new: bool
    body: bool
    sidecar: bool
    other_audience: bool = False
    """Whether the document is stored, but not with a sidecar that has the header's audience."""


@dataclass(frozen=True)
class Plan:
    """Changes that publishing makes, and the number of documents that stay as they are."""

    changes: list[Change]
    removed: list[str]
    """Keys of documents and sidecars that the folder no longer has."""
    unchanged: int

    @property
    def documents_removed(self) -> list[str]:
        """Keys of the documents, without their sidecars, that the folder no longer has."""
        return [key for key in self.removed if not key.endswith(SUFFIX)]


def plan(files: Sequence[DocumentFile], s3: Any, bucket: str, tell: Tell = lambda *_: None) -> Plan:
    """Compare a folder's documents with the bucket, and return what must be written and removed.

    Documents that were published from drafts stay, unless the folder has documents of their names.
    """
    stored = _stored(s3, bucket)
    found = in_order(partial(_change, s3=s3, bucket=bucket, stored=stored), files)
    changes = []
    for done, change in enumerate(found, 1):
        tell(done, len(files))
        if change.body or change.sidecar:
            changes.append(change)
    kept = {key for file in files for key in (file.key, file.sidecar_key)}
    removed = (key for key in stored.keys() - kept if not key.startswith(PREFIX + DRAFTED))
    return Plan(changes, sorted(removed), len(files) - len(changes))


def publish(planned: Plan, s3: Any, bucket: str, *, kms_key: str = "", tell: Tell = lambda *_: None) -> None:
    """Write and remove what the plan says. Publishing again after an interruption completes it.

    Objects are encrypted with ``kms_key``, or without it as the bucket's default says. Raises ``PublishingError``
    and ``DocumentsError``.
    """
    put = partial(_put, s3=s3, bucket=bucket, kms_key=kms_key)
    write = partial(_write, put=put, s3=s3, bucket=bucket)
    total = len(planned.changes) + len(planned.removed)
    for done, _ in enumerate(in_order(write, planned.changes), 1):
        tell(done, total)
    done = len(planned.changes)
    for start in range(0, len(planned.removed), DELETED_AT_ONCE):
        keys = planned.removed[start : start + DELETED_AT_ONCE]
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        if errors := s3.delete_objects(Bucket=bucket, Delete=wanted).get("Errors"):
            first = errors[0]
            raise PublishingError(
                f"{len(errors)} objects were not deleted, such as {first['Key']} ({first['Code']}): publish again"
            )
        done += len(keys)
        tell(done, total)


def _stored(s3: Any, bucket: str) -> dict[str, int]:
    """Return the size of each object below the prefix, by key."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX)
    return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}


def _change(file: DocumentFile, *, s3: Any, bucket: str, stored: Mapping[str, int]) -> Change:
    there = s3.head_object(Bucket=bucket, Key=file.key) if file.key in stored else {}
    body = (
        there.get("Metadata", {}).get(DIGEST) != file.digest or there.get("ContentType") != file.content_type
    )
    written = b""
    if file.sidecar_key in stored:
        written = s3.get_object(Bucket=bucket, Key=file.sidecar_key)["Body"].read()
    return Change(
        file,
        new=not there,
        body=body,
        sidecar=written != file.sidecar(),
        other_audience=bool(there) and audience_of(written) != audience(file.header),
    )


def _write(change: Change, *, put: Callable[..., None], s3: Any, bucket: str) -> None:
    for step in _steps(change):
        if step == "hide":
            s3.delete_object(Bucket=bucket, Key=change.file.sidecar_key)
        elif step == "sidecar":
            put(change.file.sidecar_key, change.file.sidecar(), "application/json")
        else:
            put(change.file.key, change.file.body(), change.file.content_type, change.file.digest)


def _steps(change: Change) -> Iterator[str]:
    """Yield the writes of a change in the order that the module's docstring explains."""
    if change.body and change.other_audience:
        yield from ("hide", "body", "sidecar")
        return
    if change.sidecar:
        yield "sidecar"
    if change.body:
        yield "body"


def _put(
    key: str, data: bytes, content_type: str, digest: str = "", *, s3: Any, bucket: str, kms_key: str
) -> None:
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    metadata = {"Metadata": {DIGEST: digest}} if digest else {}
    s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, **metadata, **encryption)
