"""Comparison of variants of the assistant over a dataset, with LangChain's steps traced: one MLflow run each,
and one for the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlflow

from fmops.evaluation.evaluate import Evaluation
from fmops.evaluation.scoring import METRICS
from fmops.evaluation.statistics import interval

PARAMETERS = ("prompt", "model_id", "temperature", "documents")


@dataclass(frozen=True)
class Comparison:
    """Variants side by side. ``run_id`` is the run with the table."""

    evaluations: Sequence[Evaluation]
    run_id: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return one row per metric: the mean of each variant with its 95 % bootstrap interval."""
        return table(self.evaluations)


def compare(evaluations: Sequence[Evaluation], *, experiment: str) -> Comparison:
    """Log the comparison of evaluations over the same cases."""
    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name="comparison") as run:
        mlflow.set_tags({f"variant.{number}": each.run_id for number, each in enumerate(evaluations)})
        rows = table(evaluations)
        mlflow.log_table({column: [row[column] for row in rows] for column in rows[0]}, "comparison.json")
        mlflow.log_text(text(rows), "comparison.txt")
    return Comparison(evaluations, str(run.info.run_id))


def table(evaluations: Sequence[Evaluation]) -> list[dict[str, str]]:
    """Return rows with the parameters that differ, then rows with the metrics."""
    names = [each.variant.name or f"variant {number}" for number, each in enumerate(evaluations, 1)]
    parameters = [each.variant.parameters() for each in evaluations]
    rows = [
        {"": parameter} | dict(zip(names, (each[parameter] for each in parameters), strict=True))
        for parameter in PARAMETERS
        if len({each[parameter] for each in parameters}) > 1
    ]
    for metric in METRICS:
        columns = [
            [scores[metric] for scores in each.sheet.values.values() if metric in scores]
            for each in evaluations
        ]
        if any(columns):
            shown = (_shown(metric, column) for column in columns)
            rows.append(
                {"": f"{metric} (n = {max(map(len, columns))})"} | dict(zip(names, shown, strict=True))
            )
    return rows


def text(rows: Sequence[dict[str, Any]]) -> str:
    """Format rows as aligned columns."""
    header = list(rows[0])
    lines = [header, *([str(row[column]) for column in header] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _shown(metric: str, values: Sequence[float]) -> str:
    if not values:
        return "no scores"
    found = interval(values)
    if metric == "cost_usd":
        return f"{found.value:.5f} [{found.low:.5f}, {found.high:.5f}]"
    return str(found)
