"""A Bedrock evaluation job, run by the deployment's state machine; its scores go into the evaluation's
MLflow run.
"""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import boto3
from mlflow import MlflowClient

from fmops.evaluation.bedrock import OUTPUT, STANDARD, dataset, job_name, metric_names, scores
from fmops.evaluation.cases import EvaluationError
from fmops.evaluation.evaluate import Evaluation

PREFIX = "evaluation/bedrock"
"""Prefix in the lake bucket: the only one that the state machine's Bedrock role may use."""


def run(
    evaluation: Evaluation,
    *,
    state_machine: str,
    bucket: str,
    patience: float = 6 * 3600,
    metrics: tuple[str, ...] = STANDARD,
) -> dict[str, float]:
    """Run the job and return the means by metric, which are then also in the MLflow run.

    Raises ``EvaluationError``, with the job's reason, when it fails.
    """
    made = dataset(evaluation)
    name = job_name(f"fmops-{uuid4().hex[:12]}-{made.source}")
    s3, states = boto3.client("s3"), boto3.client("stepfunctions")
    key = f"{PREFIX}/datasets/{name}.jsonl"
    s3.put_object(Bucket=bucket, Key=key, Body=made.text.encode())
    given = {
        "name": name,
        "source": made.source,
        "dataset": f"s3://{bucket}/{key}",
        "output": f"s3://{bucket}/{PREFIX}/results/",
        "metrics": list(metrics),
    }
    execution = states.start_execution(stateMachineArn=state_machine, name=name, input=json.dumps(given))[
        "executionArn"
    ]
    _wait(states, execution, patience)
    found = scores(_outputs(s3, bucket, f"{PREFIX}/results/{name}/"))
    if any(len(values) != len(made.lines) for values in found.values()) or found.keys() != set(metrics):
        counts = ", ".join(f"{metric} {len(values)}" for metric, values in found.items())
        raise EvaluationError(
            f"job {name} has not scored all {len(made.lines)} rows by every metric ({counts}): nothing was recorded"
        )
    means = metric_names(found)
    client = MlflowClient()
    for metric, value in means.items():
        client.log_metric(evaluation.run_id, metric, value)
    client.set_tag(evaluation.run_id, "bedrock_evaluation_job", name)
    return means


def _wait(states: Any, execution: str, patience: float) -> None:
    deadline, pause = time.monotonic() + patience, 0.5
    while (described := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise EvaluationError(
                f"the job has not ended in {patience / 3600:.0f} hours: look at the execution {execution}"
            )
        time.sleep(pause)
        pause = min(30.0, pause * 1.5)
    if described["status"] != "SUCCEEDED":
        cause = described.get("cause") or described["status"]
        raise EvaluationError(f"the evaluation job failed: {cause} Nothing was recorded.")


def _outputs(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if OUTPUT.search(item["Key"])]
    return [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in sorted(keys)]
