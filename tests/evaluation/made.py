"""Evaluations written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmops.evaluation.cases import Case, Expected
from fmops.evaluation.evaluate import Evaluation
from fmops.evaluation.scoring import Sheet, applicable
from fmops.guardrails import GuardrailSettings
from fmops.prompts import Prompt
from fmops.variants.variant import Variant

VARIANT = Variant(Prompt("p", "1", "Be nice."), "amazon.nova-micro-v1:0", GuardrailSettings(), name="p 1")


def cases(count: int = 24) -> list[Case]:
    expected = Expected(facts=["a fact"], documents=["a-document"], finish="stop")
    return [
        Case(case_id=f"c{n}", kind="answer", caller="clara", question="?", expected=expected)
        for n in range(count)
    ]


def evaluation(
    falls: Mapping[str, Sequence[int]] | None = None,
    *,
    count: int = 24,
    without: Mapping[str, Sequence[int]] | None = None,
    cost: float = 0.001,
    complete: bool = True,
) -> Evaluation:
    """Return an evaluation whose scores are all 1, except for the cases that ``falls`` names by metric;
    ``without`` names those that have none."""
    sheet, made = Sheet(), cases(count)
    for number, case in enumerate(made):
        for metric in applicable(case):
            if number in (without or {}).get(metric, ()):
                sheet.lacks(case.case_id, metric, f"case {case.case_id}: the judge is away")
            else:
                sheet.put(case.case_id, metric, float(number not in (falls or {}).get(metric, ())))
        sheet.put(case.case_id, "cost_usd", cost)
    return Evaluation(VARIANT, made, sheet, "run", 1.0, complete)
