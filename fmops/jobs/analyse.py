"""The analysis job: `python -m fmops.jobs.analyse --help`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops.analysis.describe import Describer, bedrock
from fmops.analysis.documents import Documents
from fmops.analysis.elsewhere import EngineError, SparkEngine
from fmops.analysis.emr import EmrServerless
from fmops.analysis.lake import S3Lake, Window, parse_time, windows
from fmops.analysis.publish import Experiment, to_cloudwatch
from fmops.analysis.reference import Array, BaselineError
from fmops.analysis.report import plot, render
from fmops.analysis.result import Place, WindowResult
from fmops.analysis.run import Analysis
from fmops.partitions import LONGEST_BUFFER
from fmops.turn import TurnTakenError, turn

if TYPE_CHECKING:
    from fmops.analysis.baseline import Baseline

TURN = "analysis/turn.json"
log = logging.getLogger("fmops.analysis")


class AnalyseSettings(BaseSettings):
    """Settings from variables named ``FMOPS_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", populate_by_name=True, frozen=True)

    environment: str = Field(min_length=1, description="value of the metrics' dimension")
    lake_bucket: str = Field(min_length=1)
    interactions_prefix: str = "interactions"
    assistant_url: str = Field(
        default="",
        description="address of the assistant, to whose traces the report links; no links when empty",
    )
    tracking_uri: str = Field(
        validation_alias="MLFLOW_TRACKING_URI",
        default="",
        description="ARN of the MLflow App; without one, nothing is logged to MLflow",
    )
    embedding_model_id: str = Field(
        default="", description="model that embeds the knowledge base when a baseline is fitted"
    )
    knowledge_base_id: str = Field(
        default="",
        description="knowledge base whose ingestions the lake holds; without one, the documents are in the image",
    )
    description_model_id: str = Field(
        default="", description="model that says what changed when there is an alarm; none by default"
    )
    window_hours: int = Field(default=24, ge=1, le=168)
    baseline_windows: int = Field(default=14, ge=1, le=366)
    alarm_windows: int = Field(default=500, ge=10)
    spark_application_id: str = Field(
        default="", description="application of EMR Serverless; without one, this machine reads every window"
    )
    spark_role_arn: str = Field(default="", description="role of its job runs")
    spark_from_gib: int = Field(
        default=0, ge=0, description="size in GiB of a window's objects from which Spark reads them"
    )
    spark_hours: int = Field(default=4, ge=1, description="hours after which a job run is stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout
    )
    log.setLevel(logging.INFO)
    settings = AnalyseSettings()
    lake = S3Lake(settings.lake_bucket)
    analysis = Analysis(
        lake,
        interactions=settings.interactions_prefix,
        hours=settings.window_hours,
        baseline_windows=settings.baseline_windows,
        alarm_windows=settings.alarm_windows,
        corpus=lambda model: embed_knowledge(settings.embedding_model_id, model),
        documents=Documents(lake) if settings.knowledge_base_id else None,
        spark=spark(settings),
        spark_from=settings.spark_from_gib << 30,
        describe=Describer(bedrock(model)) if (model := settings.description_model_id) else None,
    )
    try:
        # Two runs at once would both publish a window's metrics and its MLflow run.
        with turn(lake.client, settings.lake_bucket, TURN):
            _work(options, analysis, settings)
    except (BaselineError, EngineError, TurnTakenError, ValueError) as error:
        log.error("%s", error)
        return 2
    return 0


def _work(options: argparse.Namespace, analysis: Analysis, settings: AnalyseSettings) -> None:
    start, end = _range(options, analysis)
    if options.fit:
        fit(analysis, settings, start, end)
        return
    for number, window in enumerate(spans := windows(start, end, hours=settings.window_hours), 1):
        log.info("window %s (%d of %d)", window.id, number, len(spans))
        run(analysis, settings, window, again=options.again)


