"""The review job: ``python -m fmops.jobs.review --help``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import boto3
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops.assistant import knowledge
from fmops.capture import lake
from fmops.evaluation.cases import ReviewedCase, dump, parse
from fmops.evaluation.datasets import REVIEWED_KEY
from fmops.guardrails.settings import GuardrailSettings
from fmops.review.backend import ReviewBackend, ReviewUnavailableError
from fmops.review.labels import Reviewed
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import DriftSignal, JudgeScore, ReviewTask
from fmops.review.model import parse as parse_lines
from fmops.review.outcome import Quality, case, quality
from fmops.review.sampling import SamplingSettings, draw

NAMESPACE = "FMOps/Review"
TASKS, LABELS = "review/tasks", "review/labels"
JUDGES, DRIFT = "review/judges", "analysis/content/review"
"""Where others leave ``JudgeScore`` and ``DriftSignal`` lines, in objects whose names begin with the day."""

log = logging.getLogger("fmops.review")


class ReviewSettings(BaseSettings):
    """Variables named ``FMOPS_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", frozen=True)

    environment: str = Field(min_length=1, description="dimension of the metrics")
    lake_bucket: str = Field(min_length=1)
    tracking_uri: str = Field(min_length=1, description="ARN of the MLflow App")
    guardrails_parameter: str = Field(default="", description="SSM parameter with the guardrails' settings")
    backend: Literal["mlflow", "ground_truth"] = "mlflow"
    sampling: SamplingSettings = SamplingSettings()
    days: int = Field(default=30, ge=1, le=365, description="how many days' labels are collected")


class Lake:
    """The objects that the job reads and writes."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.bucket = bucket

    def read(self, key: str) -> str | None:
        try:
            return str(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())
        except self.s3.exceptions.NoSuchKey:
            return None

    def read_all(self, prefix: str) -> list[str]:
        """The lines of every object whose key begins so."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [line for key in keys for line in (self.read(key) or "").splitlines()]

    def write(self, key: str, text: str) -> None:
        self.s3.put_object(
            Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/x-ndjson"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("fmops").setLevel(logging.INFO)
    settings = ReviewSettings()
    objects = Lake(boto3.client("s3"), settings.lake_bucket)
    backend = _backend(objects, settings)
    try:
        if not options.collect:
            sample(objects, backend, settings, _day(options))
        collect(objects, backend, settings)
    except ReviewUnavailableError as error:
        log.error("%s", error)
        return 2
    return 0


def _backend(objects: Lake, settings: ReviewSettings) -> ReviewBackend:
    if settings.backend == "mlflow":
        return MlflowReview(settings.tracking_uri, days=settings.days)
    from fmops.review.ground_truth import GroundTruth, GroundTruthSettings

    documents = {document.id: (document.title, document.text) for document in knowledge.load()}
    return GroundTruth(objects.s3, objects.bucket, GroundTruthSettings(), documents)


def sample(objects: Lake, backend: ReviewBackend, settings: ReviewSettings, day: date) -> list[ReviewTask]:
    """Choose the day's tasks, once, and put them before people; running again only submits what is missing."""
    key = f"{TASKS}/dt={day}/tasks.jsonl"
    if (drawn := objects.read(key)) is not None:
        tasks, _ = parse_lines(drawn.splitlines(), ReviewTask)
        log.info("%s: %d tasks were chosen before", day, len(tasks))
    else:
        tasks = _draw(objects, settings, day)
        objects.write(key, "".join(task.line() for task in tasks))
    log.info("%s: %d of %d tasks submitted", day, backend.submit(tasks), len(tasks))
    return tasks


def _draw(objects: Lake, settings: ReviewSettings, day: date) -> list[ReviewTask]:
    judges, foreign_scores = parse_lines(objects.read_all(f"{JUDGES}/{day}"), JudgeScore)
    drift, foreign_signals = parse_lines(objects.read_all(f"{DRIFT}/{day}"), DriftSignal)
    if foreign := foreign_scores + foreign_signals:
        log.warning("%d lines of judges and of the analysis are not understood", foreign)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # Records of a day may lie under the next one: they wait for a full batch, or for an outage to end.
        reading = lake.fetch(objects.s3, objects.bucket, directory, first=day, last=day + timedelta(days=1))
        connection = lake.connect(directory)
        lake.count_unread(connection, reading)
        log.info(
            "%s: %d objects, %d corrupt, %d foreign lines, %d newer records",
            day,
            reading.objects,
            len(reading.corrupt),
            reading.foreign_lines,
            reading.newer_records,
        )
        drawn = draw(
            connection,
            day.isoformat(),
            settings.sampling,
            guardrails=_guardrails(settings.guardrails_parameter),
            judges=judges,
            drift=drift,
        )
        connection.close()
    for stratum, population in drawn.population.items():
        chosen = sum(task.stratum is stratum for task in drawn.tasks)
        log.info("%s: %-20s %6d interactions, %4d chosen", day, stratum.value, population, chosen)
    return drawn.tasks


def collect(objects: Lake, backend: ReviewBackend, settings: ReviewSettings) -> Quality:
    """Keep the labels, make evaluation cases of what is settled, and publish what they say of the traffic."""
    reviewed = backend.reviewed()
    for day in sorted({each.task.day for each in reviewed}):
        labels = [label for each in reviewed if each.task.day == day for label in each.labels]
        if labels:
            objects.write(f"{LABELS}/dt={day}/labels.jsonl", "".join(label.line() for label in labels))
    added = _add_cases(objects, reviewed)
    found = quality(reviewed)
    boto3.client("cloudwatch").put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Environment", "Value": settings.environment}],
                "Value": value,
            }
            for name, value in found.metrics().items()
        ],
    )
    states = ", ".join(f"{count} {state.value}" for state, count in found.tasks.items())
    alpha = "not known yet" if found.agreement is None else f"{found.agreement:.2f}"
    log.info("%s; agreement (Krippendorff's alpha) %s; %d cases added", states, alpha, added)
    if found.bad:
        log.info(
            "bad answers: %.1f %% (95 %% interval %.1f to %.1f), from %d labelled of %d",
            *(100 * value for value in (found.bad.rate, found.bad.low, found.bad.high)),
            found.bad.labelled,
            found.bad.population,
        )
    else:
        log.info("no estimate: %s", found.missing)
    return found


