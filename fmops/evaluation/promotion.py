"""A candidate's way through the gate: evaluated beside production on the same cases, decided, recorded, and
perhaps promoted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import mlflow

from fmops.agent import NAME
from fmops.evaluation.cases import Case, digest
from fmops.evaluation.datasets import publish
from fmops.evaluation.evaluate import Evaluation, Evaluator
from fmops.evaluation.experiment import table, text
from fmops.evaluation.gate import STANDARD, Decision, GatePolicy, decide
from fmops.evaluation.registry import REASONS, Move
from fmops.evaluation.setup import EXPERIMENT, Setup
from fmops.variants.variant import Variant


@dataclass(frozen=True)
class Outcome:
    """The outcome for a candidate. ``move`` is the promotion, if there was one."""

    decision: Decision
    run_id: str
    move: Move | None


def judge_candidate(
    setup: Setup,
    candidate: Variant,
    cases: Sequence[Case],
    *,
    by: str,
    policy: GatePolicy = STANDARD,
    promote: bool = True,
    evaluator: Evaluator | None = None,
    production: Evaluation | None = None,
) -> Outcome:
    """Evaluate both, decide, and record the decision with its reasons. Move the alias if the answer is yes and
    only the prompt differs.

    ``production`` is an earlier evaluation of what serves, over the same cases. Raises ``EvaluationError``;
    then nothing was decided and nothing moved.
    """
    evaluator = evaluator or setup.evaluator()
    serving = setup.production()
    if production is None or production.variant != serving:
        production = evaluator.evaluate(serving, cases)
    decision = decide(production, evaluator.evaluate(candidate, cases), policy)
    run_id = record(decision, cases)
    moves = (
        decision.promote
        and promote
        and candidate.prompt.version.isdigit()
        and _only_prompt_differs(serving, candidate)
    )
    move = None
    if moves:
        reason = "; ".join(decision.reasons)
        move = setup.registry.promote(NAME, candidate.prompt.version, by=by, reason=reason, evidence=run_id)
    return Outcome(decision, run_id, move)


def record(decision: Decision, cases: Sequence[Case]) -> str:
    """Log one MLflow run with the decision, the reason per metric, both evaluations' runs and the comparison;
    return its id."""
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=f"gate: {decision.candidate.variant.name}") as run:
        mlflow.log_params(
            {
                "production": decision.production.variant.name,
                "candidate": decision.candidate.variant.name,
                "decision": "promote" if decision.promote else "refuse",
                "cases": len(cases),
                "dataset": publish(cases, name=NAME, experiment_id=run.info.experiment_id),
                "dataset_version": digest(cases),
            }
        )
        mlflow.set_tags(
            {
                "production_run": decision.production.run_id,
                "candidate_run": decision.candidate.run_id,
                "commit": os.environ.get("GITHUB_SHA", ""),
                REASONS: "; ".join(decision.reasons)[:5000],
            }
        )
        mlflow.log_dict(
            {
                "promote": decision.promote,
                "reasons": list(decision.reasons),
                "metrics": {
                    each.metric: {"verdict": each.verdict, "reason": each.reason} for each in decision.metrics
                },
            },
            "decision.json",
        )
        mlflow.log_text(text(table([decision.production, decision.candidate])), "comparison.txt")
    return str(run.info.run_id)


def _only_prompt_differs(production: Variant, candidate: Variant) -> bool:
    """Return whether only the prompt differs: other models and guardrails are promoted by deploying their
    settings."""
    mine, theirs = production.parameters(), candidate.parameters()
    return all(mine[name] == theirs[name] for name in mine if not name.startswith("prompt"))
