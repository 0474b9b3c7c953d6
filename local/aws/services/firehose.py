"""Data Firehose to S3: buffers by size and interval, prefixes, gzip, delivered in the background under the delivery
role."""

from __future__ import annotations

import gzip
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.constraints import constrained
from local.aws.services import firehose_prefix
from local.aws.services.firehose_prefix import invalid, object_key

log = logging.getLogger("local.firehose")

SERVICE = "firehose"
MAX_RECORD_BYTES = 1_000 * 1024
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024
DESTINATIONS = ("ExtendedS3DestinationConfiguration", "S3DestinationConfiguration")
DEFAULT_INTERVAL_SECONDS = 300
DEFAULT_SIZE_MB = 5
DESTINATION = "DestinationConfiguration"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Batch:
    """The content of an object, and when the oldest of its records arrived, which its key tells."""

    oldest: datetime
    body: bytes


@dataclass
class DeliveryStream:
    name: str
    arn: str
    destination: Params
    created: datetime
    account: str
    region: str
    encryption: Params | None = None
    records: list[bytes] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    oldest: datetime = NEVER
    undelivered: list[Batch] = field(default_factory=list)  # refused by S3; sent again with the next
    delivered_objects: int = 0
    last_error: str = ""

    def interval(self, at_most: float | None) -> float:
        seconds = float(self._hint("IntervalInSeconds", DEFAULT_INTERVAL_SECONDS))
        return seconds if at_most is None else min(seconds, at_most)

    @property
    def is_full(self) -> bool:
        return self.size >= int(self._hint("SizeInMBs", DEFAULT_SIZE_MB)) * 1024 * 1024

    def _hint(self, name: str, default: int) -> int:
        return int((self.destination.get("BufferingHints") or {}).get(name, default))

    @property
    def delimiter(self) -> bytes:
        return b"\n" if "AppendDelimiterToRecord" in _processors(self.destination) else b""


