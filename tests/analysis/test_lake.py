"""Reading from the lake, and reporting what could not be read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fmops.analysis.engine import SMALL_BYTES, TASK_BYTES, ahead, profile, profile_object, tasks
from fmops.analysis.lake import COLUMNS, CorruptObjectError, DirectoryLake, Reader, parse_time, windows
from fmops.analysis.reference import fit
from fmops.interaction import Embedding, Feedback
from fmops.parallel import WORKERS
from tests.analysis.traffic import MODEL, START, day, fill, interaction, put

VECTOR = [0.5, -0.25, 1.0, 0.125]


def read(lake: DirectoryLake, key: str) -> tuple[Reader, list[str]]:
    reader = Reader(day(0))
    ids = [identifier for batch in reader.read(lake.read(key), key) for identifier in batch.ids]
    return reader, ids


def test_a_record_is_read_as_it_was_captured(tmp_path: Path) -> None:
    lake = DirectoryLake(tmp_path)
    key = put(
        lake,
        day(0),
        [
            interaction(
                day(0),
                1,
                VECTOR,
                "What is covered?",
                retrieved=[{"document_id": "d", "score": 0.5}, {"document_id": "e", "score": 0.75}],
            )
        ],
    )
    (batch,) = Reader(day(0)).read(lake.read(key), key)
    np.testing.assert_array_equal(batch.vectors, [VECTOR])
    assert (list(batch.texts), batch.sessions, batch.similarities.tolist()) == (
        ["What is covered?"],
        ["2026-09-01-0"],
        [0.75],
    )


def test_what_is_no_measurable_interaction_is_counted(tmp_path: Path) -> None:
    lake, window = DirectoryLake(tmp_path), day(0)
    good = interaction(window, 1, VECTOR)
    lines = [
        good.line(),
        good.line(),  # delivered twice
        Feedback(interaction_id="int-1", rating="up").line(),
        interaction(window, 2, None).line(),
        interaction(window, 3, VECTOR, embedding=Embedding.encode("other", VECTOR)).line(),
        interaction(window, 4, [1.0, 2.0]).line(),
        interaction(window, 5, VECTOR, embedding=Embedding(model_id=MODEL, dimension=4, vector="!")).line(),
        interaction(window, 6, VECTOR, started_at="2031-01-01T00:00:00.000000Z").line(),
        interaction(window, 7, VECTOR, started_at="2026-08-31T23:59:00.000000Z").line(),
        b"{ this is no JSON\n",
        b"\n",
    ]
    key = "interactions/dt=2026-09-01/hour=00/a.gz"
    lake.write(key, gzip.compress(b"".join(lines)))
    reader, ids = read(lake, key)
    assert ids == [good.interaction_id]
    assert {name: count for name, count in reader.checks.items() if count} == {
        "unreadable": 1,
        "wrong_clock": 1,
        "repeated": 1,
        "interactions": 5,
        "no_embedding": 2,
        "other_model": 1,
        "other_dimension": 1,
    }
    assert reader.models == {MODEL: 2, "other": 1}


def test_a_corrupt_object_in_the_middle_is_left_out_counted_and_named(tmp_path: Path) -> None:
    lake, window = DirectoryLake(tmp_path), day(0)
    rows = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)
    put(lake, window, [interaction(window, n, row) for n, row in enumerate(rows[:100])], "a")
    cut = put(lake, window, [interaction(window, n + 100, row) for n, row in enumerate(rows[100:200])], "b")
    put(lake, window, [interaction(window, n + 200, row) for n, row in enumerate(rows[200:])], "c")
    data = lake.read(cut) or b""
    lake.write(cut, data[: len(data) // 2])
    reference = fit(rows, version="b", model_id=MODEL)
    state = profile(lake, window.keys(lake, "interactions"), window, reference)
    assert (state.count, state.checks["corrupt_objects"], state.checks["objects"]) == (200, 1, 2)
    (named,) = state.bad_objects
    assert named.startswith(cut)
    with pytest.raises(CorruptObjectError, match="is gone"):
        read(lake, "interactions/none")
    assert profile_object(cut, lake.read(cut), window, reference).count == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:-1], "Unexpected end of GZIP stream"),
        (lambda data: data[:40] + b"\xff" * 40 + data[80:], "Failed to decode gzip stream"),
        (lambda data: data + b"not gzip", "Unexpected end of GZIP stream"),
    ],
    ids=["cut", "broken", "followed"],
)
def test_an_object_that_is_no_whole_gzip_file_is_named(
    tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    lake = DirectoryLake(tmp_path)
    key = put(lake, day(0), [interaction(day(0), number, VECTOR) for number in range(50)])
    lake.write(key, change(lake.read(key) or b""))
    with pytest.raises(CorruptObjectError, match=f"^{key}: .*{why}"):
        read(lake, key)


def test_an_object_of_several_gzip_members_is_read_to_its_end(tmp_path: Path) -> None:
    lake = DirectoryLake(tmp_path)
    records = [interaction(day(0), number, VECTOR) for number in range(2)]
    key = "interactions/dt=2026-09-01/hour=00/a.gz"
    lake.write(key, b"".join(gzip.compress(record.line()) for record in records))
    assert read(lake, key)[1] == [record.interaction_id for record in records]


def test_an_empty_object_has_no_rows(tmp_path: Path) -> None:
    lake = DirectoryLake(tmp_path)
    lake.write("interactions/dt=2026-09-01/hour=00/a.gz", gzip.compress(b""))
    assert read(lake, "interactions/dt=2026-09-01/hour=00/a.gz")[1] == []


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    import duckdb

    lake, window = DirectoryLake(tmp_path), day(0)
    rows = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    ((key, _),) = fill(lake, window, rows)
    target = tmp_path / "interactions/dt=2026-09-01/hour=01/b.parquet"
    target.parent.mkdir(parents=True)
    duckdb.sql(
        f"COPY (SELECT * FROM read_json('{tmp_path / key}', columns={COLUMNS})) TO '{target}' (FORMAT parquet)"
    )
    reference = fit(rows, version="b", model_id=MODEL)
    states = [
        profile_object(name, lake.read(name), window, reference)
        for name in (key, str(target.relative_to(tmp_path)))
    ]
    np.testing.assert_array_equal(states[0].vectors, states[1].vectors)
    assert states[0].texts() == states[1].texts()


def test_several_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, window = DirectoryLake(tmp_path), day(0)
    rows = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    for name in "abcd":
        put(
            lake,
            window,
            [
                interaction(window, n, row, session_id=f"{name}{n}", interaction_id=f"{name}{n}")
                for n, row in enumerate(rows)
            ],
            name,
        )
    reference = fit(rows, version="b", model_id=MODEL)
    keys = window.keys(lake, "interactions")
    alone = profile(lake, keys, window, reference)
    monkeypatch.setattr("fmops.analysis.engine.ALONE_BYTES", 0)
    monkeypatch.setattr("fmops.analysis.engine.TASK_BYTES", 1)
    seen: list[tuple[int, int]] = []
    together = profile(lake, keys, window, reference, workers=2, progress=lambda *done: seen.append(done))
    np.testing.assert_array_equal(alone.topics, together.topics)
    np.testing.assert_allclose(alone.waves, together.waves)
    assert len(seen) == 4 and seen[-1][0] == seen[-1][1]


def test_a_window_reads_what_was_delivered_shortly_after_it(tmp_path: Path) -> None:
    lake, window = DirectoryLake(tmp_path), day(0)
    late = interaction(window, 1, VECTOR, started_at="2026-09-01T23:59:59.000000Z")
    put(lake, day(1), [late, interaction(day(1), 2, VECTOR)])
    ((key, _),) = window.keys(lake, "interactions")
    assert read(lake, key)[1] == [late.interaction_id]
    assert window.keys(lake, "other") == []


def test_ranges_and_times() -> None:
    spans = windows(START, START + timedelta(days=2), hours=24)
    assert [span.id for span in spans] == ["2026-09-01", "2026-09-02"]
    assert windows(START, START + timedelta(hours=2), hours=1)[1].id == "2026-09-01T01"
    assert parse_time("2026-09-01") == parse_time("2026-09-01T02:00+02:00") == START
    with pytest.raises(ValueError, match="FROM must be before TO"):
        windows(START, START, hours=24)
    with pytest.raises(ValueError, match="'yesterday' is no time: write 2026-11-12"):
        parse_time("yesterday")


@pytest.mark.parametrize("folder", ["user=eve", "started_at=1", "[a]", "it's", "a*b?"])
def test_an_object_is_read_below_a_folder_of_any_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    lake, window = DirectoryLake(tmp_path / folder), day(0)
    rows = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    ((key, _),) = fill(lake, window, rows)
    reference = fit(rows, version="b", model_id=MODEL)
    assert int(profile_object(key, lake.read(key), window, reference).rows.sum()) == 5


class Counted:
    """A lake whose objects are their keys, which remembers what was read."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def list(self, prefix: str) -> list[tuple[str, int]]:
        return []

    def read(self, key: str) -> bytes | None:
        self.reads.append(key)
        return None if key == "gone" else key.encode()

    def write(self, key: str, data: bytes, *, content_type: str = "") -> None:
        raise NotImplementedError


