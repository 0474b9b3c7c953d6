"""Ingestion jobs: started by changed documents, one at a time, followed until they end, and reported.

A message of the queue is an event of S3, or `{"watch": <job>}`, which the function sends to itself.
"""

import json
import posixpath
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import outcome
from botocore.exceptions import ClientError

SERVICES = ("bedrock-agent", "s3", "s3vectors", "sns", "sqs")
BUSY = {"ConflictException", "ThrottlingException", "ServiceQuotaExceededException"}
"""Errors of StartIngestionJob that pass: another job runs, or too many were started."""
RUNNING = {"STARTING", "IN_PROGRESS", "STOPPING"}
EVENTS = {"Object Created", "Object Deleted"}
BACK_SECONDS, LAST_BACK_SECONDS = 15, 900
"""Seconds until a message comes back: 15 for each time that it was received, at most a quarter of an hour."""
SQS_BATCH = 10
FOLDER = posixpath.dirname(__file__)
NAMED = 20
"""Problems that a notification names; the manifest has all."""

Json = dict[str, Any]


class Ingestion:
    """The ingestion jobs of one data source."""

    def __init__(self, environment: Mapping[str, str], clients: Mapping[str, Any]) -> None:
        self._environment = environment
        self._clients = clients
        self._source = {
            "knowledgeBaseId": environment["KNOWLEDGE_BASE_ID"],
            "dataSourceId": environment["DATA_SOURCE_ID"],
        }

    def handle(self, event: Json) -> Json:
        """Return what Lambda expects for a batch of messages, or `{"job": <id>}` or `{"conflict": true}` for
        `{"action": "ingest"}`."""
        if "Records" in event:
            return self._handle_batch(event["Records"])
        if event.get("action") == "ingest":
            job = self._start()
            return {"job": job} if job else {"conflict": True}
        raise ValueError('the event is neither a batch of the queue nor {"action": "ingest"}')

    def _handle_batch(self, records: Sequence[Json]) -> Json:
        """Start one job for all changes, and look at each watched job. What failed comes back."""
        changes, failed = [], []
        for record in records:
            message = _message(record)
            if "watch" in message:
                failed += [] if self._looked(str(message["watch"])) else [record]
            elif message.get("detail-type") in EVENTS or message.get("action") == "ingest":
                changes.append(record)
            else:
                _log(f"message {record['messageId']} is neither a change of a document nor a watch")
                failed.append(record)
        if changes and self._start() is None:
            failed += changes
        self._come_back(failed)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}

    def _start(self) -> str | None:
        """Return the id of a new job, or None if none can start now."""
        try:
            started = self._clients["bedrock-agent"].start_ingestion_job(**self._source)
        except ClientError as error:
            if error.response["Error"]["Code"] not in BUSY:
                raise
            _log(f"no job can start now: {error.response['Error']['Code']}")
            return None
        job = str(started["ingestionJob"]["ingestionJobId"])
        self._watch_later(job)
        return job

    def _watch_later(self, job: str) -> None:
        self._clients["sqs"].send_message(
            QueueUrl=self._environment["QUEUE_URL"],
            MessageBody=json.dumps({"watch": job}),
            DelaySeconds=int(self._environment["WATCH_SECONDS"]),
        )

    def _looked(self, job_id: str) -> bool:
        """Return whether a job was looked at; one that fails must not hold up the others of its batch."""
        try:
            self._look(job_id)
        except Exception as error:  # noqa: BLE001 - it comes back, and rings as a dead letter in the end
            _log(f"job {job_id} could not be checked: {_brief(error)}")
            return False
        return True

    def _look(self, job_id: str) -> None:
        try:
            asked = self._clients["bedrock-agent"].get_ingestion_job(**self._source, ingestionJobId=job_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            _log(f"job {job_id} belongs to a data source that is gone")
            return
        job = asked["ingestionJob"]
        if job["status"] in RUNNING:
            self._watch_later(job_id)
            return
        checked = outcome.Outcome(self._environment, self._clients, job)
        if checked.is_written():
            return
        manifest = checked.manifest()
        _log_metrics(self._environment["METRIC_NAMESPACE"], manifest)
        if manifest["problems"]:
            self._tell(manifest, checked.manifest_key)
        # Last, since a manifest says that everything before it is done.
        checked.write(manifest)

    def _tell(self, manifest: Json, key: str) -> None:
        """Publish the problems: as a custom notification of Amazon Q Developer in chat applications, which shows no
        other text, and as plain text to mail addresses."""
        if not (topic := self._environment.get("ALARM_TOPIC_ARN")):
            return
        title = f"Ingestion {manifest['job']}: {len(manifest['problems'])} problems with documents"
        lines = [
            f"- {each['key'] or 'the ingestion'}: {each['reason']}" for each in manifest["problems"][:NAMED]
        ]
        more = len(manifest["problems"]) - len(lines)
        lines += [f"- and {more} more"] if more > 0 else []
        lines.append(f"All are in s3://{self._environment['MANIFEST_BUCKET']}/{key}")
        text = "\n".join(lines)
        content = {"textType": "client-markdown", "title": title, "description": text}
        notification = {"version": "1.0", "source": "custom", "content": content}
        self._clients["sns"].publish(
            TopicArn=topic,
            Subject=title,
            MessageStructure="json",
            Message=json.dumps(
                {"default": json.dumps(notification, ensure_ascii=False), "email": f"{title}\n\n{text}"}
            ),
        )

    def _come_back(self, failed: Sequence[Json]) -> None:
        """Have messages come back sooner than the queue's own time, which is that of a function that died."""
        for batch in _batches(failed, SQS_BATCH):
            self._clients["sqs"].change_message_visibility_batch(
                QueueUrl=self._environment["QUEUE_URL"],
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": record["receiptHandle"],
                        "VisibilityTimeout": _back_seconds(record),
                    }
                    for number, record in enumerate(batch)
                ],
            )


def _message(record: Json) -> Json:
    try:
        message = json.loads(record["body"])
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _back_seconds(record: Json) -> int:
    received = int(record["attributes"]["ApproximateReceiveCount"])
    return min(received * BACK_SECONDS, LAST_BACK_SECONDS)


def _batches(items: Sequence[Json], size: int) -> Iterator[Sequence[Json]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _log_metrics(namespace: str, manifest: Json) -> None:
    """Print a line in CloudWatch's embedded metric format, from which the log group makes the metrics."""
    values = {
        "Documents": len(manifest["documents"]),
        "Chunks": sum(each["chunks"] for each in manifest["documents"]),
        "Problems": len(manifest["problems"]),
    }
    directive = {
        "Namespace": namespace,
        "Dimensions": [[]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    emf = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    _log(json.dumps({"_aws": emf, "job": manifest["job"], "status": manifest["status"], **values}))


def _brief(error: Exception) -> str:
    """Return an error and its place, without its text, which may quote a document."""
    code = f" {error.response['Error']['Code']}" if isinstance(error, ClientError) else ""
    ours = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(FOLDER)]
    return f"{type(error).__name__}{code} at {posixpath.basename(ours[-1].filename)}:{ours[-1].lineno}"


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the log
