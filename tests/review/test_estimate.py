"""The weighted estimate covers the truth as often as it promises; the unweighted one of the same sample does
not.
"""

from __future__ import annotations

import numpy as np
import pytest

from fmops.review.estimate import NotEnoughLabelsError, StratumCount, unweighted, weighted
from fmops.review.model import Stratum
from fmops.review.sampling import allocate

REPETITIONS = 4_000
POPULATION = dict(zip(Stratum, (150, 50, 200, 250, 100, 150, 4_100), strict=True))
WORLDS = {
    "bad answers mostly where one looks": (0.6, 0.5, 0.2, 0.3, 0.7, 0.25, 0.03),
    "bad answers rare": (0.3, 0.3, 0.05, 0.1, 0.4, 0.1, 0.01),
    "bad answers common": (0.8, 0.6, 0.4, 0.5, 0.9, 0.4, 0.15),
}
WEEKEND = (5, 6)


@pytest.mark.parametrize("budget", [40, 100, 300])
@pytest.mark.parametrize("world", WORLDS)
def test_coverage_of_the_interval(world: str, budget: int, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(20_261_124)
    chosen = allocate(POPULATION, budget, 0.4)
    bad = {
        stratum: round(POPULATION[stratum] * rate)
        for stratum, rate in zip(Stratum, WORLDS[world], strict=True)
    }
    truth = sum(bad.values()) / sum(POPULATION.values())
    found = {
        stratum: generator.hypergeometric(
            bad[stratum], POPULATION[stratum] - bad[stratum], chosen[stratum], REPETITIONS
        )
        for stratum in Stratum
    }
    covered = {"weighted": 0, "unweighted": 0}
    rates: list[float] = []
    for number in range(REPETITIONS):
        strata = {
            stratum.value: [StratumCount(POPULATION[stratum], chosen[stratum], int(found[stratum][number]))]
            for stratum in Stratum
        }
        ours, plain = weighted(strata), unweighted(each for (each,) in strata.values())
        covered["weighted"] += ours.low <= truth <= ours.high
        covered["unweighted"] += plain.low <= truth <= plain.high
        rates.append(ours.rate)
    share = {name: count / REPETITIONS for name, count in covered.items()}
    with capsys.disabled():
        print(
            f"\n{world}, budget {budget}: truth {truth:.3f}, mean estimate {np.mean(rates):.3f}, "
            f"coverage weighted {share['weighted']:.3f}, unweighted {share['unweighted']:.3f}"
        )
    assert 0.92 <= share["weighted"] <= 0.98
    assert share["unweighted"] < 0.5
    assert abs(np.mean(rates) - truth) < 4 * np.std(rates) / REPETITIONS**0.5


@pytest.mark.parametrize("weekends", [False, True], ids=["every day alike", "weekends differ"])
@pytest.mark.parametrize("days", [7, 30])
@pytest.mark.parametrize("world", WORLDS)
def test_coverage_over_many_days(
    world: str, days: int, weekends: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Simulate windows of 40 labels a day; at weekends, where they differ, a third of the traffic has
    twice the rate."""
    generator, repetitions = np.random.default_rng(20_261_127), 1_500
    calendar = [weekends and day % 7 in WEEKEND for day in range(days)]
    sizes = [{s: POPULATION[s] // 3 if weekend else POPULATION[s] for s in Stratum} for weekend in calendar]
    chosen = [allocate(size, 40, 0.4) for size in sizes]
    bad = [
        {
            s: round(size[s] * min(1, rate * (1 + weekend)))
            for s, rate in zip(Stratum, WORLDS[world], strict=True)
        }
        for size, weekend in zip(sizes, calendar, strict=True)
    ]
    truth = sum(sum(each.values()) for each in bad) / sum(sum(each.values()) for each in sizes)
    found = {
        s: np.array(
            [
                generator.hypergeometric(bad[d][s], sizes[d][s] - bad[d][s], chosen[d][s], repetitions)
                for d in range(days)
            ]
        )
        for s in Stratum
    }
    covered, widths = 0, []
    for number in range(repetitions):
        estimate = weighted(
            {
                s.value: [
                    StratumCount(sizes[d][s], chosen[d][s], int(found[s][d, number])) for d in range(days)
                ]
                for s in Stratum
            }
        )
        covered += estimate.low <= truth <= estimate.high
        widths.append(estimate.high - estimate.low)
    with capsys.disabled():
        print(
            f"\n{world}, {days} days, {'weekends differ' if weekends else 'every day alike'}: truth {truth:.3f},"
            f" coverage {covered / repetitions:.3f}, width {np.mean(widths):.3f}"
        )
    assert covered / repetitions >= 0.93


def test_one_day_of_a_stratum_is_not_asked_for_an_interval_of_its_own() -> None:
    days = [StratumCount(1_000, 2, 0)] * 29 + [StratumCount(1_000, 2, 2)]
    pooled = weighted({"all": days})
    alone = weighted({"all": [StratumCount(30_000, 60, 2)]})
    assert pooled.rate == pytest.approx(2 / 60)
    assert (pooled.low, pooled.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_each_label_counts_for_its_own_days_interactions() -> None:
    days = [StratumCount(900, 10, 0), StratumCount(100, 10, 10)]
    assert weighted({"all": days}).rate == pytest.approx(0.1)
    without_labels = [*days, StratumCount(50, 0, 0)]
    found = weighted({"all": without_labels})
    assert (found.rate, found.population, found.labelled) == (pytest.approx(0.1), 1_050, 20)


def test_a_census_has_no_uncertainty() -> None:
    estimate = weighted({"all": [StratumCount(population=20, labelled=20, found=3)]})
    assert (estimate.rate, estimate.low, estimate.high) == (0.15, 0.15, 0.15)


def test_nothing_found_is_not_certainty() -> None:
    estimate = weighted({"all": [StratumCount(population=1_000, labelled=20, found=0)]})
    assert estimate.rate == estimate.low == 0
    assert 0.1 < estimate.high < 0.2


def test_a_stratum_without_labels_is_named() -> None:
    strata = {
        "random": [StratumCount(100, 5, 1)],
        "drift": [StratumCount(10, 0, 0)],
        "empty": [StratumCount(0, 0, 0)],
    }
    with pytest.raises(NotEnoughLabelsError, match=r"no labels yet in drift$"):
        weighted(strata)
    with pytest.raises(NotEnoughLabelsError, match="any stratum"):
        weighted({})
