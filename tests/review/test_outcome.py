"""Results of labels: evaluation cases in the evaluation's own format, and weighted rates."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fmops.evaluation.cases import ReviewedCase, dump, of_reviewed, parse
from fmops.interaction import RetrievedDocument
from fmops.review.estimate import StratumCount, weighted
from fmops.review.labels import Reviewed
from fmops.review.model import ReviewTask, Stratum
from fmops.review.outcome import case, quality
from tests.review.test_labels import label

Make = Callable[..., ReviewTask]


def source(retrieved: RetrievedDocument) -> tuple[str, str] | None:
    """Return the text of the one document that there is."""
    known = {"motor-collision": ("Motor", "Collisions are covered.")}
    return known.get(retrieved.document_id)


def test_a_bad_answer_becomes_a_case_with_its_correction(make_task: Make) -> None:
    labels = [
        label("a", "bad", "groundedness", comment="not in the document"),
        label("b", "bad", "correctness", corrected_answer="Collisions are."),
    ]
    task = make_task()
    made = case(Reviewed(task, labels), source)
    assert made is not None
    assert parse(dump([made]), ReviewedCase, name="rows") == [made]
    assert (made.case_id, made.trace_id) == (task.interaction_id, task.trace_id)
    assert made.retrieved == ["Collisions are covered."]
    assert [(each.criterion, each.value, each.reviewer) for each in made.labels] == [
        ("groundedness", False, "a"),
        ("correctness", False, "b"),
    ]
    (evaluated,) = of_reviewed([made])
    assert evaluated.expected.answer == "Collisions are."


def test_a_good_answer_is_its_own_reference(make_task: Make) -> None:
    made = case(Reviewed(make_task(), [label("a", "good"), label("b", "good")]), source)
    assert made is not None
    assert made.label("groundedness") and made.label("tool_calls") and made.label("safety")
    (evaluated,) = of_reviewed([made])
    assert evaluated.expected.answer == "Nothing."


def test_an_adjudicator_has_the_last_word(make_task: Make) -> None:
    split = [label("a", "good"), label("b", "bad")]
    assert case(Reviewed(make_task(), split), source) is None
    made = case(Reviewed(make_task(), [*split, label("c", "good", adjudicates=True)]), source)
    assert made is not None and made.label("correctness") is True
    assert {each.reviewer for each in made.labels} == {"c"}


def test_rates_are_weighted_over_days_and_strata(make_task: Make) -> None:
    def settled(stratum: Stratum, population: int, verdicts: str, day: str = "2026-11-20") -> list[Reviewed]:
        return [
            Reviewed(
                make_task(stratum=stratum, population=population, day=day),
                [label(who, "bad" if verdict == "b" else "good") for who in "xy"],
            )
            for verdict in verdicts
        ]

    given = [
        *settled(Stratum.LOW_FEEDBACK, 10, "bbbg"),
        *settled(Stratum.RANDOM, 90, "gggg"),
        *settled(Stratum.RANDOM, 100, "gggb", day="2026-11-21"),
    ]
    untouched = [Reviewed(make_task(day="2026-11-22", population=1_000))]
    found = quality([*given, *untouched])
    assert found.bad is not None
    assert found.bad.rate == pytest.approx((10 * 0.75 + 100 * 0.25) / 200)
    assert found.bad.low < found.bad.rate < found.bad.high
    assert found.by_category["correctness"].rate == found.bad.rate
    assert found.agreement == 1.0
    assert {state.value: count for state, count in found.tasks.items()} == {
        "open": 1,
        "disagreed": 0,
        "settled": 12,
    }
    assert found.metrics()["BadAnswerRate"] == found.bad.rate


def test_a_stratum_that_nobody_has_labelled_is_named_instead_of_an_estimate(make_task: Make) -> None:
    done = Reviewed(make_task(stratum=Stratum.RANDOM), [label("a", "good"), label("b", "good")])
    found = quality([done, Reviewed(make_task(stratum=Stratum.DRIFT))])
    assert found.bad is None
    assert found.missing == "no labels yet in drift"
    assert "BadAnswerRate" not in found.metrics()
    assert quality([]).missing == "no labels yet in any stratum"


def test_few_labels_a_day_are_pooled_over_the_days(make_task: Make) -> None:
    def day(number: int, verdicts: str) -> list[Reviewed]:
        return [
            Reviewed(
                make_task(stratum=Stratum.RANDOM, population=500, day=f"2026-11-{number:02}"),
                [label(who, "bad" if verdict == "b" else "good") for who in "xy"],
            )
            for verdict in verdicts
        ]

    found = quality([each for number in range(1, 21) for each in day(number, "bg" if number == 1 else "gg")])
    pooled = weighted({"random": [StratumCount(population=10_000, labelled=40, found=1)]})
    assert found.bad is not None
    assert (found.bad.low, found.bad.high) == (pytest.approx(pooled.low), pytest.approx(pooled.high))
