"""No interaction is lost on the way to S3: under load, through an outage, throttling, partial failures
and a restart."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from fmops.capture import FirehoseSink, Spool, lake
from fmops.interaction import Interaction
from local.aws.kernel.cloud import Cloud
from local.aws.services.firehose import DeliveryStreams

RECORDS = 20_000
PRODUCERS = 4


class FaultyStream:
    """The local AWS's Firehose with faults: away for its first calls, then by turns throttling, failing in
    part, and accepting records without an answer, until it is told to recover."""

    def __init__(self, firehose: Any, seed: int) -> None:
        self._firehose = firehose
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.recovered = False
        self.calls = 0
        self.faults: Counter[str] = Counter()
        self.delivered = 0

    def put_record_batch(
        self,
        *,
        DeliveryStreamName: str,  # noqa: N803
        Records: list[dict[str, bytes]],  # noqa: N803
    ) -> dict[str, Any]:
        with self._lock:
            self.calls += 1
            fault = "none" if self.recovered else self._fault()
            self.faults[fault] += 1
            if fault == "away":
                raise EndpointConnectionError(endpoint_url="http://stream")
            if fault == "throttled":
                raise ClientError(
                    {"Error": {"Code": "ServiceUnavailableException", "Message": ""}}, "PutRecordBatch"
                )
            refused = {n for n in range(len(Records)) if fault == "partial" and self._random.random() < 0.5}
            taken = [record for n, record in enumerate(Records) if n not in refused]
            if taken:
                self._firehose.put_record_batch(DeliveryStreamName=DeliveryStreamName, Records=taken)
            self.delivered += len(taken)
            if fault == "unanswered":
                raise ReadTimeoutError(endpoint_url="http://stream")
            responses = [
                {"ErrorCode": "Busy"} if n in refused else {"RecordId": "1"} for n in range(len(Records))
            ]
            return {"FailedPutCount": len(refused), "RequestResponses": responses}

    def _fault(self) -> str:
        if self.calls <= 12:
            return "away"
        return ("partial", "throttled", "none", "unanswered", "partial")[self.calls % 5]


def start(stream: FaultyStream, directory: Path) -> FirehoseSink:
    return FirehoseSink(stream, "records", Spool(directory), linger=0.01, backoff=0.001, retry_after=0.02)


def produce(sink: FirehoseSink, records: list[Interaction]) -> None:
    parts = [records[start::PRODUCERS] for start in range(PRODUCERS)]
    threads = [
        threading.Thread(target=lambda part: [sink.put(record) for record in part], args=(part,))
        for part in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(6_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about within a minute")


def make_stream(cloud: Cloud) -> Any:
    s3, firehose = cloud.client("s3"), cloud.client("firehose")
    s3.create_bucket(Bucket="lake")
    role = cloud.client("iam").create_role(RoleName="delivery", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    destination = {
        "RoleARN": role,
        "BucketARN": "arn:aws:s3:::lake",
        "Prefix": "interactions/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "CompressionFormat": "GZIP",
    }
    firehose.create_delivery_stream(
        DeliveryStreamName="records", ExtendedS3DestinationConfiguration=destination
    )
    return firehose


def test_twenty_thousand_interactions_survive_faults_and_a_restart(tmp_path: Path, cloud: Cloud) -> None:
    stream = FaultyStream(make_stream(cloud), seed=7)
    spool = tmp_path / "spool"
    records = [Interaction(input=f"question {number}") for number in range(RECORDS)]

    first = start(stream, spool)
    produce(first, records[: RECORDS // 2])
    first.close()
    second = start(stream, spool)
    produce(second, records[RECORDS // 2 :])
    wait_for(lambda: {"throttled", "partial", "unanswered"} <= set(stream.faults))
    stream.recovered = True
    second.close()
    third = start(stream, spool)
    wait_for(lambda: not list(spool.glob("*.jsonl")))
    third.close()

    cloud.state(DeliveryStreams).flush()
    lake.fetch(cloud.client("s3"), "lake", tmp_path)
    connection = lake.connect(tmp_path)
    [(lines,)] = connection.execute("SELECT count(*) FROM interactions").fetchall()
    ids = [row[0] for row in lake.dataset(connection).project("interaction_id").fetchall()]
    table = {
        "sent": RECORDS,
        "lines in S3": lines,
        "ids in S3": len(set(ids)),
        "ids in the dataset more than once": len(ids) - len(set(ids)),
        "calls by fault": dict(stream.faults),
    }
    print("\n" + "\n".join(f"{name:36} {value}" for name, value in table.items()))
    assert sorted(ids) == sorted(record.interaction_id for record in records)
    assert lines > RECORDS, "something was delivered twice, so that deduplication is tried"
    assert {"away", "throttled", "partial", "unanswered"} <= set(stream.faults)
