"""Krippendorff's alpha for nominal data, after Krippendorff (2011), Computing Krippendorff's Alpha-Reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence


def nominal_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return how far observers agree beyond chance: 1 is perfect, 0 is chance, less is systematic disagreement.

    Args:
        units: for each unit, the values that observers gave it; observers who gave none are left out. Units
            with fewer than two values say nothing about agreement and are not counted.

    ``None`` when no unit has two values, or all values are the same: chance agreement is then unknown.
    """
    totals: Counter[Hashable] = Counter()
    agreeing = 0.0
    for values in units:
        if len(values) < 2:
            continue
        counts = Counter(values)
        totals += counts
        # The unit's share of the coincidence matrix's diagonal, where each value is paired with the unit's others.
        agreeing += sum(count * (count - 1) for count in counts.values()) / (len(values) - 1)
    pairable = totals.total()
    if len(totals) < 2:
        return None
    by_chance = sum(count * (count - 1) for count in totals.values()) / (pairable - 1)
    return 1 - (pairable - agreeing) / (pairable - by_chance)
