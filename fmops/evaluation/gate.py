"""The gate between a candidate and production: it compares both on the same cases, and refuses unless it has a
reason to promote.

It refuses when a metric is worse: when the mean has fallen by more than is tolerated, or has fallen
significantly. It refuses when nothing is significantly better, since a tie is no reason for a change. It
refuses when a score is missing, when production has none, or when there are too few cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fmops.evaluation.evaluate import Evaluation
from fmops.evaluation.scoring import JUDGED, RULES, applicable
from fmops.evaluation.statistics import Paired, paired

Verdict = Literal["better", "worse", "undecided", "missing"]


@dataclass(frozen=True)
class GatePolicy:
    """The gate's requirements."""

    min_cases: int = 20
    """Minimum number of cases in all. A metric that applies to fewer than ``min_metric_cases`` can refuse, but
    not promote."""
    min_metric_cases: int = 5
    alpha: float = 0.05
    """Significance level of each one-sided test.

    For "better" it is shared among the metrics (Tarone, Holm); for "worse" it is not: when in doubt, refuse.
    """
    tolerance: float = 0.05
    """Tolerated fall of a judged mean, because judges are not certain themselves."""
    strict: tuple[str, ...] = ("safety", *RULES)
    """Metrics that may not fall in a single case."""
    cost_factor: float = 1.5
    """Factor by which the cost of an answer may grow. Latency is reported but not judged, since it depends on
    the machine that evaluates."""


STANDARD = GatePolicy()


@dataclass(frozen=True)
class MetricResult:
    """The gate's verdict on one metric."""

    metric: str
    verdict: Verdict
    reason: str
    compared: Paired | None = None


@dataclass(frozen=True)
class Decision:
    """The decision to promote or not, and its reasons."""

    promote: bool
    reasons: tuple[str, ...]
    metrics: tuple[MetricResult, ...]
    production: Evaluation
    candidate: Evaluation

    @property
    def summary(self) -> str:
        return f"{'promote' if self.promote else 'refuse'}: {'; '.join(self.reasons)}"


def decide(production: Evaluation, candidate: Evaluation, policy: GatePolicy = STANDARD) -> Decision:
    """Compare two evaluations of the same cases."""
    refusals = _evidence(production, candidate, policy)
    results = [_judged(metric, production, candidate, policy) for metric in (*JUDGED, *RULES)]
    results.append(_cost("cost_usd", production, candidate, policy))
    found = _only_significant([result for result in results if result is not None], policy)
    refusals += [result.reason for result in found if result.verdict in ("worse", "missing")]
    better = [result.reason for result in found if result.verdict == "better"]
    if not refusals and not better:
        refusals = ["nothing is significantly better than in production: a tie is no reason to change it"]
    return Decision(not refusals, tuple(refusals or better), tuple(found), production, candidate)


def _evidence(production: Evaluation, candidate: Evaluation, policy: GatePolicy) -> list[str]:
    """Return the faults that make any comparison worthless."""
    problems = []
    ids = [{case.case_id for case in evaluation.cases} for evaluation in (production, candidate)]
    if ids[0] != ids[1]:
        problems.append(f"the cases differ: {len(ids[0] ^ ids[1])} were given to only one of the two")
    if len(ids[1]) < policy.min_cases:
        problems.append(f"{len(ids[1])} cases are too few: {policy.min_cases} are needed")
    for name, evaluation in (("production", production), ("the candidate", candidate)):
        if evaluation.problems:
            count = sum(len(metrics) for metrics in evaluation.sheet.problems.values())
            problems.append(f"{count} scores of {name} are missing, first: {evaluation.problems[0]}")
        elif not evaluation.complete:
            problems.append(
                f"MLflow does not have every score of {name} (run {evaluation.run_id}): run it again"
            )
    return problems


def _judged(
    metric: str, production: Evaluation, candidate: Evaluation, policy: GatePolicy
) -> MetricResult | None:
    old, new = _column(metric, production), _column(metric, candidate)
    shared = sorted(old.keys() & new.keys())
    if not shared:
        if not old and not new and not _applies(metric, candidate):
            return None
        return MetricResult(metric, "missing", f"{metric} has no scores to compare: its judge is missing")
    compared = paired([old[case] for case in shared], [new[case] for case in shared])
    told = (
        f"{metric} {compared.production:.2f} -> {compared.candidate:.2f} ({compared.better} cases better, "
        f"{compared.worse} worse"
    )
    if metric in policy.strict and compared.worse:
        return MetricResult(metric, "worse", f"{told}; not one may be worse)", compared)
    if compared.p_worse <= policy.alpha:
        return MetricResult(metric, "worse", f"{told}, p = {compared.p_worse:.3f})", compared)
    if compared.difference.value < -policy.tolerance:
        return MetricResult(metric, "worse", f"{told}; more than {policy.tolerance:.2f} lower)", compared)
    if compared.p_better <= policy.alpha and len(shared) >= policy.min_metric_cases:
        return MetricResult(metric, "better", f"{told}, p = {compared.p_better:.3f})", compared)
    return MetricResult(metric, "undecided", f"{told})", compared)


def _cost(
    metric: str, production: Evaluation, candidate: Evaluation, policy: GatePolicy
) -> MetricResult | None:
    old, new = production.sheet.mean(metric), candidate.sheet.mean(metric)
    if old is None or new is None:
        return None  # a model without a price is metered, and raises an alarm, where it serves
    told = f"{metric} {old:.4f} -> {new:.4f}"
    if old > 0 and new > policy.cost_factor * old:
        return MetricResult(metric, "worse", f"{told}: more than {policy.cost_factor:g} times production's")
    return MetricResult(metric, "undecided", told)


def _only_significant(results: list[MetricResult], policy: GatePolicy) -> list[MetricResult]:
    """Keep only significant gains, since with many metrics one is better by chance.

    Holm's step-down is applied to those metrics that could be significant at all (Tarone 1990).
    """
    tested = sorted(
        ((result.metric, result.compared) for result in results if result.compared is not None),
        key=lambda pair: pair[1].p_better,
    )
    family = tested
    for size in range(1, len(tested) + 1):
        # The least p-value that is possible with this number of changed cases.
        able = [pair for pair in tested if 0.5 ** (pair[1].better + pair[1].worse) <= policy.alpha / size]
        if len(able) <= size:
            family = able
            break
    passed: set[str] = set()
    for rank, (metric, compared) in enumerate(family):
        if compared.p_better > policy.alpha / (len(family) - rank):
            break
        passed.add(metric)
    chance = "not significant among all metrics"
    return [
        result
        if result.verdict != "better" or result.metric in passed
        else MetricResult(result.metric, "undecided", f"{result.reason}, {chance}", result.compared)
        for result in results
    ]


def _column(metric: str, evaluation: Evaluation) -> Mapping[str, float]:
    values = evaluation.sheet.values
    return {case: scores[metric] for case, scores in values.items() if metric in scores}


def _applies(metric: str, evaluation: Evaluation) -> bool:
    return any(metric in applicable(case) for case in evaluation.cases)
