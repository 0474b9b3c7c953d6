"""Results of labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from fmops.review.labels import Reviewed, State, agreement
from fmops.review.model import Label, ReviewTask

Make = Callable[..., ReviewTask]


def label(reviewer: str, verdict: str, category: str | None = None, **more: Any) -> Label:
    if verdict == "bad":
        category = category or "correctness"
    return Label.model_validate(
        {"task_id": "t", "reviewer": reviewer, "verdict": verdict, "category": category} | more
    )


def test_a_task_is_open_until_enough_people_labelled_it(make_task: Make) -> None:
    task = make_task(reviewers=2)
    one = Reviewed(task, [label("a", "good"), label("a", "bad")])
    assert (one.state, one.verdict) == (State.OPEN, None)
    assert [vote.verdict for vote in one.votes] == ["bad"], "a reviewer's last word counts"


def test_people_who_agree_settle_it(make_task: Make) -> None:
    labels = [
        label("a", "bad", "groundedness"),
        label("b", "bad", "correctness", corrected_answer="Water damage."),
        label("c", "bad", "correctness"),
    ]
    done = Reviewed(make_task(reviewers=3), labels)
    assert (done.state, done.verdict, done.category) == (State.SETTLED, "bad", "correctness")
    assert done.corrected_answer == "Water damage."


def test_a_disagreement_waits_for_an_adjudicator_whose_word_is_the_last(make_task: Make) -> None:
    split = [label("a", "good"), label("b", "bad", "relevance", corrected_answer="from b")]
    assert Reviewed(make_task(), split).state is State.DISAGREED
    settled = Reviewed(
        make_task(),
        [*split, label("c", "bad", "safety", corrected_answer="from c", adjudicates=True)],
    )
    assert (settled.state, settled.verdict, settled.category) == (State.SETTLED, "bad", "safety")
    assert settled.corrected_answer == "from c"


def test_agreement_is_krippendorffs_alpha(make_task: Make) -> None:
    """Compute Krippendorff's own example for binary data (2011, "Computing Krippendorff's
    Alpha-Reliability", B): 0.095."""
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    verdicts = ("good", "bad")
    reviewed = [
        Reviewed(make_task(), [label("a", verdicts[a]), label("b", verdicts[b])])
        for a, b in zip(first, second, strict=True)
    ]
    alpha = agreement(reviewed)
    assert alpha is not None and round(alpha, 3) == 0.095


def test_agreement_needs_two_opinions_of_two_kinds(make_task: Make) -> None:
    assert agreement([]) is None
    assert agreement([Reviewed(make_task(), [label("a", "good")])]) is None
    assert agreement([Reviewed(make_task(), [label("a", "good"), label("b", "good")])]) is None
    adjudicated = [label("a", "good"), label("b", "bad", adjudicates=True)]
    assert agreement([Reviewed(make_task(), adjudicated)]) is None


def test_a_bad_verdict_says_what_is_bad_and_a_good_one_does_not() -> None:
    with pytest.raises(ValidationError, match="category is missing"):
        Label(task_id="t", reviewer="a", verdict="bad")
    with pytest.raises(ValidationError, match="category is for bad answers"):
        Label(task_id="t", reviewer="a", verdict="good", category="safety")
