"""The policy tests notice every slip: each mutant is refused by the schema, or decides some case otherwise."""

from __future__ import annotations

from collections import Counter

import cedarpy
import pytest

from tests.policies.desk import FILES, SCHEMA_TEXT, TEMPLATE_FILES, Engine, files
from tests.policies.mutants import Mutant, mutants
from tests.policies.test_policies import CASES

ARGUED = {
    ("forbid-suspended", "action becomes any"): "the schema puts every tool's action into CallTool",
    (
        "customer-own-claim",
        "action becomes any",
    ): "forbid-self-dealing forbids all else that is done to a claim of one's own",
}
"""Mutants that no request can tell from the original, by policy and change, with the reason."""


def fate(mutant: Mutant) -> str:
    """Return how the mutant is detected, or `survived` if it is not."""
    if mutant.text and not cedarpy.validate_policies(mutant.text, SCHEMA_TEXT).validation_passed:
        return "refused at synth"
    policies, templates = files(FILES), files(TEMPLATE_FILES)
    for group in (policies, templates):
        if mutant.policy in group:
            group.pop(mutant.policy)
            if mutant.text:
                group[mutant.policy] = mutant.text
    engine = Engine(policies, templates)
    for case in CASES.values():
        (answer,) = engine.decide(case)
        if (answer.decision, answer.because, answer.errors) != (case.expected, set(case.because), ()):
            return "killed by a case"
    return "survived"


def test_every_mutant_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    fates = {
        mutant: fate(mutant)
        for name, text in (files(FILES) | files(TEMPLATE_FILES)).items()
        for mutant in mutants(name, text)
    }
    survivors = {(each.policy, each.change) for each, end in fates.items() if end == "survived"}
    counts = Counter(fates.values())
    killed = len(fates) - counts["survived"]
    with capsys.disabled():
        print(
            f"\n  {len(fates)} mutants of {len(FILES) + len(TEMPLATE_FILES)} policies: {dict(counts)}, "
            f"kill rate {killed / len(fates):.1%}"
        )
    assert survivors == set(ARGUED)
