"""The tour's result as a run in the deployment's MLflow App, reached by its ARN as every client does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from demo.tour import Step
from fmops.tracking import quiet_mlflow

EXPERIMENT = "tour"


def load() -> Any:
    """Return MLflow, without its own telemetry and announcements. It takes seconds to import."""
    quiet_mlflow()
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return mlflow


def log(app_arn: str, steps: Sequence[Step]) -> str:
    """Record what was asked and decided, without what was said, and return the run's id."""
    mlflow = load()
    mlflow.set_tracking_uri(app_arn)
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name="tour") as run:
        mlflow.log_params({"steps": len(steps), "users": len({step.user for step in steps})})
        mlflow.log_metrics(_metrics(steps))
        mlflow.log_table(_table(steps), "steps.json")
    return str(run.info.run_id)


def _metrics(steps: Sequence[Step]) -> dict[str, float]:
    durations = sorted(step.seconds for step in steps)
    return {
        "as_expected": sum(not step.problems for step in steps),
        "blocked": sum(step.finish == "content_filter" for step in steps),
        "denied_tool_calls": sum(tool["status"] == "denied" for step in steps for tool in step.tools),
        "seconds_median": durations[len(durations) // 2],
        "seconds_max": durations[-1],
    }


def _table(steps: Sequence[Step]) -> dict[str, list[Any]]:
    return {
        "interaction_id": [step.interaction_id for step in steps],
        "trace_id": [step.trace_id for step in steps],
        "finish_reason": [step.finish for step in steps],
        "layers": [step.layers() for step in steps],
        "seconds": [round(step.seconds, 3) for step in steps],
        "as_expected": [not step.problems for step in steps],
    }
