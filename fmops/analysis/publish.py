"""Publication of results beside the lake: in CloudWatch, which alarms watch, and in an MLflow run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fmops.analysis.baseline import Baseline
from fmops.analysis.result import WindowResult
from fmops.tracking import quiet_mlflow

NAMESPACE = "FMOps/Analysis"
OLDEST = timedelta(days=13)
"""Maximum age of a window's end for CloudWatch, which accepts points of the last two weeks."""


def to_cloudwatch(client: Any, result: WindowResult, *, environment: str, now: datetime) -> bool:
    """Send one point per metric, at the window's end. Return False, and send nothing, if it is too old for
    CloudWatch."""
    end = min(datetime.fromisoformat(result.end), now)
    if now - end > OLDEST:
        return False
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Environment", "Value": environment}],
            "Timestamp": end.astimezone(UTC),
            "Value": value,
        }
        for name, value in result.metrics().items()
    ]
    client.put_metric_data(Namespace=NAMESPACE, MetricData=data)
    return True


def mlflow_module() -> Any:
    """Return MLflow, without its own telemetry and announcements."""
    quiet_mlflow()
    import mlflow

    return mlflow


class Experiment:
    """The analysis's runs in a tracking server, named by its URI or by the ARN of an MLflow App."""

    NAME = "embedding-analysis"

    def __init__(self, tracking_uri: str) -> None:
        self._mlflow = mlflow_module()
        self._mlflow.set_tracking_uri(tracking_uri)
        self._mlflow.set_experiment(self.NAME)

    def log_result(self, result: WindowResult, html: str) -> str:
        """Log a run with the window's numbers and its report; return the run's id."""
        with self._mlflow.start_run(run_name=f"window {result.window}") as run:
            self._mlflow.log_params(
                {
                    "window": result.window,
                    "baseline": result.baseline or "none",
                    "embedding_model": result.model_id,
                    "engine": result.engine,
                    "verdict": result.verdict,
                }
            )
            self._mlflow.log_metrics(result.metrics())
            self._mlflow.log_text(html, "report.html")
        return str(run.info.run_id)

    def has_baseline(self, version: str) -> bool:
        """Return whether a run describes what the baseline was fitted to."""
        runs = self._mlflow.search_runs(
            experiment_names=[self.NAME],
            filter_string=f"attributes.run_name = 'baseline {version}' and attributes.status = 'FINISHED'",
            max_results=1,
            output_format="list",
        )
        return bool(runs)

    def log_baseline(self, baseline: Baseline) -> str:
        """Log a run that describes what a baseline was fitted to; return the run's id."""
        with self._mlflow.start_run(run_name=f"baseline {baseline.version}") as run:
            self._mlflow.log_params(
                {
                    "baseline": baseline.version,
                    "embedding_model": baseline.reference.model_id,
                    "first_window": baseline.window_ids[0],
                    "last_window": baseline.window_ids[-1],
                    "topics": baseline.reference.topics,
                    "documents": len(baseline.reference.corpus),
                }
            )
            self._mlflow.log_metrics(
                {
                    "Rows": baseline.state.count,
                    "Windows": len(baseline.window_ids),
                    "NovelShare": baseline.state.novel_share,
                }
            )
        return str(run.info.run_id)