def run(
    analysis: Analysis, settings: AnalyseSettings, window: Window, *, again: bool = False
) -> WindowResult:
    """Analyse a window, and publish the result wherever it is missing: each run completes what a failed one
    left.
    """
    result, unpublished = analysis.analyse(window, again=again)
    if not unpublished:
        return result
    history = analysis.store.results(result.baseline or "none")
    html = render(result, history, assistant=settings.assistant_url)
    log.info("window %s: %s. %d rows, %.1f s", window.id, result.verdict, result.rows, result.seconds)
    places: dict[Place, Callable[[], None]] = {
        "report": lambda: _to_report(analysis, settings, result, html, plot(result, history)),
        "cloudwatch": lambda: _to_metrics(settings, result),
        "mlflow": lambda: _to_mlflow(analysis, settings, result, html),
    }
    for place in result.unpublished:
        places[place]()
        result = analysis.published(result, place)
    return result


def _to_report(
    analysis: Analysis, settings: AnalyseSettings, result: WindowResult, html: str, picture: str
) -> None:
    key = analysis.store.save_report(result, html, picture)
    log.info("window %s: report s3://%s/%s", result.window, settings.lake_bucket, key)


def _to_metrics(settings: AnalyseSettings, result: WindowResult) -> None:
    import boto3

    client = boto3.client("cloudwatch")
    if not to_cloudwatch(client, result, environment=settings.environment, now=datetime.now(UTC)):
        log.info("window %s: too old for CloudWatch's metrics", result.window)


def _to_mlflow(analysis: Analysis, settings: AnalyseSettings, result: WindowResult, html: str) -> None:
    if not settings.tracking_uri:
        return
    experiment = Experiment(settings.tracking_uri)
    if result.baseline and not experiment.has_baseline(result.baseline):
        baseline = analysis.store.baseline()
        if baseline is not None and baseline.version == result.baseline:
            experiment.log_baseline(baseline)
    experiment.log_result(result, html)


def fit(analysis: Analysis, settings: AnalyseSettings, start: datetime, end: datetime) -> Baseline:
    """Fit a baseline, put it in use, and log it."""
    baseline = analysis.fit(start, end)
    if settings.tracking_uri:
        Experiment(settings.tracking_uri).log_baseline(baseline)
    return baseline


def spark(settings: AnalyseSettings) -> SparkEngine | None:
    """Return the engine for large windows, or None if the deployment has none."""
    if not settings.spark_application_id:
        return None
    import boto3

    run = EmrServerless(
        boto3.client("emr-serverless"),
        application_id=settings.spark_application_id,
        role_arn=settings.spark_role_arn,
        hours=settings.spark_hours,
    )
    return SparkEngine(S3Lake(settings.lake_bucket), settings.lake_bucket, run, settings.interactions_prefix)


def embed_knowledge(model_id: str, captured_model: str) -> Array | None:
    """Return vectors of the assistant's documents, shape ``[c, d]``; None if their model would differ from the
    queries'."""
    if not model_id or model_id != captured_model:
        return None
    import numpy as np
    from langchain_aws import BedrockEmbeddings

    from fmops.agent import KNOWLEDGE
    from fmops.toolkit.knowledge import load

    texts = [f"{document.title}\n{document.text}" for document in load(KNOWLEDGE)]
    vectors: Array = np.array(BedrockEmbeddings(model_id=model_id).embed_documents(texts), np.float32)
    return vectors


def _range(options: argparse.Namespace, analysis: Analysis) -> tuple[datetime, datetime]:
    """Return the requested days, or else the last window whose records were all delivered when the schedule
    was due.
    """
    step = timedelta(hours=analysis.hours)
    if options.start is None:
        due = parse_time(options.scheduled) - LONGEST_BUFFER if options.scheduled else datetime.now(UTC)
        midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
        end = midnight + (due - midnight) // step * step
        return end - step, end
    start = parse_time(options.start)
    return start, parse_time(options.end) if options.end else start + step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fmops.jobs.analyse", description="Analyse captured interactions, window by window."
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="first window: 2026-11-12 or 2026-11-12T06:00 (UTC); by default, the last one that has ended",
    )
    parser.add_argument(
        "--to", dest="end", metavar="TIME", help="end of the last window; by default, one window is analysed"
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="fit a baseline on the range and put it in use, instead of analysing",
    )
    parser.add_argument(
        "--again", action="store_true", help="analyse windows again even if their result is known"
    )
    parser.add_argument("--scheduled", metavar="TIME", help="time when the schedule was due")
    return parser


if __name__ == "__main__":
    sys.exit(main())
