"""Event source mappings of Lambda: batches of a queue's messages invoke a function, under the function's role.

Source: "Using Lambda with Amazon SQS" of the Lambda developer guide. moto would call its own Docker functions.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.services.lambda_ import Functions

log = logging.getLogger("local.aws.event_sources")

NEEDED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
"""SQS operations that the function's role must permit."""
POLL_SECONDS = 1
MAX_WITHOUT_WINDOW, MAX_BATCH, MAX_WINDOW = 10, 10_000, 300


@dataclass
class Mapping:
    """One mapping, and the thread that polls its queue."""

    cloud: Cloud
    function_arn: str
    queue_arn: str
    batch_size: int
    window: float
    partial: bool
    concurrency: int | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._function = self.cloud.state(Functions).function(self.function_arn)
        queues = self.cloud.client("sqs")  # Lambda knows the address itself
        self._url = queues.get_queue_url(QueueName=self.queue_arn.rsplit(":", 1)[-1])["QueueUrl"]
        self._check(self._sqs())
        self._thread = threading.Thread(target=self._poll, name=f"mapping-{self.id[:8]}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def described(self) -> Params:
        """Return the mapping as `GetEventSourceMapping` does."""
        return {
            "UUID": self.id,
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": int(self.window),
            "EventSourceArn": self.queue_arn,
            "FunctionArn": self.function_arn,
            "LastModified": datetime.now(UTC),
            "State": "Enabled",
            "StateTransitionReason": "USER_INITIATED",
            "FunctionResponseTypes": ["ReportBatchItemFailures"] if self.partial else [],
            **({"ScalingConfig": {"MaximumConcurrency": self.concurrency}} if self.concurrency else {}),
            "EventSourceMappingArn": f"arn:aws:lambda:{self.cloud.region}:{self.cloud.account}:"
            f"event-source-mapping:{self.id}",
        }

    def _sqs(self) -> Any:
        return self.cloud.client("sqs", role=self._function.role())

    def _check(self, sqs: Any) -> None:
        """Refuse a queue that the function's role may not read, or whose messages come back during the
        function's time-out."""
        try:
            sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=1, VisibilityTimeout=0)
            answer = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["VisibilityTimeout"])
        except sqs.exceptions.ClientError as error:
            denied = next((each for each in NEEDED if each in str(error)), "ReceiveMessage")
            message = f"The provided execution role does not have permissions to call {denied} on SQS"
            raise ServiceError("InvalidParameterValueException", message) from error
        visible, needed = int(answer["Attributes"]["VisibilityTimeout"]), self._function.timeout
        if visible < needed:
            raise ServiceError(
                "InvalidParameterValueException",
                f"Queue visibility timeout: {visible} seconds is less than Function timeout: {needed} seconds",
            )

    def _poll(self) -> None:
        told = ""
        while not self._stopped.is_set():
            try:
                if batch := self._collect():
                    self._hand_over(batch)
                told = ""
            except Exception as error:  # noqa: BLE001 - Lambda polls on, whatever a poll met
                if self._stopped.wait(POLL_SECONDS):
                    return
                if str(error) != told:
                    log.warning("the mapping of %s failed, and tries again: %s", self.queue_arn, error)
                told = str(error)

    def _collect(self) -> list[Params]:
        """Return messages: as many as a batch holds, or all that arrive within the window of the first."""
        batch = self._receive(POLL_SECONDS, self.batch_size)
        end = time.monotonic() + self.window
        while batch and len(batch) < self.batch_size and (left := end - time.monotonic()) > 0:
            if self._stopped.wait(min(POLL_SECONDS, left)):
                return []
            batch += self._receive(0, self.batch_size - len(batch))
        return batch

    def _receive(self, wait: int, limit: int) -> list[Params]:
        found: list[Params] = []
        while len(found) < limit:
            answer = self._sqs().receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(10, limit - len(found)),
                WaitTimeSeconds=0 if found else wait,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                break
            found += answer["Messages"]
        return found

    def _hand_over(self, batch: list[Params]) -> None:
        """Invoke the function, and delete what it has processed: the rest comes back by its visibility time-out."""
        result, error = self._function.invoke({"Records": [self._record(each) for each in batch]})
        failed = {each["MessageId"] for each in batch} if error else self._failed(batch, result)
        if error:
            log.warning("%s did not process %d messages: %s", self.function_arn, len(batch), result)
        sqs = self._sqs()
        for each in batch:
            if each["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])

    def _failed(self, batch: list[Params], result: Any) -> set[str]:
        """Return the ids that the function reports as failed: all of them if the report is not valid."""
        if not self.partial or not isinstance(result, dict) or not result.get("batchItemFailures"):
            return set()
        known = {each["MessageId"] for each in batch}
        reported = [
            each.get("itemIdentifier") if isinstance(each, dict) else None
            for each in result["batchItemFailures"]
        ]
        return {str(each) for each in reported} if known.issuperset(reported) else known

    def _record(self, message: Params) -> Params:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": message.get("MessageAttributes", {}),
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": self.cloud.region,
        }


