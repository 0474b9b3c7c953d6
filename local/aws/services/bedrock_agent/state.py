"""The knowledge bases of a cloud with their data sources, ingestion jobs and documents."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from local.aws.kernel import pages
from local.aws.kernel.api import Context, Params, ServiceError, ServiceState
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.constraints import constrained

SERVICE = "bedrock-agent"
RUNTIME = "bedrock-agent-runtime"
SECONDS_BETWEEN_STARTS = 10.0
"""StartIngestionJob takes 0.1 requests a second and account (Bedrock's quotas)."""
MAX_REASONS = 2048
ENDED = ("COMPLETE", "FAILED", "STOPPED")
STATISTICS = (
    "numberOfDocumentsScanned",
    "numberOfMetadataDocumentsScanned",
    "numberOfNewDocumentsIndexed",
    "numberOfModifiedDocumentsIndexed",
    "numberOfMetadataDocumentsModified",
    "numberOfDocumentsDeleted",
    "numberOfDocumentsFailed",
    "numberOfDocumentsSkipped",
)

checked = partial(constrained, SERVICE, error="ValidationException")
"""Register an operation of the control plane, for requests within its model's limits."""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Document:
    """An object that a data source holds in the index.

    ``versions`` are the ETags of the object and of its sidecar when it was last indexed, None to index it again.
    """

    uri: str
    status: str
    versions: tuple[str, str | None] | None
    vector_keys: list[str] = field(default_factory=list)
    updated: datetime = field(default_factory=now)
    reason: str | None = None


@dataclass
class IngestionJob:
    job_id: str
    source: DataSource
    description: str | None
    status: str = "STARTING"
    statistics: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stopping: threading.Event = field(default_factory=threading.Event)

    def summary(self) -> Params:
        """Return the job as ListIngestionJobs shows it."""
        return {
            "knowledgeBaseId": self.source.base.base_id,
            "dataSourceId": self.source.source_id,
            "ingestionJobId": self.job_id,
            "description": self.description,
            "status": self.status,
            "statistics": {name: self.statistics[name] for name in STATISTICS},
            "startedAt": self.started,
            "updatedAt": self.updated,
        }

    def details(self) -> Params:
        """Return the job as GetIngestionJob shows it."""
        return {**self.summary(), "failureReasons": self.reasons[:MAX_REASONS] or None}

    def became(self, status: str) -> None:
        self.status, self.updated = status, now()


@dataclass
class DataSource:
    source_id: str
    base: KnowledgeBase
    name: str
    description: str | None
    configuration: Params
    deletion_policy: str
    encryption: Params | None
    ingestion: Params | None
    status: str = "AVAILABLE"
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    reasons: list[str] = field(default_factory=list)
    jobs: dict[str, IngestionJob] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        return str(self.configuration["s3Configuration"]["bucketArn"]).rpartition(":")[2]

    @property
    def prefix(self) -> str:
        return str((self.configuration["s3Configuration"].get("inclusionPrefixes") or [""])[0])

    @property
    def chunking(self) -> Params:
        return (self.ingestion or {}).get("chunkingConfiguration") or {}

    def details(self) -> Params:
        """Return the data source as GetDataSource shows it."""
        return {
            "knowledgeBaseId": self.base.base_id,
            "dataSourceId": self.source_id,
            "name": self.name,
            "status": self.status,
            "description": self.description,
            "dataSourceConfiguration": self.configuration,
            "serverSideEncryptionConfiguration": self.encryption,
            "vectorIngestionConfiguration": self.ingestion,
            "dataDeletionPolicy": self.deletion_policy,
            "createdAt": self.created,
            "updatedAt": self.updated,
            "failureReasons": self.reasons or None,
        }


@dataclass
class KnowledgeBase:
    base_id: str
    arn: str
    name: str
    description: str | None
    role_arn: str
    configuration: Params
    storage: Params
    dimension: int
    tags: dict[str, str]
    status: str = "ACTIVE"
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    reasons: list[str] = field(default_factory=list)
    sources: dict[str, DataSource] = field(default_factory=dict)

    @property
    def model_arn(self) -> str:
        return str(self.configuration["vectorKnowledgeBaseConfiguration"]["embeddingModelArn"])

    @property
    def index_arn(self) -> str:
        given = self.storage["s3VectorsConfiguration"]
        return str(given.get("indexArn") or f"{given['vectorBucketArn']}/index/{given['indexName']}")

    @property
    def running(self) -> list[IngestionJob]:
        """The ingestion jobs that have not ended, of all its data sources."""
        return [
            job for each in self.sources.values() for job in each.jobs.values() if job.status not in ENDED
        ]

    def details(self) -> Params:
        """Return the knowledge base as GetKnowledgeBase shows it."""
        return {
            "knowledgeBaseId": self.base_id,
            "name": self.name,
            "knowledgeBaseArn": self.arn,
            "description": self.description,
            "roleArn": self.role_arn,
            "knowledgeBaseConfiguration": self.configuration,
            "storageConfiguration": self.storage,
            "status": self.status,
            "createdAt": self.created,
            "updatedAt": self.updated,
            "failureReasons": self.reasons or None,
        }


class KnowledgeBases(ServiceState):
    """All knowledge bases, and the threads of their ingestion jobs.

    Tests set ``clock`` and ``seconds_between_starts`` to start jobs one after another.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_id: dict[str, KnowledgeBase] = {}
        self.clock: Callable[[], float] = time.monotonic
        self.seconds_between_starts = SECONDS_BETWEEN_STARTS
        self.lock = threading.RLock()
        self._last_start: float | None = None
        self._threads: list[threading.Thread] = []
        cloud.on_stop(self._stop)

    def take_start(self) -> None:
        """Raise ThrottlingException when an ingestion job was started a moment ago."""
        with self.lock:
            moment = self.clock()
            if self._last_start is not None and moment - self._last_start < self.seconds_between_starts:
                message = "Your request rate is too high. Reduce the frequency of requests."
                raise ServiceError("ThrottlingException", message)
            self._last_start = moment

    def run(self, work: Callable[[], None]) -> None:
        """Do work in the background, until the cloud stops."""
        thread = threading.Thread(target=work, name="ingestion", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def wait(self) -> None:
        """Return when no ingestion job runs any more."""
        for thread in self._threads:
            thread.join()

    def _stop(self) -> None:
        for base in self.by_id.values():
            for job in base.running:
                job.stopping.set()
        for thread in self._threads:
            thread.join(timeout=5)


def new_id() -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))


def find_base(params: Params, context: Context) -> KnowledgeBase:
    """Return the knowledge base that a request names, by its id or its ARN."""
    name = str(params["knowledgeBaseId"]).rpartition("/")[2]
    base = context.state(KnowledgeBases).by_id.get(name)
    if base is None:
        raise not_found(f"Knowledge base with id {name} is not found")
    return base


def find_source(params: Params, context: Context) -> DataSource:
    base, name = find_base(params, context), params["dataSourceId"]
    if name not in base.sources:
        raise not_found(f"DataSource with id {name} in KnowledgeBase with id {base.base_id} is not found")
    return base.sources[name]


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


def conflict(message: str) -> ServiceError:
    return ServiceError("ConflictException", message)


INVALID_TOKEN = "The nextToken is invalid"


def page_of(items: Sequence[Any], params: Params, *, default: int = 1000) -> tuple[Sequence[Any], str | None]:
    """Return a page of a list, and the token of the next one."""
    return pages.page_of(items, params, default=default, invalid=INVALID_TOKEN)
