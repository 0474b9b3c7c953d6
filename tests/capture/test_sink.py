"""Whatever the delivery stream does, every record arrives or is counted."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from fmops.capture import FirehoseSink, Spool, encode
from fmops.capture.record import RECORD_LIMIT
from fmops.capture.sink import BATCH_RECORDS
from fmops.capture.spool import SpoolFullError
from fmops.interaction import Interaction, RawText


class Stream:
    """A delivery stream that does as it is told, call by call, and then delivers."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.delivered: list[bytes] = []
        self.calls: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def put_record_batch(
        self,
        *,
        DeliveryStreamName: str,  # noqa: N803
        Records: list[dict[str, bytes]],  # noqa: N803
    ) -> dict[str, Any]:
        assert DeliveryStreamName == "stream"
        self.open.wait(10)
        self.calls.append(len(Records))
        match self.script.pop(0) if self.script else "deliver":
            case "throttle":
                raise ClientError(
                    {"Error": {"Code": "ServiceUnavailableException", "Message": ""}}, "PutRecordBatch"
                )
            case "away":
                raise EndpointConnectionError(endpoint_url="http://stream")
            case "half":
                taken = Records[::2]
                self.delivered += [record["Data"] for record in taken]
                results = [
                    {"RecordId": "1"} if i % 2 == 0 else {"ErrorCode": "Busy"} for i in range(len(Records))
                ]
                return {"FailedPutCount": len(Records) - len(taken), "RequestResponses": results}
            case _:
                self.delivered += [record["Data"] for record in Records]
                return {"FailedPutCount": 0, "RequestResponses": [{"RecordId": "1"}] * len(Records)}

    def ids(self) -> Counter[str]:
        return Counter(json.loads(line)["interaction_id"] for line in self.delivered)


def sink(stream: Stream, directory: Path, **options: Any) -> FirehoseSink:
    fast = {"linger": 0.01, "backoff": 0.001, "retry_after": 0.02}
    return FirehoseSink(stream, "stream", Spool(directory), **{**fast, **options})


def records(count: int) -> list[Interaction]:
    return [Interaction(input=f"question {number}") for number in range(count)]


def test_every_record_is_delivered_in_full_batches(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    taker = sink(stream, tmp_path)
    sent = records(1_700)
    for record in sent:
        taker.put(record)
    stream.open.set()
    taker.close()
    assert stream.ids() == Counter(record.interaction_id for record in sent)
    assert max(stream.calls) == BATCH_RECORDS


@pytest.mark.parametrize(
    "script", [("half",), ("throttle",), ("away", "half"), ("half", "throttle", "deliver")]
)
def test_what_is_refused_is_sent_again_and_only_that(tmp_path: Path, script: tuple[str, ...]) -> None:
    stream = Stream(*script)
    taker = sink(stream, tmp_path)
    sent = records(40)
    for record in sent:
        taker.put(record)
    taker.close()
    assert stream.ids() == Counter(record.interaction_id for record in sent)


def test_an_outage_fills_the_spool_and_a_restart_empties_it(tmp_path: Path) -> None:
    stream = Stream(*["away"] * 1_000)
    taker = sink(stream, tmp_path, retry_after=60)
    sent = records(700)
    for record in sent:
        taker.put(record)
    taker.close()
    assert not stream.delivered
    assert Spool(tmp_path).waiting() == 700

    stream.script.clear()
    again = sink(stream, tmp_path)
    again.put(last := Interaction())
    wait_until_empty(tmp_path)
    again.close()
    assert stream.ids() == Counter(record.interaction_id for record in [*sent, last])


def test_after_an_outage_the_same_process_drains_its_spool(tmp_path: Path) -> None:
    stream = Stream(*["throttle"] * 3)
    taker = sink(stream, tmp_path)
    taker.put(first := Interaction())
    wait_until_empty(tmp_path, at_first=True)
    taker.close()
    assert stream.ids() == Counter([first.interaction_id])


def test_segments_are_drained_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    lines = [record.line() for record in records(3)]
    for line in lines:
        spool.write([line])
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_until_empty(tmp_path)
    taker.close()
    assert stream.delivered == lines


def test_put_never_waits_for_a_stream_that_hangs(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    taker = sink(stream, tmp_path, memory_limit=5)
    sent = records(50)
    for record in sent:
        taker.put(record)
    assert Spool(tmp_path).waiting() >= 50 - 5 - BATCH_RECORDS
    stream.open.set()
    taker.close()
    wait = sink(stream, tmp_path)
    wait_until_empty(tmp_path)
    wait.close()
    assert set(stream.ids()) == {record.interaction_id for record in sent}


def test_with_a_full_disk_records_wait_in_memory_and_lost_is_what_finds_no_room_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fmops.capture.spool.os.fsync", refuse)
    stream = Stream(*["away"] * 3)
    stream.open.clear()
    taker = sink(stream, tmp_path, memory_limit=3)
    sent = records(5)
    for record in sent:
        taker.put(record)
    stream.open.set()
    assert taker.flush()
    taker.close()
    lost = caplog.text.count("lost 1 captured records")
    assert lost >= 1
    assert len(stream.ids()) == 5 - lost
    assert [each.name for each in tmp_path.iterdir()] == [".lock"]


def test_with_a_full_disk_a_stop_during_an_outage_counts_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, limit_bytes=10)
    taker = FirehoseSink(Stream(*["away"] * 99), "stream", spool, linger=0, backoff=0, retry_after=60)
    taker.put(Interaction(input="secret question"))
    taker.close()
    assert "lost 1 captured records" in caplog.text
    assert "secret question" not in caplog.text


def test_a_spool_that_cannot_be_read_does_not_stop_the_delivery_of_new_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "0001-1-000000.jsonl").symlink_to("/proc/self/mem")  # reading it fails
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_for(lambda: "spool segment 0001-1-000000.jsonl: OSError" in caplog.text)
    taker.put(sent := Interaction())
    taker.close()
    assert sent.interaction_id in stream.ids() or Spool(tmp_path).waiting() == 1


