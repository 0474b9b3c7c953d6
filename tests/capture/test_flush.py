"""A flush does not wait for a batch to fill."""

from __future__ import annotations

from pathlib import Path

from tests.capture.test_sink import Stream, records, sink


def test_what_waits_for_company_is_sent_at_once(tmp_path: Path) -> None:
    stream = Stream()
    taker = sink(stream, tmp_path, linger=3_600)
    (record,) = records(1)
    taker.put(record)
    assert taker.flush(60)
    assert set(stream.ids()) == {record.interaction_id}


def test_what_the_stream_refuses_is_in_the_spool_after_it(tmp_path: Path) -> None:
    taker = sink(Stream(*["away"] * 1_000), tmp_path, linger=3_600, retry_after=3_600)
    taker.put(records(1)[0])
    assert taker.flush(60)
    assert taker.waiting() == {"memory": 0, "spool": 1}
