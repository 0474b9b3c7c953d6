"""Under load, through an outage, throttling, partial failures and a restart, no interaction is lost."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from fmops.capture import FirehoseSink, Spool
from fmops.interaction import Interaction

RECORDS = 20_000
PRODUCERS = 4


class FaultyStream:
    """Away for its first calls, then throttling and failing in part by turns, until it is told to recover."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.recovered = False
        self.calls = 0
        self.faults: Counter[str] = Counter()
        self.delivered: list[bytes] = []

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[dict[str, bytes]]) -> dict[str, Any]:  # noqa: N803
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
            self.delivered += [record["Data"] for n, record in enumerate(Records) if n not in refused]
            responses = [
                {"ErrorCode": "Busy"} if n in refused else {"RecordId": "1"} for n in range(len(Records))
            ]
            return {"FailedPutCount": len(refused), "RequestResponses": responses}

    def _fault(self) -> str:
        if self.calls <= 12:
            return "away"
        return ("partial", "throttled", "none", "partial")[self.calls % 4]

    def ids(self) -> Counter[str]:
        return Counter(json.loads(line)["interaction_id"] for line in self.delivered)


def start(stream: FaultyStream, directory: Path) -> FirehoseSink:
    return FirehoseSink(stream, "stream", Spool(directory), linger=0.01, backoff=0.001, retry_after=0.02)


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


def test_twenty_thousand_interactions_survive_faults_and_a_restart(tmp_path: Path) -> None:
    stream = FaultyStream(seed=7)
    records = [Interaction(input=f"question {number}") for number in range(RECORDS)]

    first = start(stream, tmp_path)
    produce(first, records[: RECORDS // 2])
    first.close()
    second = start(stream, tmp_path)
    produce(second, records[RECORDS // 2 :])
    wait_for(lambda: stream.faults["partial"] >= 2 and stream.faults["throttled"] >= 1)
    stream.recovered = True
    second.close()
    third = start(stream, tmp_path)
    wait_for(lambda: not list(tmp_path.glob("*.jsonl")))
    third.close()

    ids = stream.ids()
    table = {
        "sent": RECORDS,
        "arrived, deduplicated": len(ids),
        "arrived more than once": sum(count > 1 for count in ids.values()),
        "calls by fault": dict(stream.faults),
    }
    print("\n".join(f"{name:24} {value}" for name, value in table.items()))
    assert set(ids) == {record.interaction_id for record in records}
    assert {"away", "throttled", "partial"} <= set(stream.faults)