def test_small_objects_are_read_ahead_in_order_and_no_further_than_is_bounded() -> None:
    lake = Counted()
    keys = [(f"{number:04}", 100) for number in range(2_000)]
    objects = ahead(lake, keys)
    assert next(objects) == ("0000", b"0000")
    objects.close()
    assert len(lake.reads) <= WORKERS + 1
    keys[7] = ("gone", 100)
    assert list(ahead(lake, keys)) == [(key, None if key == "gone" else key.encode()) for key, _ in keys]


def test_a_large_object_is_read_when_its_turn_comes() -> None:
    lake = Counted()
    objects = ahead(lake, [("large", SMALL_BYTES + 1), ("larger", SMALL_BYTES + 2), ("small", 1)])
    next(objects)
    assert lake.reads == ["large"]
    assert [key for key, _ in objects] == ["larger", "small"]


def test_many_small_objects_are_work_for_several_processes() -> None:
    small = [(str(number), 100) for number in range(3_000)]
    assert len(list(tasks(small, TASK_BYTES))) > 2
    assert [key for task in tasks(small, TASK_BYTES) for key in task] == small


def test_an_object_that_vanished_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    lake, window = DirectoryLake(tmp_path), day(0)
    rows = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    kept = put(lake, window, [interaction(window, n, row) for n, row in enumerate(rows)], "a")
    keys = [("interactions/dt=2026-09-01/hour=00/vanished.gz", 10), (kept, 10)]
    state = profile(lake, keys, window, fit(rows, version="b", model_id=MODEL))
    assert state.count == 200
    assert state.bad_objects == ["interactions/dt=2026-09-01/hour=00/vanished.gz is gone"]
