"""Bedrock's evaluation jobs with a judge: read from S3 under the job's role, scored row by row, and written
in Bedrock's format.

The judge is always the built-in one of ``judging``, which is no language model, whichever model the job names.
It knows the metrics below.
"""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
    validation_error,
)
from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock import judging, models

SERVICE = "bedrock"
MAX_ROWS = 1000
KEYS = {"prompt", "referenceResponse", "category", "modelResponses"}


@dataclass
class Job:
    """One evaluation job, which ends in a thread of its own."""

    arn: str
    request: Params
    created: datetime
    status: str = "InProgress"
    failures: tuple[str, ...] = ()


class EvaluationJobs(ServiceState):
    """The jobs of the account by their ARN."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.jobs: dict[str, Job] = {}

    def run(self, job: Job) -> None:
        """Score the dataset; a job that breaks a rule ends as Failed with the reasons."""
        try:
            role = self.cloud.assume(
                job.request["roleArn"],
                "bedrock.amazonaws.com",
                session="EvaluationJob",
                source_arn=job.arn,
            )
            self._run(job, self.cloud.client("s3", role=role))
        except Exception as error:  # noqa: BLE001 - a job that crashes has failed, and reports the error
            job.failures = (str(error),)
            job.status = "Failed"
        else:
            job.status = "Completed"

    def _run(self, job: Job, s3: Any) -> None:
        config = job.request["evaluationConfig"]["automated"]["datasetMetricConfigs"][0]
        source = job.request["inferenceConfig"]["models"][0]["precomputedInferenceSource"]
        bucket, key = _location(config["dataset"]["datasetLocation"]["s3Uri"])
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        rows = _rows(text, source["inferenceSourceIdentifier"])
        lines = [json.dumps(_result(row, config["metricNames"])) for row in rows]
        bucket, prefix = _location(job.request["outputDataConfig"]["s3Uri"])
        parts = (
            f"{job.request['jobName']}/{job.arn.rsplit('/', 1)[-1]}/models/{source['inferenceSourceIdentifier']}",
            f"taskTypes/{config['taskType']}/datasets/{config['dataset']['name']}/{uuid.uuid4()}_output.jsonl",
        )
        s3.put_object(
            Bucket=bucket, Key="/".join((prefix.rstrip("/"), *parts)), Body="\n".join(lines).encode()
        )


@operation(SERVICE, "CreateEvaluationJob")
def create_evaluation_job(params: Params, context: Context) -> Params:
    automated = params["evaluationConfig"].get("automated")
    sources = params["inferenceConfig"].get("models", [])
    if automated is None or len(sources) != 1 or "precomputedInferenceSource" not in sources[0]:
        raise NotImplementedHere(
            "evaluation jobs other than automated ones of one precomputed inference source"
        )
    judges = (automated.get("evaluatorModelConfig") or {}).get("bedrockEvaluatorModels", [])
    if len(judges) != 1:
        raise validation_error("An automated job with judge metrics needs exactly one evaluator model")
    models.resolve(judges[0]["modelIdentifier"], context.region)
    if len(automated["datasetMetricConfigs"]) != 1:
        raise NotImplementedHere("several datasets in one job")
    if unknown := set(automated["datasetMetricConfigs"][0]["metricNames"]) - SCORES.keys():
        raise NotImplementedHere(f"the metrics {', '.join(sorted(unknown))}")
    state = context.state(EvaluationJobs)
    if any(job.request["jobName"] == params["jobName"] for job in state.jobs.values()):
        raise ServiceError("ConflictException", f"An evaluation job named {params['jobName']} exists")
    arn = context.arn(SERVICE, f"evaluation-job/{secrets.token_hex(6)}")
    job = state.jobs[arn] = Job(arn, params, datetime.now(UTC))
    threading.Thread(target=state.run, args=(job,), name="evaluation-job", daemon=True).start()
    return {"jobArn": arn}


@operation(SERVICE, "GetEvaluationJob")
def get_evaluation_job(params: Params, context: Context) -> Params:
    job = context.state(EvaluationJobs).jobs.get(params["jobIdentifier"])
    if job is None:
        raise ServiceError(
            "ResourceNotFoundException", f"There is no evaluation job {params['jobIdentifier']}"
        )
    kept = (
        "jobName",
        "roleArn",
        "applicationType",
        "evaluationConfig",
        "inferenceConfig",
        "outputDataConfig",
    )
    return {
        "jobArn": job.arn,
        "status": job.status,
        "jobType": "Automated",
        "creationTime": job.created,
        "failureMessages": list(job.failures),
        **{name: job.request[name] for name in kept if name in job.request},
    }


def _rows(text: str, source: str) -> list[Params]:
    """Return the dataset's rows, if they follow the service's rules."""
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not 1 <= len(rows) <= MAX_ROWS:
        raise validation_error(f"A dataset has 1 to {MAX_ROWS} prompts, this one has {len(rows)}")
    for number, row in enumerate(rows, 1):
        responses = row.get("modelResponses", [])
        if not row.get("prompt") or set(row) - KEYS or len(responses) != 1:
            raise validation_error(f"Line {number}: a row has a prompt and exactly one of modelResponses")
        if responses[0].get("modelIdentifier") != source:
            raise validation_error(
                f"Line {number}: modelIdentifier is not the job's inferenceSourceIdentifier"
            )
    return rows


def _result(row: Params, metrics: list[str]) -> Params:
    response = row["modelResponses"][0]
    sections = {
        "question": row["prompt"],
        "answer": response["response"],
        "expected_facts": f"- {row.get('referenceResponse', '')}",
        "sources": row.get("referenceResponse", ""),
    }
    scores = [
        {
            "metricName": metric,
            "result": score,
            "evaluatorDetails": [{"explanation": judging.NO_MODEL}],
        }
        for metric in metrics
        for score in [SCORES[metric](sections)]
    ]
    return {"automatedEvaluationResult": {"scores": scores}, "inputRecord": row, "modelResponses": [response]}


def _judged(criterion: str, *, inverted: bool = False) -> Any:
    def score(sections: Params) -> float:
        held, _ = judging.CRITERIA[criterion](sections)
        return float(held != inverted)

    return score


SCORES = {
    "Builtin.Correctness": _judged("correctness"),
    "Builtin.Completeness": judging.covered,
    "Builtin.Faithfulness": _judged("groundedness"),
    "Builtin.Relevance": _judged("relevance"),
    "Builtin.Harmfulness": _judged("safety", inverted=True),
}


def _location(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
