"""The outcome of an ingestion job: which documents can be found, which cannot and why, and their vectors.

A job ends as COMPLETE even if it ignored documents, so that the folder, the knowledge base's list and the index are
compared. What changed after the job began is not judged: another job follows.
"""

import json
import posixpath
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import passages

SIDECAR = ".metadata.json"
SIDECAR_BYTES = 1024
"""Size from which Bedrock ignores a document with its sidecar, against its documentation, which says 10 KB."""
DOCUMENT_BYTES = 50_000_000
"""Maximum size of a document (Bedrock User Guide, "Prerequisites for your knowledge base data")."""
TYPES = (".csv", ".doc", ".docx", ".htm", ".html", ".md", ".pdf", ".txt", ".xls", ".xlsx")
FACTS = ("title", "audience", "classification", "region")
INDEXED, PENDING, MISSING = "INDEXED", "PENDING", "MISSING"
REASON_CHARACTERS = 500

Json = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """A document of the folder. `sidecar` is the size of its sidecar, None without one; `late` says that one of them
    changed after the job began."""

    key: str
    etag: str
    size: int
    sidecar: int | None
    late: bool


class Outcome:
    """The outcome of a job that has ended, as GetIngestionJob describes it."""

    def __init__(self, environment: Mapping[str, str], clients: Mapping[str, Any], job: Json) -> None:
        self._environment = environment
        self._clients = clients
        self._job = job
        self._documents: str = environment["DOCUMENTS_BUCKET"]
        self._prefix = f"{environment['DOCUMENTS_PREFIX']}/"
        self._place = {"Bucket": environment["MANIFEST_BUCKET"]}
        self._below: str = environment["MANIFEST_PREFIX"]

    @property
    def manifest_key(self) -> str:
        """Key of the job's manifest: keys are in the order in which jobs ended."""
        ended = self._job["updatedAt"].astimezone(UTC)
        return f"{self._below}/manifests/{ended:%Y%m%dT%H%M%SZ}-{self._job['ingestionJobId']}.json"

    def is_written(self) -> bool:
        """Return whether the job has its manifest already."""
        found = self._clients["s3"].list_objects_v2(**self._place, Prefix=self.manifest_key, MaxKeys=1)
        return bool(found["KeyCount"])

    def write(self, manifest: Json) -> None:
        """Write the manifest."""
        body = json.dumps(manifest, ensure_ascii=False, separators=(",", ":")).encode()
        self._clients["s3"].put_object(
            **self._place, Key=self.manifest_key, Body=body, ContentType="application/json"
        )

    def manifest(self) -> Json:
        """Return the manifest, and write the vectors of documents that have none yet."""
        folder = self._folder()
        listed = self._listed(folder)
        with tempfile.TemporaryDirectory() as directory:
            store = passages.Passages(Path(directory))
            wanted = self._without_vectors(folder, listed)
            self._read_index(store, folder, wanted)
            for key, name in sorted(wanted.items()):
                self._write_vectors(store, key, name)
            chunks, facts = store.chunks(self._environment["DATA_SOURCE_ID"]), store.facts()
            strays = {*listed, *chunks} - folder.keys()
            entries = [
                self._entry(each, _status(each, listed), chunks.get(each.key, 0), facts.get(each.key, {}))
                for each in folder.values()
            ]
            problems = [
                *self._problems_of_the_job(),
                *(
                    {"key": each.key, "reason": reason}
                    for each in folder.values()
                    if (reason := _problem(each, listed, chunks.get(each.key, 0), facts.get(each.key, {})))
                ),
                *self._problems_of_the_index(store, strays),
            ]
        return self._manifest(entries, problems)

    def _manifest(self, entries: list[Json], problems: list[Json]) -> Json:
        job, environment = self._job, self._environment
        failed = job.get("statistics", {}).get("numberOfDocumentsFailed", 0)
        if failed and not problems:
            problems = [{"key": "", "reason": f"{failed} documents failed, and Bedrock does not say which"}]
        return {
            "schema_version": 1,
            "job": job["ingestionJobId"],
            "status": job["status"],
            "started_at": _iso(job["startedAt"]),
            "completed_at": _iso(job["updatedAt"]),
            "index": environment["INDEX_ARN"],
            "embedding_model": environment["EMBEDDING_MODEL_ID"],
            "dimension": int(environment["DIMENSION"]),
            "statistics": job.get("statistics", {}),
            "failure_reasons": job.get("failureReasons", []),
            "documents": sorted(entries, key=lambda each: str(each["key"])),
            "problems": problems,
        }

    def _folder(self) -> dict[str, Document]:
        """Return the documents of the folder by key."""
        objects: dict[str, Json] = {}
        for page in self._pages("s3", "list_objects_v2", Bucket=self._documents, Prefix=self._prefix):
            objects |= {each["Key"]: each for each in page.get("Contents", ()) if each["Key"][-1] != "/"}
        return {
            key: self._document(each, objects.get(key + SIDECAR))
            for key, each in objects.items()
            if not key.endswith(SIDECAR)
        }

    def _document(self, found: Json, sidecar: Json | None) -> Document:
        began = self._job["startedAt"]
        return Document(
            found["Key"],
            found["ETag"].strip('"'),
            found["Size"],
            sidecar["Size"] if sidecar else None,
            any(each["LastModified"] > began for each in (found, sidecar) if each),
        )

    def _listed(self, folder: Mapping[str, Document]) -> dict[str, Json]:
        """Return what the knowledge base says of each document that it has, by key."""
        source = {
            "knowledgeBaseId": self._environment["KNOWLEDGE_BASE_ID"],
            "dataSourceId": self._environment["DATA_SOURCE_ID"],
        }
        pages = self._pages("bedrock-agent", "list_knowledge_base_documents", **source)
        return {
            self._key(each["identifier"]["s3"]["uri"], folder): each
            for page in pages
            for each in page["documentDetails"]
            if "s3" in each["identifier"]
        }

    def _key(self, uri: str, folder: Mapping[str, Document]) -> str:
        """Return the key of an address, which may be written with percent signs."""
        key = uri.removeprefix(f"s3://{self._documents}/")
        return key if key in folder or unquote(key) not in folder else unquote(key)

    def _without_vectors(self, folder: Mapping[str, Document], listed: Mapping[str, Json]) -> dict[str, str]:
        """Return where to write the vectors of each version of a document that has none there, by key."""
        wanted = {
            self._vectors_key(each): key for key, each in folder.items() if _status(each, listed) == INDEXED
        }
        prefix = f"{self._below}/vectors/"
        for page in self._pages("s3", "list_objects_v2", **self._place, Prefix=prefix):
            for each in page.get("Contents", ()):
                wanted.pop(each["Key"], None)
        return {key: name for name, key in wanted.items()}

    def _vectors_key(self, document: Document) -> str:
        version = self._environment["INDEX_ARN"] + document.key + document.etag
        return f"{self._below}/vectors/{sha256(version.encode()).hexdigest()}.jsonl.gz"

    def _read_index(
        self, store: "passages.Passages", folder: Mapping[str, Document], wanted: Mapping[str, str]
    ) -> None:
        """Put the whole index into the store, with the vectors of the documents that need them."""
        pages = self._pages(
            "s3vectors",
            "list_vectors",
            indexArn=self._environment["INDEX_ARN"],
            returnMetadata=True,
            returnData=bool(wanted),
        )
        for page in pages:
            store.add(
                passages.Passage.of(
                    each, self._key(each.get("metadata", {}).get(passages.URI, ""), folder), wanted, FACTS
                )
                for each in page["vectors"]
            )

    def _write_vectors(self, store: "passages.Passages", key: str, name: str) -> None:
        with store.packed(key, self._environment["DATA_SOURCE_ID"]) as file:
            self._clients["s3"].put_object(**self._place, Key=name, Body=file, ContentType="application/gzip")

    def _entry(self, document: Document, status: str, chunks: int, facts: Mapping[str, str]) -> Json:
        path = unicodedata.normalize("NFC", document.key.removeprefix(self._prefix))
        return {
            "id": posixpath.splitext(path)[0],
            "key": document.key,
            "etag": document.etag,
            "size": document.size,
            **{name: facts.get(name, "") for name in FACTS},
            "status": status,
            "chunks": chunks,
            "vectors": self._vectors_key(document) if status == INDEXED else None,
        }

    def _problems_of_the_job(self) -> Iterator[Json]:
        if self._job["status"] != "COMPLETE":
            yield {"key": "", "reason": f"the job ended as {self._job['status']}"}
        for reason in self._job.get("failureReasons", ()):
            yield {"key": "", "reason": reason[:REASON_CHARACTERS]}

    def _problems_of_the_index(self, store: "passages.Passages", strays: set[str]) -> Iterator[Json]:
        """Yield documents that are still found although they were removed before the job began."""
        if strays:
            strays = strays - self._removed_late()
        for key in sorted(strays):
            yield {"key": key, "reason": "it was removed, and is still in the index"}
        if others := store.of_other_sources(self._environment["DATA_SOURCE_ID"]):
            reason = f"{others} chunks of an earlier data source are still found beside the new ones: docs/knowledge.md"
            yield {"key": "", "reason": reason}

    def _removed_late(self) -> set[str]:
        """Return the keys that were removed after the job began."""
        pages = self._pages("s3", "list_object_versions", Bucket=self._documents, Prefix=self._prefix)
        return {
            each["Key"]
            for page in pages
            for each in page.get("DeleteMarkers", ())
            if each["IsLatest"] and each["LastModified"] > self._job["startedAt"]
        }

    def _pages(self, service: str, operation: str, **parameters: Any) -> Iterator[Json]:
        yield from self._clients[service].get_paginator(operation).paginate(**parameters)


