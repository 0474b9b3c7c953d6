"""Parallel items: in order, in limited number, and no further than asked."""

from __future__ import annotations

import threading

import pytest

from fmops.parallel import in_order


def test_answers_come_in_order_though_the_first_is_the_slowest() -> None:
    later = threading.Event()

    def answer(number: int) -> int:
        if number == 0:
            assert later.wait(20)  # the next one is under way meanwhile
        if number == 1:
            later.set()
        return -number

    assert list(in_order(answer, range(50), workers=2)) == [-number for number in range(50)]


def test_no_more_are_begun_than_workers_until_answers_are_taken() -> None:
    begun: list[int] = []
    answers = in_order(
        lambda number: begun.append(number) or number,  # type: ignore[func-returns-value]
        iter(range(10_000)),
        workers=4,
    )
    assert next(answers) == 0
    answers.close()
    assert len(begun) <= 5


def test_an_error_comes_in_its_place_and_ends_it() -> None:
    answers = in_order(lambda number: 6 // number, [2, 3, 0, 1], workers=2)
    assert [next(answers), next(answers)] == [3, 2]
    with pytest.raises(ZeroDivisionError):
        next(answers)