class Mappings(ServiceState):
    """All mappings, by id."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_id: dict[str, Mapping] = {}
        cloud.on_stop(self._stop)

    def get(self, mapping_id: str) -> Mapping:
        if mapping_id not in self.by_id:
            raise ServiceError("ResourceNotFoundException", "The resource you requested does not exist.")
        return self.by_id[mapping_id]

    def _stop(self) -> None:
        for each in self.by_id.values():
            each.stop()


@operation("lambda", "CreateEventSourceMapping")
def create(params: Params, context: Context) -> Params:
    source = str(params.get("EventSourceArn") or "")
    if ":sqs:" not in source:
        raise NotImplementedHere(f"event sources other than SQS queues, such as {source or 'none'}")
    known = {
        "EventSourceArn", "FunctionName", "Enabled", "BatchSize", "MaximumBatchingWindowInSeconds",
        "FunctionResponseTypes", "ScalingConfig", "Tags",
    }  # fmt: skip
    if unknown := {name for name, value in params.items() if value is not None} - known:
        raise NotImplementedHere(f"{', '.join(sorted(unknown))} of an event source mapping")
    if params.get("Enabled") is False:
        raise NotImplementedHere("a mapping that begins disabled")
    size, window = int(params.get("BatchSize") or 10), int(params.get("MaximumBatchingWindowInSeconds") or 0)
    if not 1 <= size <= MAX_BATCH or not 0 <= window <= MAX_WINDOW:
        raise ServiceError("InvalidParameterValueException", "BatchSize or batching window is out of range")
    if size > MAX_WITHOUT_WINDOW and window < 1:
        message = (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
        raise ServiceError("InvalidParameterValueException", message)
    concurrency = (params.get("ScalingConfig") or {}).get("MaximumConcurrency")
    if concurrency is not None and not 2 <= concurrency <= 1000:
        raise ServiceError("InvalidParameterValueException", "MaximumConcurrency is not between 2 and 1000")
    mappings = context.state(Mappings)
    function = context.state(Functions).function(str(params["FunctionName"]))
    if any(
        each.queue_arn == source and each.function_arn == function.arn for each in mappings.by_id.values()
    ):
        message = f"An event source mapping with {source} and {function.arn} already exists."
        raise ServiceError("ResourceConflictException", message)
    limit = context.cloud.deliver_within
    made = Mapping(
        context.cloud,
        function.arn,
        source,
        size,
        window if limit is None else min(window, limit),
        "ReportBatchItemFailures" in (params.get("FunctionResponseTypes") or []),
        concurrency,
    )
    mappings.by_id[made.id] = made
    return {**made.described(), "State": "Creating"}


@operation("lambda", "GetEventSourceMapping")
def get(params: Params, context: Context) -> Params:
    return context.state(Mappings).get(params["UUID"]).described()


@operation("lambda", "ListEventSourceMappings")
def list_mappings(params: Params, context: Context) -> Params:
    source = params.get("EventSourceArn")
    found = context.state(Mappings).by_id.values()
    return {"EventSourceMappings": [each.described() for each in found if source in (None, each.queue_arn)]}


@operation("lambda", "DeleteEventSourceMapping")
def delete(params: Params, context: Context) -> Params:
    mappings = context.state(Mappings)
    gone = mappings.get(params["UUID"])
    gone.stop()
    del mappings.by_id[gone.id]
    return {**gone.described(), "State": "Deleting"}