def _add_cases(objects: Lake, reviewed: Sequence[Reviewed]) -> int:
    """Add what is settled to the reviewed cases; a case that was settled anew replaces itself."""
    text = objects.read(REVIEWED_KEY)
    known = parse(text, ReviewedCase, name=REVIEWED_KEY) if text else []
    documents = {document.id: document.text for document in knowledge.load()}
    cases = {each.case_id: each for each in known}
    new = {made.case_id: made for each in reviewed if (made := case(each, documents))}
    if any(cases.get(case_id) != made for case_id, made in new.items()):
        objects.write(REVIEWED_KEY, dump((cases | new).values()))
    return len(new.keys() - cases.keys())


def _guardrails(parameter: str) -> GuardrailSettings:
    if not parameter:
        return GuardrailSettings()
    value = boto3.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    return GuardrailSettings.model_validate(json.loads(value))


def _day(options: argparse.Namespace) -> date:
    if options.day:
        return date.fromisoformat(options.day)
    due = datetime.fromisoformat(options.scheduled) if options.scheduled else datetime.now(UTC)
    return due.astimezone(UTC).date() - timedelta(days=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fmops.jobs.review",
        description="Chooses a day's interactions for review, and brings labels back.",
    )
    parser.add_argument("--day", help="2026-11-24 (UTC); yesterday by default", type=_checked_day)
    parser.add_argument("--collect", action="store_true", help="only bring labels back")
    parser.add_argument("--scheduled", metavar="TIME", help="when the schedule was due")
    return parser


def _checked_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day, such as 2026-11-24") from None


if __name__ == "__main__":
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    sys.exit(main())
