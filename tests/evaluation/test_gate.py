"""The gate says no unless it has a reason to say yes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmops.evaluation.gate import GatePolicy, decide
from tests.evaluation.made import evaluation

EIGHT = range(8)


def test_a_candidate_that_is_better_and_nowhere_worse_is_promoted() -> None:
    decision = decide(evaluation({"correctness": EIGHT}), evaluation())
    assert decision.promote
    assert decision.reasons == ("correctness 0.67 -> 1.00 (8 cases better, 0 worse, p = 0.004)",)


@pytest.mark.parametrize(
    ("production", "candidate", "reason"),
    [
        (evaluation(), evaluation(), "nothing is significantly better than in production"),
        (evaluation({"correctness": [1]}), evaluation(), "nothing is significantly better"),
        (evaluation({"correctness": EIGHT}), evaluation({"safety": [20]}), "safety 1.00 -> 0.96.*not one may be worse"),
        (evaluation({"correctness": EIGHT}), evaluation({"retrieval_hit": [3]}),
            "retrieval_hit .*not one may be worse"),
        (evaluation({"correctness": EIGHT}), evaluation({"groundedness": [1, 2]}),
            "groundedness .*more than 0.05 lower"),
        (evaluation({"correctness": EIGHT}), evaluation({"groundedness": EIGHT}), r"groundedness .*p = 0.004\)"),
        (evaluation(), evaluation({"correctness": EIGHT}), "correctness 1.00 -> 0.67"),
        (evaluation({"correctness": EIGHT}), evaluation(cost=0.002), "cost_usd 0.0010 -> 0.0020: more than 1.5 times"),
        (evaluation({"correctness": range(5)}, count=8), evaluation(count=8), "8 cases are too few: 20 are needed"),
        (evaluation({"correctness": EIGHT}), evaluation(count=23), "the cases differ: 1 were given to only one"),
        (evaluation({"correctness": EIGHT}), evaluation(without={"safety": [3]}),
            "1 scores of the candidate are missing"),
        (evaluation(without={"safety": [3]}), evaluation(), "1 scores of production are missing"),
        (evaluation({"correctness": EIGHT}), evaluation(complete=False), "MLflow does not have every score"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_or_uncertain_is_a_refusal_that_says_why(
    production: Any, candidate: Any, reason: str
) -> None:
    import re

    decision = decide(production, candidate)
    assert not decision.promote
    assert any(re.search(reason, given_reason) for given_reason in decision.reasons), decision.reasons


def test_a_judge_that_is_missing_altogether_is_a_refusal() -> None:
    nobody = {"groundedness": range(24)}
    decision = decide(evaluation({"correctness": EIGHT}, without=nobody), evaluation(without=nobody))
    assert not decision.promote
    assert "groundedness has no scores to compare: its judge is missing" in decision.reasons


def test_with_many_metrics_one_that_is_better_by_chance_does_not_count() -> None:
    gains, moved = {"correctness": range(5)}, {"groundedness": range(6), "relevance": range(6)}
    assert decide(evaluation(gains), evaluation()).promote
    decision = decide(evaluation(gains | moved), evaluation(dict.fromkeys(moved, range(6, 12))))
    (correctness,) = (each for each in decision.metrics if each.metric == "correctness")
    assert correctness.compared is not None
    assert correctness.compared.p_better < 0.05
    assert not decision.promote


scores = st.lists(st.integers(0, 23), unique=True, max_size=12)


@settings(max_examples=25, deadline=None)
@given(old=scores, new=scores)
def test_a_candidate_that_falls_in_more_cases_than_it_gains_never_passes(
    old: list[int], new: list[int]
) -> None:
    decision = decide(evaluation({"correctness": old}), evaluation({"correctness": new}), GatePolicy())
    if decision.promote:
        assert len(new) < len(old)
