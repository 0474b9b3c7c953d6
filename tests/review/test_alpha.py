"""Krippendorff's alpha, checked against the worked examples of Krippendorff (2011)."""

from __future__ import annotations

import pytest

from fmops.review.alpha import nominal_alpha

BINARY = ("0100000010", "1110010000")
NOMINAL = ("aabbdcccedda", "babbbccceddd")
MISSING = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
"""Sections A, B and C: one line per observer, one column per unit, and a dot for a missing value."""


def units(observers: tuple[str, ...]) -> list[list[str]]:
    return [[value for value in column if value != "."] for column in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "published"), [(BINARY, 0.095), (NOMINAL, 0.692), (MISSING, 0.743)], ids="ABC"
)
def test_the_published_examples(observers: tuple[str, ...], published: float) -> None:
    assert nominal_alpha(units(observers)) == pytest.approx(published, abs=0.0005)


def test_agreement_in_everything_is_one_and_systematic_disagreement_is_below_zero() -> None:
    assert nominal_alpha([["a", "a"], ["b", "b"]]) == 1
    assert nominal_alpha([["a", "b"], ["b", "a"]]) == pytest.approx(-0.5)


@pytest.mark.parametrize("alone", [[], [["a"]], [["a"], ["b"]], [["a", "a"], ["a", "a"]]])
def test_nothing_can_be_said_without_two_values_of_a_unit_and_two_kinds_of_values(
    alone: list[list[str]],
) -> None:
    assert nominal_alpha(alone) is None
