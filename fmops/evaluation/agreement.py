"""The agreement between judges and people: Cohen's kappa over answers that people have labelled, with its
interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlflow

from fmops.evaluation.cases import Criterion, ReviewedCase, digest
from fmops.evaluation.judge import Judge, JudgeError
from fmops.evaluation.statistics import Interval, kappa

MEASURED: tuple[Criterion, ...] = ("correctness", "groundedness", "relevance", "safety")


@dataclass(frozen=True)
class Agreement:
    """The agreement on one criterion. ``kappa`` is ``None`` where people or the judge always say the same."""

    criterion: Criterion
    cases: int
    agreed: int
    judge_too_lenient: int
    judge_too_strict: int
    kappa: Interval | None

    def __str__(self) -> str:
        shown = str(self.kappa) if self.kappa else "not defined: one side always says the same"
        return (
            f"{self.criterion}: kappa {shown}; {self.agreed} of {self.cases} agree, "
            f"{self.judge_too_lenient} too lenient, {self.judge_too_strict} too strict"
        )


def measure(judge: Judge, rows: Sequence[ReviewedCase]) -> list[Agreement]:
    """Ask the judge about every labelled answer. Raises ``JudgeError`` when it gives no verdict on one."""
    found = []
    for criterion in MEASURED:
        labelled = [(row, label) for row in rows if (label := row.label(criterion)) is not None]
        if not labelled:
            continue
        people = [label for _, label in labelled]
        said = [_says(judge, criterion, row) for row, _ in labelled]
        pairs = list(zip(people, said, strict=True))
        found.append(
            Agreement(
                criterion,
                len(pairs),
                sum(human == machine for human, machine in pairs),
                sum(machine and not human for human, machine in pairs),
                sum(human and not machine for human, machine in pairs),
                kappa(people, said),
            )
        )
    if not found:
        raise JudgeError(f"there are no labels for {', '.join(MEASURED)}: agreement cannot be measured")
    return found


def log(judge: Judge, rows: Sequence[ReviewedCase], found: Sequence[Agreement], *, experiment: str) -> str:
    """Log the agreement as one MLflow run; return its id."""
    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name="judge-human agreement") as run:
        mlflow.log_params(
            {"judge_model_id": judge.model_id, "labelled": len(rows), "dataset_version": digest(rows)}
        )
        for each in found:
            mlflow.log_metric(f"{each.criterion}_agreed", each.agreed / each.cases)
            if each.kappa:
                mlflow.log_metrics(
                    {
                        f"{each.criterion}_kappa": each.kappa.value,
                        f"{each.criterion}_kappa_low": each.kappa.low,
                        f"{each.criterion}_kappa_high": each.kappa.high,
                    }
                )
        mlflow.log_text("\n".join(map(str, found)), "agreement.txt")
    return str(run.info.run_id)


def _says(judge: Judge, criterion: Criterion, row: ReviewedCase) -> bool:
    sections = {
        "question": row.question,
        "answer": row.answer,
        "expected_facts": "\n".join(f"- {fact}" for fact in row.facts),
        "sources": "\n\n".join(row.retrieved),
    }
    return judge.ask(criterion, sections, case_id=row.case_id).verdict == "yes"
