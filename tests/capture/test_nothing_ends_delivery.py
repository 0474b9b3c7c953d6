"""No answer of the stream and no fault of the disk stops the delivery of records, and no record is
delivered by two."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from fmops.capture import FirehoseSink, Spool
from fmops.capture import sink as module
from fmops.interaction import Interaction
from tests.capture.test_sink import Stream, records, sink, wait_for


class Odd(Stream):
    """A stream that returns or raises what it was given, call by call, without accepting a record;
    then it recovers."""

    def __init__(self, *oddities: Any) -> None:
        super().__init__()
        self.oddities = list(oddities)

    def put_record_batch(self, **given: Any) -> Any:
        if self.oddities:
            oddity = self.oddities.pop(0)
            if isinstance(oddity, BaseException):
                raise oddity
            return oddity
        return super().put_record_batch(**given)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    monkeypatch.setattr(module, "_count", lambda result, number: counts.update({result: number}))
    return counts


ODDITIES: list[Any] = [
    None,
    {},
    [],
    "<html>",
    {"RequestResponses": None},
    {"RequestResponses": []},
    {"FailedPutCount": 0, "RequestResponses": [{"RecordId": "1"}] * 7},
    {"RequestResponses": [None]},
    {"RequestResponses": ["1"]},
    {"RequestResponses": [{}]},
    {"RequestResponses": [{"RecordId": "", "ErrorCode": None}]},
    {"RequestResponses": {"RecordId": "1"}},
    ResponseParserError("not JSON"),
    OSError(errno.EMFILE, "Too many open files"),
    ValueError("I/O operation on closed file"),
    RuntimeError("cannot schedule new futures after shutdown"),
    MemoryError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda each: repr(each)[:40])
@pytest.mark.parametrize("times", [1, 5])
def test_an_odd_answer_ends_nothing(tmp_path: Path, oddity: Any, times: int, counted: Counter[str]) -> None:
    stream = Odd(*[oddity] * times)
    taker = sink(stream, tmp_path)
    taker.put(first := Interaction())
    wait_for(lambda: first.interaction_id in stream.ids())
    taker.put(second := Interaction())
    wait_for(lambda: second.interaction_id in stream.ids())
    taker.close()
    assert counted["delivered"] == len(stream.ids()) == 2
    assert (counted["spooled"] > 0) == (times > 3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_all_the_same_is_replaced_and_its_batch_is_kept(tmp_path: Path) -> None:
    stream = Odd(SystemExit())
    taker = sink(stream, tmp_path)
    taker.put(first := Interaction())
    wait_for(lambda: not taker._worker.is_alive())
    taker.put(second := Interaction())
    wait_for(lambda: {first.interaction_id, second.interaction_id} <= set(stream.ids()))
    taker.close()


def test_records_that_do_not_move_are_seen(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    taker = sink(stream, tmp_path)
    assert taker.stalled() == 0
    taker.put(Interaction())
    wait_for(lambda: taker.stalled() > 0.02)
    stream.open.set()
    assert taker.flush()
    assert taker.stalled() == 0
    taker.close()


@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "Too many open files"), RuntimeError("odd")])
@pytest.mark.parametrize("method", ["write", "segments", "own", "read"])
def test_a_fault_of_the_spool_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, fault: Exception
) -> None:
    stream = Stream("away", "away", "away")
    taker = sink(stream, tmp_path)
    was = getattr(Spool, method)
    faults = iter([fault, fault])

    def faulty(*given: Any) -> Any:
        for each in faults:
            raise each
        return was(*given)

    monkeypatch.setattr(Spool, method, faulty)
    taker.put(first := Interaction())
    wait_for(lambda: first.interaction_id in stream.ids())
    taker.put(second := Interaction())
    wait_for(lambda: second.interaction_id in stream.ids())
    taker.close()


def test_a_record_that_cannot_be_written_is_counted(tmp_path: Path, counted: Counter[str]) -> None:
    taker = sink(Stream(), tmp_path)
    taker.put(object())  # type: ignore[arg-type]
    taker.close()
    assert counted["lost"] == 1


def test_a_spool_that_became_read_only_sends_its_records_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    lines = [record.line() for record in records(300)]
    Spool(tmp_path).write(lines)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for each in ("unlink", "rename", "write_bytes"):
        monkeypatch.setattr(Path, each, refuse)
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_for(lambda: len(stream.delivered) >= 300)
    for number in range(5):
        taker.put(Interaction(input=f"later {number}"))
        assert taker.flush()
        threading.Event().wait(0.05)
    assert set(stream.ids().values()) == {1}
    assert len(stream.ids()) == 305
    assert taker.waiting() == {"memory": 0, "spool": 0}
    taker.close()
    assert counted["lost"] == 0


def test_a_damaged_segment_on_a_full_disk_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    good = [record.line() for record in records(3)]
    (tmp_path / "0001-1-000000.jsonl").write_bytes(good[0] + b'{"cut')
    for line in good[1:]:
        Spool(tmp_path).write([line])

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_for(lambda: not list(tmp_path.glob("*.jsonl")))
    taker.close()
    assert stream.delivered == good
    assert counted["lost"] == 1
    assert b'{"cut' in (tmp_path / "0001-1-000000.corrupt").read_bytes()


def test_a_segment_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "0001-1-000000.jsonl").symlink_to("/proc/self/mem")
    Spool(tmp_path).write([(record := Interaction()).line()])
    stream = Stream()
    taker = sink(stream, tmp_path)
    wait_for(lambda: record.interaction_id in stream.ids())
    taker.put(late := Interaction())
    wait_for(lambda: late.interaction_id in stream.ids())
    taker.close()


def test_two_sinks_on_one_spool_deliver_each_record_once_and_the_second_takes_over(tmp_path: Path) -> None:
    for record in records(41):
        Spool(tmp_path).write([record.line()])
    one, other = Stream(), Stream()
    first, second = sink(one, tmp_path), sink(other, tmp_path)
    wait_for(lambda: not list(tmp_path.glob("*.jsonl")))
    both = one.ids() + other.ids()
    assert (len(both), set(both.values())) == (41, {1})
    first.close()
    Spool(tmp_path).write([(left := Interaction()).line()])
    wait_for(lambda: left.interaction_id in other.ids())
    second.close()


def test_a_segment_that_another_is_writing_is_not_taken_over(
    tmp_path: Path, hanging_disk: threading.Event
) -> None:
    writer = Spool(tmp_path)
    writing = threading.Thread(target=writer.write, args=([Interaction().line()],))
    writing.start()
    wait_for(lambda: bool(list(tmp_path.glob("*.partial"))))
    assert Spool(tmp_path).own()
    assert list(tmp_path.glob("*.partial"))
    hanging_disk.set()
    writing.join()
    assert writer.waiting() == 1


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    released = threading.Event()
    monkeypatch.setattr("fmops.capture.spool.os.fsync", lambda _: released.wait(20))
    yield released
    released.set()


@pytest.mark.parametrize("durable", [False, True])
def test_a_stop_while_the_stream_is_away_counts_what_goes_with_the_disk(
    tmp_path: Path, counted: Counter[str], durable: bool
) -> None:
    stream = Stream(*["away"] * 1_000)
    taker = FirehoseSink(
        stream, "stream", Spool(tmp_path, durable=durable), linger=0.01, backoff=0, retry_after=60
    )
    for record in records(30):
        taker.put(record)
    taker.close(5)
    taker.put(Interaction())
    assert counted["lost"] == (0 if durable else 31)
    assert Spool(tmp_path).waiting() == 31


def test_a_stop_delivers_what_waits_on_the_disk(tmp_path: Path, counted: Counter[str]) -> None:
    stream = Stream("away", "away", "away")
    taker = sink(stream, tmp_path, retry_after=60)
    for record in records(30):
        taker.put(record)
    wait_for(lambda: taker.waiting() == {"memory": 0, "spool": 30})
    taker.close(20)
    assert len(stream.ids()) == 30
    assert counted["lost"] == 0


def test_a_stop_while_the_stream_hangs_ends_in_time_and_counts_the_batch_under_way(
    tmp_path: Path, counted: Counter[str]
) -> None:
    stream = Stream()
    stream.open.clear()
    taker = sink(stream, tmp_path, linger=0)
    for record in records(20):
        taker.put(record)
    wait_for(lambda: bool(taker._batch))
    taker.close(0.1)
    assert counted["lost"] == 20
    stream.open.set()
    taker._worker.join(20)
