"""The review job: ``python -m fmops.jobs.review --help``."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import boto3
import duckdb
from botocore.config import Config
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops import json_lines
from fmops.agent import KNOWLEDGE
from fmops.capture import lake
from fmops.capture.forget import requests
from fmops.evaluation.cases import REVIEWED_KEY, ReviewedCase, dump, parse
from fmops.guardrails.settings import GuardrailSettings
from fmops.parallel import PATIENT, in_order
from fmops.partitions import LONGEST_BUFFER
from fmops.review.backend import ReviewBackend, ReviewUnavailableError
from fmops.review.judging import Grader, judge
from fmops.review.labels import Reviewed
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import DriftSignal, JudgeScore, ReviewTask
from fmops.review.model import parse as parse_lines
from fmops.review.outcome import Quality, case, judge_agreement, quality
from fmops.review.sampling import SamplingSettings, draw
from fmops.toolkit.bedrock_knowledge import choose
from fmops.toolkit.knowledge import KnowledgeUnavailableError
from fmops.toolkit.sources import Sources, sources
from fmops.tracking import quiet_mlflow
from fmops.turn import TAKEN, TurnTakenError, turn

NAMESPACE = "FMOps/Review"
TURN = "review/turn.json"
TASKS, LABELS = "review/tasks", "review/labels"
JUDGES, DRIFT = "review/judges", "analysis/content/review"
"""Prefix of objects with ``JudgeScore`` and ``DriftSignal`` lines, whose names begin with the day."""
WAITS = Config(connect_timeout=2, read_timeout=120, retries={"total_max_attempts": 5, "mode": "standard"})
"""Nobody waits for a judge: a throttled call is tried again, with back-off."""

log = logging.getLogger("fmops.review")


class ReviewSettings(BaseSettings):
    """Variables named ``FMOPS_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", populate_by_name=True, frozen=True)

    environment: str = Field(min_length=1, description="dimension of the metrics")
    lake_bucket: str = Field(min_length=1)
    tracking_uri: str = Field(
        min_length=1, validation_alias="MLFLOW_TRACKING_URI", description="ARN of the MLflow App"
    )
    guardrails_parameter: str = Field(default="", description="SSM parameter with the guardrails' settings")
    backend: Literal["mlflow", "ground_truth"] = "mlflow"
    sampling: SamplingSettings = SamplingSettings()
    judges: tuple[str, ...] = Field(default=(), description="models that judge captured answers")
    judged: int = Field(default=0, ge=0, le=10_000, description="answers of a day that they judge")
    knowledge_base_id: str = Field(
        default="", description="Bedrock knowledge base; the documents of the image are used when empty"
    )
    region: str = Field(default="", validation_alias="AWS_REGION")
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
        keys = (item["Key"] for page in pages for item in page.get("Contents", []))
        lines: list[str] = []
        for key, text in in_order(lambda key: (key, self.read(key)), keys):
            if text is None:
                log.warning("s3://%s/%s is skipped: it was deleted meanwhile", self.bucket, key)
            lines += json_lines.split(text or "")
        return lines

    def write_first(self, key: str, text: str) -> bool:
        """Write an object that is not there yet; False, and nothing, when it is."""
        try:
            self.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=text.encode(),
                ContentType="application/x-ndjson",
                IfNoneMatch="*",
            )
        except self.s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in TAKEN:
                return False
            raise
        return True

    def write(self, key: str, text: str) -> None:
        self.s3.put_object(
            Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/x-ndjson"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("fmops").setLevel(logging.INFO)
    # SageMaker stops a job by this: what was paid for is kept on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = ReviewSettings()
    objects = Lake(boto3.client("s3", config=PATIENT), settings.lake_bucket)
    backend = _backend(objects, settings)
    try:
        with turn(objects.s3, objects.bucket, TURN):
            if not options.collect:
                sample(objects, backend, settings, _day(options))
            collect(objects, backend, settings)
    except (KnowledgeUnavailableError, ReviewUnavailableError, TurnTakenError) as error:
        log.error("%s", error)
        return 2
    return 0


def _backend(objects: Lake, settings: ReviewSettings) -> ReviewBackend:
    if settings.backend == "mlflow":
        return MlflowReview(settings.tracking_uri, days=settings.days)
    from fmops.review.ground_truth import GroundTruth, GroundTruthSettings

    return GroundTruth(objects.s3, objects.bucket, GroundTruthSettings(), _sources(settings))


def _sources(settings: ReviewSettings) -> Sources:
    """Return the texts of the documents, which nothing is searched in."""
    return sources(
        choose(
            lambda: boto3.client("bedrock-agent-runtime", config=WAITS),
            settings.knowledge_base_id,
            KNOWLEDGE,
            None,
        )
    )


def sample(objects: Lake, backend: ReviewBackend, settings: ReviewSettings, day: date) -> list[ReviewTask]:
    """Choose the day's tasks, once, and put them before people; running again only submits what is missing."""
    key = f"{TASKS}/dt={day}/tasks.jsonl"
    if (drawn := objects.read(key)) is not None:
        tasks, _ = parse_lines(json_lines.split(drawn), ReviewTask)
        log.info("%s: %d tasks were chosen before", day, len(tasks))
    else:
        tasks = _draw(objects, settings, day)
        if not objects.write_first(key, "".join(task.line() for task in tasks)):
            raise TurnTakenError(f"another run has chosen the tasks of {day} meanwhile: run this again")
    log.info("%s: %d of %d tasks submitted", day, backend.submit(tasks), len(tasks))
    return tasks


def _draw(objects: Lake, settings: ReviewSettings, day: date) -> list[ReviewTask]:
    drift, foreign = parse_lines(objects.read_all(f"{DRIFT}/{day}"), DriftSignal)
    if foreign:
        log.warning("%d lines of the analysis are not understood", foreign)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # Records of a day may arrive on the next one: they wait for a full batch, or for an outage to end.
        reading = lake.fetch(objects.s3, objects.bucket, directory, first=day, last=day + timedelta(days=1))
        connection = lake.connect(directory, forgotten=requests(objects.s3, objects.bucket))
        lake.count_unread(connection, reading)
        _tell_forgotten(settings, lake.count_forgotten(connection))
        log.info(
            "%s: %d objects, %d corrupt, %d deleted meanwhile, %d foreign lines, %d newer records",
            day,
            reading.objects,
            len(reading.corrupt),
            len(reading.vanished),
            reading.foreign_lines,
            reading.newer_records,
        )
        drawn = draw(
            connection,
            day.isoformat(),
            settings.sampling,
            guardrails=_guardrails(settings.guardrails_parameter),
            judges=_judge(objects, settings, connection, day),
            drift=drift,
        )
        connection.close()
    for stratum, population in drawn.population.items():
        chosen = sum(task.stratum is stratum for task in drawn.tasks)
        log.info("%s: %-20s %6d interactions, %4d chosen", day, stratum.value, population, chosen)
    return drawn.tasks


def _tell_forgotten(settings: ReviewSettings, count: int) -> None:
    _publish(settings, {"ForgottenRecords": count})
    if count:
        log.error(
            "%d records of people who asked to be forgotten have arrived since: make forget AGAIN=1", count
        )


def _judge(
    objects: Lake, settings: ReviewSettings, connection: duckdb.DuckDBPyConnection, day: date
) -> Sequence[JudgeScore]:
    """The judges' scores of the day: those that there are, and those that are made now."""
    known, foreign = parse_lines(objects.read_all(f"{JUDGES}/{day}"), JudgeScore)
    if foreign:
        log.warning("%d lines of judges are not understood", foreign)
    if not settings.judged or not settings.judges:
        return known
    judged = judge(
        connection,
        day.isoformat(),
        graders(settings.judges, settings.region),
        budget=settings.judged,
        known=known,
        keep=lambda scores: objects.write(
            f"{JUDGES}/{day}-{uuid4().hex}.jsonl", "".join(score.line() for score in scores)
        ),
        sources=_sources(settings),
    )
    log.info(
        "%s: %d judges gave %d scores, %d of them before; %d answers without a usable one",
        day,
        len(settings.judges),
        len(judged.scores),
        len(judged.scores) - judged.made,
        judged.failed,
    )
    if judged.away:
        log.error("%s", judged.away)
    _publish(settings, judged.metrics(settings.sampling.judge_spread))
    return judged.scores


def graders(model_ids: Sequence[str], region: str) -> list[Grader]:
    """Judges of these models, in Bedrock."""
    # Imported here: it takes a second, which a run that judges nothing should not wait for.
    from langchain_aws import ChatBedrockConverse

    from fmops.evaluation.judge import Judge

    client = boto3.client("bedrock-runtime", config=WAITS)
    return [
        Judge(
            ChatBedrockConverse(client=client, model_id=each, temperature=0, region_name=region or None),
            model_id=each,
        )
        for each in model_ids
    ]


def _publish(settings: ReviewSettings, metrics: Mapping[str, float]) -> None:
    boto3.client("cloudwatch").put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Environment", "Value": settings.environment}],
                "Value": value,
            }
            for name, value in metrics.items()
        ],
    )


