"""Rates in the traffic, estimated from labels of a stratified sample.

Each label counts for the interactions that it represents: ``population / labelled`` of its stratum on its day.
A stratum is pooled over its days before its interval is made, since two labels of one day say next to nothing.
The interval is MOVER (Zou and Donner 2008, "Construction of confidence limits about effect measures", eq. 5)
over the strata's Agresti-Coull intervals at Kish's effective number of labels (1965, section 11.7), with the
finite population correction: strata are small and rates near zero, where the normal interval covers far too
little. Tasks that no one labelled are assumed to be missing at random in their stratum, and so are the days of
a stratum without any label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Z = 1.959964
"""Normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class StratumCount:
    """Counts for one stratum of one day.

    Of ``population`` interactions, ``labelled`` were labelled, and ``found`` of those have the property that is
    counted.
    """

    population: int
    labelled: int
    found: int


@dataclass(frozen=True)
class Estimate:
    """A rate with its 95 % interval and its number of labels."""

    rate: float
    low: float
    high: float
    labelled: int
    population: int


class NotEnoughLabelsError(ValueError):
    """A stratum has no label yet, so nothing can be said of the whole; the message names the strata."""


def weighted(strata: Mapping[str, Sequence[StratumCount]]) -> Estimate:
    """Return the rate in the whole population, from each stratum's days. Raises ``NotEnoughLabelsError``."""
    there = {name: days for name, days in strata.items() if _population(days)}
    missing = [name for name, days in there.items() if not _labelled(days)]
    if missing or not there:
        raise NotEnoughLabelsError(f"no labels yet in {', '.join(missing) or 'any stratum'}")
    total = sum(map(_population, there.values()))
    rate = below = above = 0.0
    for days in there.values():
        weight, unseen = _population(days) / total, 1 - _labelled(days) / _population(days)
        share, low, high = _pooled(days)
        rate += weight * share
        below += weight**2 * unseen * max(0.0, share - low) ** 2
        above += weight**2 * unseen * max(0.0, high - share) ** 2
    return Estimate(
        rate=rate,
        low=max(0.0, rate - math.sqrt(below)),
        high=min(1.0, rate + math.sqrt(above)),
        labelled=sum(map(_labelled, there.values())),
        population=total,
    )


def _pooled(days: Sequence[StratumCount]) -> tuple[float, float, float]:
    """Return a stratum's rate over its days and the limits of its interval."""
    told = [each for each in days if each.labelled]
    population = sum(each.population for each in told)
    share = sum(each.population * each.found / each.labelled for each in told) / population
    effective = population**2 / sum(each.population**2 / each.labelled for each in told)
    return share, *_agresti_coull(share * effective, effective)


def _population(days: Sequence[StratumCount]) -> int:
    return sum(each.population for each in days)


def _labelled(days: Sequence[StratumCount]) -> int:
    return sum(each.labelled for each in days)


def unweighted(strata: Iterable[StratumCount]) -> Estimate:
    """Return the rate among the labels as if they were a random sample, to compare the weighted rate with."""
    given = list(strata)
    labelled, found = sum(each.labelled for each in given), sum(each.found for each in given)
    low, high = _agresti_coull(found, labelled)
    return Estimate(found / labelled, low, high, labelled, sum(each.population for each in given))


def _agresti_coull(found: float, labelled: float) -> tuple[float, float]:
    """Return the interval of Agresti and Coull 1998, with z² rather than 4."""
    adjusted = labelled + Z**2
    centre = (found + Z**2 / 2) / adjusted
    half = Z * math.sqrt(centre * (1 - centre) / adjusted)
    return max(0.0, centre - half), min(1.0, centre + half)
