"""Rates in the traffic, estimated from labels of a stratified sample.

Each label counts for the interactions that it stands for, ``population / labelled`` of its stratum. The interval is
MOVER (Zou and Donner 2008, "Construction of confidence limits about effect measures", eq. 5) over the strata's
Agresti-Coull intervals, with the finite population correction: strata are small and rates near zero, where the
normal interval covers far too little. Tasks that nobody labelled are taken to be missing at random in their stratum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Z = 1.959964
"""Of a two-sided 95 % interval."""


@dataclass(frozen=True)
class StratumCount:
    """Of ``population`` interactions ``labelled`` were labelled, and ``found`` have what is counted."""

    population: int
    labelled: int
    found: int


@dataclass(frozen=True)
class Estimate:
    """A rate with its 95 % interval, and how many labels it rests on."""

    rate: float
    low: float
    high: float
    labelled: int
    population: int


class NotEnoughLabelsError(ValueError):
    """A stratum has no label yet, so that nothing can be said of the whole; the message names the strata."""


def weighted(strata: Mapping[str, StratumCount]) -> Estimate:
    """The rate in the whole population. Raises ``NotEnoughLabelsError``."""
    there = {name: each for name, each in strata.items() if each.population}
    missing = [name for name, each in there.items() if not each.labelled]
    if missing or not there:
        raise NotEnoughLabelsError(f"no labels yet in {', '.join(missing) or 'any stratum'}")
    total = sum(each.population for each in there.values())
    rate = below = above = 0.0
    for each in there.values():
        weight, share = each.population / total, each.found / each.labelled
        low, high = _agresti_coull(each.found, each.labelled)
        unseen = 1 - each.labelled / each.population
        rate += weight * share
        below += weight**2 * unseen * max(0.0, share - low) ** 2
        above += weight**2 * unseen * max(0.0, high - share) ** 2
    return Estimate(
        rate=rate,
        low=max(0.0, rate - math.sqrt(below)),
        high=min(1.0, rate + math.sqrt(above)),
        labelled=sum(each.labelled for each in there.values()),
        population=total,
    )


def unweighted(strata: Iterable[StratumCount]) -> Estimate:
    """The rate among the labels as if they were a random sample: what the weighted one is compared with."""
    given = list(strata)
    labelled, found = sum(each.labelled for each in given), sum(each.found for each in given)
    low, high = _agresti_coull(found, labelled)
    return Estimate(found / labelled, low, high, labelled, sum(each.population for each in given))


def _agresti_coull(found: int, labelled: int) -> tuple[float, float]:
    """Agresti and Coull 1998, with z² rather than 4."""
    adjusted = labelled + Z**2
    centre = (found + Z**2 / 2) / adjusted
    half = Z * math.sqrt(centre * (1 - centre) / adjusted)
    return max(0.0, centre - half), min(1.0, centre + half)
