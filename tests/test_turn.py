"""Turns of concurrent runs: one works; the turn of a run that died expires, and a run that lives keeps its
own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fmops import turn as module
from fmops.turn import TurnTakenError, turn
from local.aws.server import LocalAws

KEY = "job/turn.json"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Any]:
    with LocalAws(port=0, enforce=False, directory=tmp_path) as cloud:
        cloud.client("s3").create_bucket(Bucket="lake")
        yield cloud.client("s3")


def test_a_second_run_is_told_who_is_at_work_and_a_third_follows(s3: Any) -> None:
    with (
        turn(s3, "lake", KEY),
        pytest.raises(TurnTakenError, match=r"process \d+ on .*Wait until it has ended"),
        turn(s3, "lake", KEY),
    ):
        pass
    with turn(s3, "lake", KEY):
        pass


def test_of_many_that_begin_at_once_one_works(s3: Any) -> None:
    all_tried = threading.Barrier(8)

    def begin(_: int) -> bool:
        try:
            with turn(s3, "lake", KEY):
                all_tried.wait(30)
        except TurnTakenError:
            all_tried.wait(30)
            return False
        return True

    for _ in range(2):  # first without an object, then with one that was released
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(begin, range(8))) == 1


def test_the_turn_ends_with_a_run_that_fails(s3: Any) -> None:
    with pytest.raises(ZeroDivisionError), turn(s3, "lake", KEY):
        raise ZeroDivisionError
    with turn(s3, "lake", KEY):
        pass


def test_the_turn_of_a_run_that_was_killed_lapses(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = turn(s3, "lake", KEY)
    killed.__enter__()
    with pytest.raises(TurnTakenError, match="lapses at"), turn(s3, "lake", KEY):
        pass
    monkeypatch.setattr(module, "LEASE", timedelta(seconds=-5))
    with turn(s3, "lake", KEY):
        pass


def test_a_run_that_lives_renews_its_turn(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE", timedelta(milliseconds=50))
    seen = threading.Event()
    put = s3.put_object

    def watched(**arguments: Any) -> Any:
        answer = put(**arguments)
        if b"renewed" in arguments["Body"]:
            seen.set()
        return answer

    monkeypatch.setattr(s3, "put_object", watched)
    with turn(s3, "lake", KEY):
        assert seen.wait(20)