def collect(objects: Lake, backend: ReviewBackend, settings: ReviewSettings) -> Quality:
    """Keep the labels, make evaluation cases of what is settled, and publish what they say of the traffic."""
    reviewed = backend.reviewed()
    if disputed := backend.adjudicate(reviewed):
        log.info("%d disputed tasks put before adjudicators", disputed)
    for day in sorted({each.task.day for each in reviewed}):
        labels = [label for each in reviewed if each.task.day == day for label in each.labels]
        if labels:
            objects.write(f"{LABELS}/dt={day}/labels.jsonl", "".join(label.line() for label in labels))
    added = _add_cases(objects, reviewed, _sources(settings))
    found = quality(reviewed)
    judges = judge_agreement(reviewed, _scores(objects, reviewed), settings.sampling.judge_threshold)
    _publish(settings, found.metrics() | judges.metrics())
    log.info("judges and people: %s", judges)
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


def _scores(objects: Lake, reviewed: Sequence[Reviewed]) -> list[JudgeScore]:
    """Return the judges' scores of the days that people reviewed."""
    days = sorted({each.task.day for each in reviewed})
    return parse_lines((line for day in days for line in objects.read_all(f"{JUDGES}/{day}")), JudgeScore)[0]


def _add_cases(objects: Lake, reviewed: Sequence[Reviewed], documents: Sources) -> int:
    """Add what is settled to the reviewed cases; a case that was settled anew replaces itself."""
    text = objects.read(REVIEWED_KEY)
    known = parse(text, ReviewedCase, name=REVIEWED_KEY) if text else []
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
    # A schedule soon after midnight finds the day's last records still in the delivery stream.
    due = (
        datetime.fromisoformat(options.scheduled) - LONGEST_BUFFER if options.scheduled else datetime.now(UTC)
    )
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
    quiet_mlflow()
    sys.exit(main())