class DeliveryStreams(ServiceState):
    """All streams and the one thread that delivers them."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_name: dict[str, DeliveryStream] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._changed = threading.Condition()
        self._delivery = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="firehose", daemon=True)
        self._thread.start()
        cloud.on_stop(self.stop)

    def put(self, stream: DeliveryStream, records: list[bytes]) -> None:
        with self._changed:
            if not stream.records:
                stream.since, stream.oldest = time.monotonic(), self.now()
            stream.records.extend(record + stream.delimiter for record in records)
            stream.size += sum(map(len, records))
            self._changed.notify()

    def flush(self, name: str | None = None) -> dict[str, Any]:
        """Deliver what is buffered now; per stream, the objects written so far and the last error."""
        for stream in list(self.by_name.values()):
            if name in (None, stream.name):
                self._deliver(stream)
        return {
            stream.name: {
                "objects": stream.delivered_objects,
                "buffered": len(stream.records),
                "error": stream.last_error,
            }
            for stream in self.by_name.values()
        }

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout=5)
        self.flush()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(timeout=self._next_due())
                if self._stopping:
                    return
            now = time.monotonic()
            for stream in list(self.by_name.values()):
                if stream.is_full or (
                    stream.records and now - stream.since >= stream.interval(self.cloud.deliver_within)
                ):
                    self._deliver(stream)

    def _next_due(self) -> float | None:
        waiting = [stream for stream in self.by_name.values() if stream.records]
        if any(stream.is_full for stream in waiting):
            return 0
        now = time.monotonic()
        return (
            max(
                0.0,
                min(stream.since + stream.interval(self.cloud.deliver_within) - now for stream in waiting),
            )
            if waiting
            else None
        )

    def _deliver(self, stream: DeliveryStream) -> None:
        with self._delivery:
            with self._changed:
                records, stream.records, stream.size = stream.records, [], 0
                oldest = stream.oldest
            pending, stream.undelivered = stream.undelivered, []
            if records:
                pending.append(Batch(oldest, b"".join(records)))
            for batch in pending:
                try:
                    self._write(stream, batch)
                    stream.delivered_objects += 1
                    stream.last_error = ""
                except Exception as error:  # noqa: BLE001 - whatever S3 or IAM say is the delivery's error
                    stream.undelivered.append(batch)
                    stream.last_error = str(error)
                    log.error(
                        "DELIVERY FAILED from %s to %s: %s",
                        stream.name,
                        stream.destination["BucketARN"],
                        error,
                    )

    def _write(self, stream: DeliveryStream, batch: Batch) -> None:
        role = self.cloud.assume(
            stream.destination["RoleARN"], "firehose.amazonaws.com", source_arn=stream.arn
        )
        compressed = stream.destination.get("CompressionFormat", "UNCOMPRESSED") == "GZIP"
        extra: dict[str, str] = {}
        encryption = (stream.destination.get("EncryptionConfiguration") or {}).get("KMSEncryptionConfig")
        if encryption:
            extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["AWSKMSKeyARN"]}
        self.cloud.client("s3", role=role).put_object(
            Bucket=stream.destination["BucketARN"].rsplit(":", 1)[-1],
            Key=object_key(stream.destination, stream.name, batch.oldest),
            Body=gzip.compress(batch.body) if compressed else batch.body,
            ContentType="application/octet-stream",
            **extra,
        )


@constrained(SERVICE, "CreateDeliveryStream", error="InvalidArgumentException")
def create_delivery_stream(params: Params, context: Context) -> Params:
    streams = context.state(DeliveryStreams)
    name = params["DeliveryStreamName"]
    destination = _destination(params)
    encryption = params.get("DeliveryStreamEncryptionConfigurationInput")
    if encryption and encryption["KeyType"] == "CUSTOMER_MANAGED_CMK" and not encryption.get("KeyARN"):
        raise invalid("A KeyARN is required for the key type CUSTOMER_MANAGED_CMK")
    if name in streams.by_name:
        raise ServiceError(
            "ResourceInUseException", f"Firehose {name} under account {context.account} already exists."
        )
    arn = context.arn(SERVICE, f"deliverystream/{name}")
    streams.by_name[name] = DeliveryStream(
        name, arn, destination, datetime.now(UTC), context.account, context.region, encryption
    )
    return {"DeliveryStreamARN": arn}


def _destination(params: Params) -> Params:
    """The one destination of a request, as the service and the local AWS take it."""
    given = [name for name in params if name.endswith(DESTINATION) and params[name]]
    if len(given) != 1:
        raise invalid(f"Exactly one destination configuration is required, not {len(given)}")
    if given[0] not in DESTINATIONS or params.get("DeliveryStreamType", "DirectPut") != "DirectPut":
        raise NotImplementedHere("only DirectPut streams to S3 are delivered")
    destination: Params = params[given[0]]
    hints = destination.get("BufferingHints")
    if hints and len(hints.keys() & {"SizeInMBs", "IntervalInSeconds"}) == 1:
        raise invalid("BufferingHints need both SizeInMBs and IntervalInSeconds, or neither")
    _check_implemented(destination)
    firehose_prefix.check(destination)
    return destination


def _processors(destination: Params) -> list[str]:
    """The kinds of processors that are switched on."""
    processing = destination.get("ProcessingConfiguration") or {}
    return [each["Type"] for each in processing.get("Processors", [])] if processing.get("Enabled") else []


def _check_implemented(destination: Params) -> None:
    unsupported = [each for each in _processors(destination) if each != "AppendDelimiterToRecord"]
    features = ("DataFormatConversionConfiguration", "DynamicPartitioningConfiguration")
    # Data format conversion is on unless it is switched off.
    unsupported += [
        feature
        for feature in features
        if destination.get(feature) and destination[feature].get("Enabled", feature == features[0])
    ]
    if destination.get("S3BackupMode", "Disabled") != "Disabled":
        unsupported.append("S3BackupMode")
    compression = destination.get("CompressionFormat", "UNCOMPRESSED")
    if compression not in ("GZIP", "UNCOMPRESSED"):
        unsupported.append(f"CompressionFormat {compression}")
    if unsupported:
        raise NotImplementedHere(", ".join(unsupported))


def _stream(params: Params, context: Context) -> DeliveryStream:
    name = params["DeliveryStreamName"]
    streams = context.state(DeliveryStreams).by_name
    if name not in streams:
        raise ServiceError(
            "ResourceNotFoundException", f"Firehose {name} under account {context.account} not found."
        )
    return streams[name]


@operation(SERVICE, "DescribeDeliveryStream")
def describe_delivery_stream(params: Params, context: Context) -> Params:
    stream = _stream(params, context)
    return {
        "DeliveryStreamDescription": {
            "DeliveryStreamName": stream.name,
            "DeliveryStreamARN": stream.arn,
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": "DirectPut",
            "DeliveryStreamEncryptionConfiguration": {"Status": "ENABLED", **stream.encryption}
            if stream.encryption
            else None,
            "VersionId": "1",
            "CreateTimestamp": stream.created,
            "HasMoreDestinations": False,
            "Destinations": [
                {
                    "DestinationId": "destinationId-000000000001",
                    "ExtendedS3DestinationDescription": stream.destination,
                }
            ],
        }
    }


@operation(SERVICE, "ListDeliveryStreams")
def list_delivery_streams(_: Params, context: Context) -> Params:
    return {
        "DeliveryStreamNames": sorted(context.state(DeliveryStreams).by_name),
        "HasMoreDeliveryStreams": False,
    }


@operation(SERVICE, "DeleteDeliveryStream")
def delete_delivery_stream(params: Params, context: Context) -> Params:
    del context.state(DeliveryStreams).by_name[_stream(params, context).name]
    return {}


@operation(SERVICE, "PutRecord")
def put_record(params: Params, context: Context) -> Params:
    stream = _stream(params, context)
    _check_records([params["Record"]])
    context.state(DeliveryStreams).put(stream, [params["Record"]["Data"]])
    return {"RecordId": _record_id(), "Encrypted": stream.encryption is not None}


@operation(SERVICE, "PutRecordBatch")
def put_record_batch(params: Params, context: Context) -> Params:
    stream = _stream(params, context)
    records = params["Records"]
    _check_records(records)
    context.state(DeliveryStreams).put(stream, [record["Data"] for record in records])
    return {
        "FailedPutCount": 0,
        "Encrypted": stream.encryption is not None,
        "RequestResponses": [{"RecordId": _record_id()} for _ in records],
    }


def _check_records(records: list[Params]) -> None:
    if not 1 <= len(records) <= MAX_BATCH_RECORDS:
        raise invalid(f"A batch has 1 to {MAX_BATCH_RECORDS} records, not {len(records)}")
    sizes = [len(record["Data"]) for record in records]
    if max(sizes) > MAX_RECORD_BYTES:
        raise invalid(f"A record of {max(sizes)} bytes exceeds {MAX_RECORD_BYTES}")
    if sum(sizes) > MAX_BATCH_BYTES:
        raise invalid(f"A batch of {sum(sizes)} bytes exceeds {MAX_BATCH_BYTES}")


def _record_id() -> str:
    return uuid.uuid4().hex * 4
