"""The weighted estimate covers the truth as often as it says; the unweighted one of the same sample does not."""

from __future__ import annotations

import numpy as np
import pytest

from fmops.review.estimate import NotEnoughLabelsError, StratumCount, unweighted, weighted
from fmops.review.model import Stratum
from fmops.review.sampling import allocate

REPETITIONS = 4_000
POPULATION = dict(zip(Stratum, (150, 50, 200, 250, 150, 4_200), strict=True))
WORLDS = {
    "bad answers mostly where one looks": (0.6, 0.5, 0.2, 0.3, 0.25, 0.03),
    "bad answers rare": (0.3, 0.3, 0.05, 0.1, 0.1, 0.01),
    "bad answers common": (0.8, 0.6, 0.4, 0.5, 0.4, 0.15),
}


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
            stratum.value: StratumCount(POPULATION[stratum], chosen[stratum], int(found[stratum][number]))
            for stratum in Stratum
        }
        ours, plain = weighted(strata), unweighted(strata.values())
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


def test_a_census_has_no_uncertainty() -> None:
    estimate = weighted({"all": StratumCount(population=20, labelled=20, found=3)})
    assert (estimate.rate, estimate.low, estimate.high) == (0.15, 0.15, 0.15)


def test_nothing_found_is_not_certainty() -> None:
    estimate = weighted({"all": StratumCount(population=1_000, labelled=20, found=0)})
    assert estimate.rate == estimate.low == 0
    assert 0.1 < estimate.high < 0.2


def test_a_stratum_without_labels_is_named() -> None:
    strata = {
        "random": StratumCount(100, 5, 1),
        "drift": StratumCount(10, 0, 0),
        "empty": StratumCount(0, 0, 0),
    }
    with pytest.raises(NotEnoughLabelsError, match=r"no labels yet in drift$"):
        weighted(strata)
    with pytest.raises(NotEnoughLabelsError, match="any stratum"):
        weighted({})