def test_memory_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    taker = sink(stream, tmp_path, memory_bytes=10_000)
    sent = [Interaction(input="x" * 4_000) for _ in range(10)]
    for record in sent:
        taker.put(record)
    assert sum(map(len, taker._queue)) <= 10_000
    assert Spool(tmp_path).waiting() >= 5
    stream.open.set()
    taker.close()
    sink(stream, tmp_path).close()
    assert len(stream.ids()) + Spool(tmp_path).waiting() == 10


KILLED = """
import os, sys
from pathlib import Path
from botocore.exceptions import EndpointConnectionError
from fmops.capture import FirehoseSink, Spool
from fmops.interaction import Interaction, RawText

class Away:
    def put_record_batch(self, **_):
        raise EndpointConnectionError(endpoint_url="http://stream")

sink = FirehoseSink(Away(), "stream", Spool(Path(sys.argv[1])), linger=60, memory_limit=40, retry_after=60)
for number in range(100):
    sink.put(Interaction(interaction_id=f"int-{number:032d}"))
print(sink.waiting(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_kill_loses_at_most_what_was_in_memory_and_the_spool_is_delivered_afterwards(
    tmp_path: Path,
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.decode().strip() == "{'memory': 40, 'spool': 60}"
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_until_empty(tmp_path)
    taker.close()
    assert set(stream.ids()) == {f"int-{number:032d}" for number in range(40, 100)}


@pytest.mark.parametrize("raw", [False, True])
def test_a_record_over_the_limit_is_cut_with_a_mark(raw: bool) -> None:
    texts = {"input": "why?", "output": "ä🙂" * RECORD_LIMIT}
    line = encode(RawText(interaction_id="int-1", **texts) if raw else Interaction(**texts))
    record = json.loads(line)
    assert len(line) <= RECORD_LIMIT
    assert record["truncated"]
    assert record["output"].endswith("[truncated]")
    assert record["input"] == "why?"


@pytest.mark.parametrize("letter", ["a", "ä", "漢", "🙂", '"', "\\", "\x01", "\n", 'ä"🙂\\\x01a'])
def test_no_more_is_cut_than_the_limit_asks_for(letter: str) -> None:
    limit = 20_000
    whole = letter * limit
    for spare in range(12):
        line = encode(Interaction(interaction_id="int-1", input="x" * spare, output=whole), limit)
        kept = json.loads(line)["output"].removesuffix("[truncated]").rstrip()
        assert limit - 30 < len(line) <= limit
        assert whole.startswith(kept)


def test_both_texts_are_cut_when_both_are_long() -> None:
    line = encode(Interaction(input="a" * RECORD_LIMIT, output="b" * RECORD_LIMIT))
    assert len(line) <= RECORD_LIMIT
    assert json.loads(line)["truncated"]


def test_a_segment_that_a_killed_process_left_is_taken_over_up_to_its_last_whole_line(tmp_path: Path) -> None:
    whole, cut = Interaction().line(), Interaction().line()[:40]
    (tmp_path / "0001-1-000000.partial").write_bytes(whole + cut)
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_until_empty(tmp_path)
    taker.close()
    assert stream.delivered == [whole]
    assert next(tmp_path.glob("*.corrupt")).read_bytes() == cut


def test_the_spool_refuses_more_than_its_limit_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=100)
    spool.write([b"{}\n"] * 20)
    with pytest.raises(SpoolFullError):
        spool.write([b"{}\n"] * 20)
    assert spool.waiting() == 20


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about")


def wait_until_empty(directory: Path, *, at_first: bool = False) -> None:
    """Wait until no segment waits; with ``at_first``, until one has waited and is gone."""
    pause = threading.Event()
    seen = not at_first
    for _ in range(1_000):
        waiting = list(directory.glob("*.jsonl"))
        seen = seen or bool(waiting)
        if seen and not waiting:
            return
        pause.wait(0.01)
    raise AssertionError("the spool was not drained")
