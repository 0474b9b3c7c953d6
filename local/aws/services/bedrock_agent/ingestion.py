"""The work of an ingestion job: what changed in the source since the last one becomes vectors, under the base's role.

Sources: "Sync your data with your Amazon Bedrock knowledge base" of the user guide; reports of what the service does
with files that it does not take, which tests/local/golden/knowledge_bases.yaml names. An ignored file leaves no trace
but a line in the failure reasons, and what was indexed of it before is removed.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local.aws.iam.permissions import AccessDenied
from local.aws.kernel.api import Params, ServiceError
from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock_agent import sidecars
from local.aws.services.bedrock_agent.chunking import Chunk, cut
from local.aws.services.bedrock_agent.parsing import UnreadableDocument, UnsupportedType, parse
from local.aws.services.bedrock_agent.role import BaseRole, RoleDenied, is_denial, said
from local.aws.services.bedrock_agent.sidecars import Attributes, InvalidSidecar
from local.aws.services.bedrock_agent.state import Document, IngestionJob, now

log = logging.getLogger("local.knowledge")

MAX_FILE_BYTES = 50 * 1024 * 1024
VECTORS_PER_CALL = 100
EMBEDDINGS_AT_ONCE = 4
LARGE_SIDECAR = (
    "Ignored {count} files as the associated metadata was larger than service limit of "
    f"MaximumFileSizeSupported: {sidecars.MAX_BYTES} bytes"
)
LARGE_FILE = (
    "Ignored {count} files as they were larger than service limit of "
    f"MaximumFileSizeSupported: {MAX_FILE_BYTES} bytes. [Files: {{files}}]"
)
UNSUPPORTED = "Ignored {count} files as their file format was not supported. [Files: {files}]"
INVALID_SIDECAR = (
    "Ignored {count} files due to invalid metadata attributes. Check that the attribute keys and values don't exceed"
    " the character quota, and that the attribute values are acceptable data types (strings, numbers, or Booleans)."
    " Then retry your request [Files: {files}]. Call to Customer Source did not succeed."
)
MAX_REASON = 2048
TEXT, DETAILS = "AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"
SOURCE_URI, SOURCE_ID = "x-amz-bedrock-kb-source-uri", "x-amz-bedrock-kb-data-source-id"
PAGE_NUMBER = "x-amz-bedrock-kb-document-page-number"


@dataclass(frozen=True)
class Item:
    """An object of the source that may become a document."""

    key: str
    uri: str
    size: int
    etag: str
    sidecar_etag: str | None
    sidecar_size: int


class Ingestion:
    """One run of a job."""

    def __init__(self, cloud: Cloud, job: IngestionJob) -> None:
        self.job = job
        self.source = job.source
        self.base = job.source.base
        self._role = BaseRole(cloud, self.base)
        self._ignored: dict[str, list[str]] = defaultdict(list)

    def run(self) -> None:
        """Do the work, and leave the outcome in the job. Never raises."""
        self.job.became("IN_PROGRESS")
        try:
            self._work()
            status = "STOPPED" if self.job.stopping.is_set() else "COMPLETE"
        except (RoleDenied, AccessDenied, ServiceError) as error:
            self.job.reasons.append(str(error)[:MAX_REASON])
            status = "FAILED"
        except Exception as error:
            log.exception("ingestion job %s failed", self.job.job_id)
            self.job.reasons.append(
                f"Encountered error: {type(error).__name__}; see the log of the local AWS"
            )
            status = "FAILED"
        self._report_ignored()
        for document in self.source.documents.values():
            if document.status == "IN_PROGRESS":
                document.status = "FAILED"
        self.job.became(status)

    def _work(self) -> None:
        if key := (self.source.encryption or {}).get("kmsKeyArn"):
            self._role.use_source_key(key)
        items = {item.uri: item for item in self._items()}
        self.job.statistics["numberOfDocumentsScanned"] = len(items)
        self.job.statistics["numberOfMetadataDocumentsScanned"] = sum(
            item.sidecar_etag is not None for item in items.values()
        )
        taken = {uri: item for uri, item in items.items() if not self._is_too_large(item)}
        for uri in [uri for uri in self.source.documents if uri not in taken]:
            self._remove(uri)
        for item in taken.values():
            if self.job.stopping.is_set():
                return
            known = self.source.documents.get(item.uri)
            if known is None or known.versions != (item.etag, item.sidecar_etag):
                self._index(item, known)

    def _items(self) -> Iterator[Item]:
        """The documents below the prefix, each with its sidecar."""
        objects = {each["Key"]: each for each in self._objects()}
        for key, each in objects.items():
            if key.endswith(("/", sidecars.SUFFIX)):
                continue
            beside = objects.get(key + sidecars.SUFFIX)
            etag, size = (beside["ETag"], beside["Size"]) if beside else (None, 0)
            yield Item(key, f"s3://{self.source.bucket}/{key}", each["Size"], each["ETag"], etag, size)

    def _objects(self) -> list[Params]:
        pages = self._role.client("s3").get_paginator("list_objects_v2")
        try:
            found = pages.paginate(Bucket=self.source.bucket, Prefix=self.source.prefix)
            return [each for page in found for each in page.get("Contents", [])]
        except ClientError as error:
            raise RoleDenied(_failed(said(error, "s3"), None, "Customer Source")) from error

    def _is_too_large(self, item: Item) -> bool:
        """Whether a file or its sidecar is, which is then ignored."""
        if item.sidecar_size > sidecars.MAX_BYTES:
            self._ignored[LARGE_SIDECAR].append(item.uri)
        elif item.size > MAX_FILE_BYTES:
            self._ignored[LARGE_FILE].append(item.uri)
        else:
            return False
        return True

    def _index(self, item: Item, known: Document | None) -> None:
        """Put the vectors of a new or changed document, and remove those it had before."""
        document = known or self.source.documents.setdefault(
            item.uri, Document(item.uri, "IN_PROGRESS", None)
        )
        before, document.versions = document.versions, None
        document.status, document.updated = "IN_PROGRESS", now()
        try:
            attributes = self._attributes(item)
            chunks = self._chunks(item)
            keys = self._put(item, chunks, attributes)
        except InvalidSidecar:
            self._ignore(item, INVALID_SIDECAR)
        except UnsupportedType:
            self._ignore(item, UNSUPPORTED)
        except UnreadableDocument as error:
            self._fail(
                document,
                f"Encountered error: {error}. Issue occurred while processing file: {item.uri}.",
                "FAILED",
            )
        except _Refused as error:
            # Bedrock counts the failure, and lists the document as indexed all the same.
            self._fail(document, str(error), "INDEXED")
        else:
            self._delete(document.vector_keys)
            document.vector_keys, document.versions = keys, (item.etag, item.sidecar_etag)
            document.status, document.updated, document.reason = "INDEXED", now(), None
            self.job.statistics[_counter(before, item)] += 1

    def _fail(self, document: Document, reason: str, status: str) -> None:
        self.job.statistics["numberOfDocumentsFailed"] += 1
        self.job.reasons.append(reason[:MAX_REASON])
        document.status, document.updated = status, now()

    def _ignore(self, item: Item, reason: str) -> None:
        self._ignored[reason].append(item.uri)
        document = self.source.documents.pop(item.uri)
        self._delete(document.vector_keys)

    def _remove(self, uri: str) -> None:
        """Forget a document that is gone from the source."""
        self._delete(self.source.documents[uri].vector_keys)
        del self.source.documents[uri]
        self.job.statistics["numberOfDocumentsDeleted"] += 1

    def _attributes(self, item: Item) -> Attributes:
        if item.sidecar_etag is None:
            return Attributes({})
        return sidecars.read(self._object(item.key + sidecars.SUFFIX)["Body"].read())

    def _chunks(self, item: Item) -> list[Chunk]:
        found = self._object(item.key)
        return cut(parse(found["Body"].read, found.get("ContentType", "")), self.source.chunking)

    def _object(self, key: str) -> Any:
        try:
            return self._role.client("s3").get_object(Bucket=self.source.bucket, Key=key)
        except ClientError as error:
            uri = f"s3://{self.source.bucket}/{key}"
            kind = RoleDenied if is_denial(error) else UnreadableDocument
            raise kind(_failed(said(error, "s3"), uri, "Customer Source")) from error

    def _put(self, item: Item, chunks: list[Chunk], attributes: Attributes) -> list[str]:
        """Embed chunks and store them; the keys of their vectors."""
        texts = [attributes.with_text(chunk.text) for chunk in chunks]
        vectors = [
            {
                "key": str(uuid.uuid4()),
                "data": {"float32": numbers},
                "metadata": self._metadata(item, chunk, attributes),
            }
            for chunk, numbers in zip(chunks, self._embeddings(texts, item), strict=True)
        ]
        put: list[str] = []
        try:
            for begin in range(0, len(vectors), VECTORS_PER_CALL):
                part = vectors[begin : begin + VECTORS_PER_CALL]
                self._vectors().put_vectors(indexArn=self.base.index_arn, vectors=part)
                put += [str(each["key"]) for each in part]
        except ClientError as error:
            reason = _failed(said(error, "s3vectors"), item.uri, "Amazon S3 Vectors")
            if is_denial(error):
                raise RoleDenied(reason) from error
            self._delete(put)
            raise _Refused(reason) from error
        return put

    def _metadata(self, item: Item, chunk: Chunk, attributes: Attributes) -> Params:
        metadata: Params = {
            **attributes.values,
            TEXT: chunk.text,
            DETAILS: json.dumps({"source": item.uri}, ensure_ascii=False),
            SOURCE_URI: item.uri,
            SOURCE_ID: self.source.source_id,
        }
        if chunk.page is not None:
            metadata[PAGE_NUMBER] = chunk.page
        return metadata

    def _embeddings(self, texts: list[str], item: Item) -> list[list[float]]:
        if not texts:
            return []
        try:
            with ThreadPoolExecutor(EMBEDDINGS_AT_ONCE) as pool:
                return list(pool.map(self._role.embed, texts))
        except ClientError as error:
            reason = (
                f"Knowledge base role {self.base.role_arn} is not able to call specified bedrock embedding model "
                f"{self.base.model_arn}: {said(error, 'bedrock-runtime')}"
            )
            if is_denial(error):
                raise RoleDenied(reason) from error
            raise _Refused(f"{reason} Issue occurred while processing file: {item.uri}.") from error

    def _delete(self, keys: list[str]) -> None:
        try:
            for begin in range(0, len(keys), VECTORS_PER_CALL):
                part = keys[begin : begin + VECTORS_PER_CALL]
                self._vectors().delete_vectors(indexArn=self.base.index_arn, keys=part)
        except ClientError as error:
            raise RoleDenied(_failed(said(error, "s3vectors"), None, "Amazon S3 Vectors")) from error

    def _vectors(self) -> Any:
        return self._role.client("s3vectors")

    def _report_ignored(self) -> None:
        for reason, uris in self._ignored.items():
            text = reason.format(count=len(uris), files=", ".join(sorted(uris)))
            self.job.reasons.append(text[:MAX_REASON])


class _Refused(Exception):  # noqa: N818 - an answer of a service
    """The model or the index did not take a document."""


def _counter(before: tuple[str, str | None] | None, item: Item) -> str:
    """The statistic that an indexed document adds to."""
    if before is None:
        return "numberOfNewDocumentsIndexed"
    etag, _ = before
    return "numberOfMetadataDocumentsModified" if etag == item.etag else "numberOfModifiedDocumentsIndexed"


def _failed(message: str, uri: str | None, what: str) -> str:
    place = f"Issue occurred while processing file: {uri}. " if uri else ""
    return f"Encountered error: {message}. {place}Call to {what} did not succeed."
