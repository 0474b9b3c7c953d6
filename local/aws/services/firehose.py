"""Data Firehose to S3: buffers by size and interval, prefixes, gzip, delivered in the background under the delivery role."""

from __future__ import annotations

import gzip
import logging
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud

log = logging.getLogger("local.firehose")

SERVICE = "firehose"
MAX_RECORD_BYTES = 1_000 * 1024
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024
DESTINATIONS = ("ExtendedS3DestinationConfiguration", "S3DestinationConfiguration")
DEFAULT_INTERVAL_SECONDS = 300
DEFAULT_SIZE_MB = 5
JAVA_TIME_TO_STRFTIME = (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))
EXPRESSION = re.compile(r"!\{(timestamp|firehose):([^}]+)\}")


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
    undelivered: list[bytes] = field(
        default_factory=list
    )  # whole objects that S3 refused; sent again with the next
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
        processors = (self.destination.get("ProcessingConfiguration") or {}).get("Processors", [])
        return (
            b"\n" if any(processor["Type"] == "AppendDelimiterToRecord" for processor in processors) else b""
        )


class DeliveryStreams(ServiceState):
    """All streams and the one thread that delivers them."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_name: dict[str, DeliveryStream] = {}
        self._changed = threading.Condition()
        self._delivery = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="firehose", daemon=True)
        self._thread.start()
        cloud.on_stop(self.stop)

    def put(self, stream: DeliveryStream, records: list[bytes]) -> None:
        with self._changed:
            if not stream.records:
                stream.since = time.monotonic()
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
            pending, stream.undelivered = stream.undelivered, []
            if records:
                pending.append(b"".join(records))
            for body in pending:
                try:
                    self._write(stream, body)
                    stream.delivered_objects += 1
                    stream.last_error = ""
                except Exception as error:  # noqa: BLE001 - whatever S3 or IAM say is the delivery's error
                    stream.undelivered.append(body)
                    stream.last_error = str(error)
                    log.error(
                        "DELIVERY FAILED from %s to %s: %s",
                        stream.name,
                        stream.destination["BucketARN"],
                        error,
                    )

    def _write(self, stream: DeliveryStream, body: bytes) -> None:
        role = self.cloud.assume(stream.destination["RoleARN"], "firehose.amazonaws.com")
        compressed = stream.destination.get("CompressionFormat", "UNCOMPRESSED") == "GZIP"
        extra: dict[str, str] = {}
        encryption = (stream.destination.get("EncryptionConfiguration") or {}).get("KMSEncryptionConfig")
        if encryption:
            extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["AWSKMSKeyARN"]}
        self.cloud.client("s3", role=role).put_object(
            Bucket=stream.destination["BucketARN"].rsplit(":", 1)[-1],
            Key=object_key(stream, datetime.now(UTC)),
            Body=gzip.compress(body) if compressed else body,
            ContentType="application/octet-stream",
            **extra,
        )


def object_key(stream: DeliveryStream, now: datetime) -> str:
    """The key as Firehose makes it: the prefix's expressions filled in, or yyyy/MM/dd/HH/ when it has no timestamp."""
    local_time = now.astimezone(ZoneInfo(stream.destination.get("CustomTimeZone") or "UTC"))

    def fill(match: re.Match[str]) -> str:
        if match[1] == "timestamp":
            return _java_time(match[2], local_time)
        if match[2] == "random-string":
            return uuid.uuid4().hex[:11]
        raise NotImplementedHere(f"prefix expression !{{{match[1]}:{match[2]}}}")

    prefix = stream.destination.get("Prefix") or ""
    filled = EXPRESSION.sub(fill, prefix)
    if "!{timestamp" not in prefix:
        filled += local_time.strftime("%Y/%m/%d/%H/")
    extension = stream.destination.get("FileExtension")
    if extension is None:
        extension = ".gz" if stream.destination.get("CompressionFormat") == "GZIP" else ""
    return f"{filled}{stream.name}-1-{local_time.strftime('%Y-%m-%d-%H-%M-%S')}-{uuid.uuid4()}{extension}"


def _java_time(pattern: str, moment: datetime) -> str:
    for java, python in JAVA_TIME_TO_STRFTIME:
        pattern = pattern.replace(java, python)
    return moment.strftime(pattern.replace("'", ""))


@operation(SERVICE, "CreateDeliveryStream")
def create_delivery_stream(params: Params, context: Context) -> Params:
    streams = context.state(DeliveryStreams)
    name = params["DeliveryStreamName"]
    if name in streams.by_name:
        raise ServiceError(
            "ResourceInUseException", f"Firehose {name} under account {context.account} already exists."
        )
    destination = next((params[key] for key in DESTINATIONS if params.get(key)), None)
    if destination is None or params.get("DeliveryStreamType", "DirectPut") != "DirectPut":
        raise NotImplementedHere("only DirectPut streams to S3 are delivered")
    _check_destination(destination)
    arn = context.arn(SERVICE, f"deliverystream/{name}")
    encryption = params.get("DeliveryStreamEncryptionConfigurationInput")
    streams.by_name[name] = DeliveryStream(
        name, arn, destination, datetime.now(UTC), context.account, context.region, encryption
    )
    return {"DeliveryStreamARN": arn}


def _check_destination(destination: Params) -> None:
    unsupported = [
        processor["Type"]
        for processor in (destination.get("ProcessingConfiguration") or {}).get("Processors", [])
        if processor["Type"] != "AppendDelimiterToRecord"
    ]
    features = ("DataFormatConversionConfiguration", "DynamicPartitioningConfiguration")
    unsupported += [feature for feature in features if (destination.get(feature) or {}).get("Enabled")]
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
        raise ServiceError(
            "InvalidArgumentException", f"A batch has 1 to {MAX_BATCH_RECORDS} records, not {len(records)}"
        )
    sizes = [len(record["Data"]) for record in records]
    if max(sizes) > MAX_RECORD_BYTES:
        raise ServiceError(
            "InvalidArgumentException", f"A record of {max(sizes)} bytes exceeds {MAX_RECORD_BYTES}"
        )
    if sum(sizes) > MAX_BATCH_BYTES:
        raise ServiceError(
            "InvalidArgumentException", f"A batch of {sum(sizes)} bytes exceeds {MAX_BATCH_BYTES}"
        )


def _record_id() -> str:
    return uuid.uuid4().hex * 4
