"""The comparison's numbers, checked against counts by hand and another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from fmops.evaluation.statistics import interval, kappa, paired


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (6, 1), (0, 4), (3, 3)])
def test_the_test_of_yes_and_no_is_the_sign_test(gained: int, lost: int) -> None:
    from scipy.stats import binomtest

    old, new = [0] * gained + [1] * lost + [1] * 10, [1] * gained + [0] * lost + [1] * 10
    found = paired(old, new)
    assert (found.better, found.worse) == (gained, lost)
    assert found.p_better == pytest.approx(
        binomtest(gained, gained + lost, alternative="greater").pvalue, abs=0.01
    )
    assert found.p_worse == pytest.approx(
        binomtest(lost, gained + lost, alternative="greater").pvalue, abs=0.01
    )


def test_no_difference_is_no_evidence() -> None:
    found = paired([1, 0, 1], [1, 0, 1])
    assert (found.p_better, found.p_worse, str(found.difference)) == (1.0, 1.0, "0.00 [0.00, 0.00]")


def test_scores_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2 scores cannot be paired"):
        paired([1, 1, 1], [1, 1])


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    draws = [interval((rng.random(60) < 0.7).tolist()) for _ in range(200)]
    covered = sum(found.low <= 0.7 <= found.high for found in draws)
    assert 180 <= covered <= 200


def test_kappa_is_cohens_and_stands_in_its_interval() -> None:
    people = [True] * 12 + [False] * 8
    judge = [True] * 10 + [False] * 2 + [False] * 7 + [True]
    found = kappa(people, judge)
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(people, judge))
    assert found.low < found.value < found.high


def test_kappa_is_not_made_up_where_it_is_not_defined() -> None:
    assert kappa([True, True], [True, False]) is None