def _status(document: Document, listed: Mapping[str, Json]) -> str:
    if document.late:
        return PENDING
    return str(listed[document.key]["status"]) if document.key in listed else MISSING


def _problem(
    document: Document, listed: Mapping[str, Json], chunks: int, facts: Mapping[str, str]
) -> str | None:
    """Return why a document cannot be found, or None if it can, or is not judged yet."""
    status = _status(document, listed)
    if status == PENDING:
        return None
    if status == MISSING:
        return f"it is not in the index: {_ignored(document)}"
    if status != INDEXED:
        said = str(listed[document.key].get("statusReason", ""))[:REASON_CHARACTERS]
        return f"its status is {status}" + (f": {said}" if said else "")
    if document.sidecar is None:
        sidecar = f"{posixpath.basename(document.key)}{SIDECAR}"
        return f"it has no sidecar {sidecar}, so that nobody sees it: publish it again"
    if not chunks:
        return "it has no text: a scan needs text recognition first, and the content type must be the file's"
    if not facts.get("audience"):
        return "it is indexed without the audience of its sidecar, so that nobody sees it: publish it again"
    return None


def _ignored(document: Document) -> str:
    """Return why Bedrock ignores a document, as far as the folder shows it."""
    if document.sidecar is not None and document.sidecar > SIDECAR_BYTES:
        return f"its sidecar has {document.sidecar:,} bytes, and only {SIDECAR_BYTES:,} are read: shorten its title"
    if not document.size:
        return "it is empty"
    if document.size > DOCUMENT_BYTES:
        return f"it has {document.size:,} bytes, and only {DOCUMENT_BYTES:,} are read: split it"
    kind = posixpath.splitext(document.key)[1].casefold()
    if kind not in TYPES:
        return f"{kind or 'a name without an extension'} is not read: use {', '.join(TYPES)}"
    return "Bedrock ignored it and does not say why"


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
