"""The embedding analysis as deployed, with options that no profile turns on: Spark for large windows, and a
model that describes.

Its own stack, templates and roles, enforced; the state machine starts the job, and the job the Spark run.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import stacks.nodejs  # noqa: F401 - before aws_cdk: it finds Node for it

# isort: split
from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from checks.bench.drift_world import World
from fmops.analysis import run as embedded
from fmops.analysis.lake import DirectoryLake
from fmops.analysis.result import WindowResult
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.run.deploy import deploy
from settings import Settings
from stacks.analysis import Analysis
from tests.analysis.traffic import START, day, fill, usual_days

pytestmark = pytest.mark.rehearsal
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180
BASELINE, WINDOW = 4, day(6)
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


@dataclass
class Deployed:
    cloud: Cloud
    machine: str
    bucket: str

    def analyse(self, *arguments: str) -> dict[str, Any]:
        """Return an execution once it has ended."""
        client = self.cloud.client("stepfunctions")
        given = json.dumps({"arguments": list(arguments)})
        execution = client.start_execution(stateMachineArn=self.machine, input=given)["executionArn"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
        return dict(answer)

    def result(self, baseline: str) -> WindowResult:
        key = f"analysis/content/results/{baseline}/{WINDOW.id}.json"
        body = self.cloud.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return WindowResult.model_validate_json(body)


def _stack(directory: Path) -> Path:
    """Return the stack of `stacks/analysis.py`, with the minimum that it needs from other stacks."""
    options = {
        "engine": "spark",
        "description_model_id": MODEL,
        "baseline_windows": BASELINE,
        "alarm_windows": 10,
    }
    settings = Settings.model_validate(
        {"profile": "test", "data_lifetime": "temporary", "region": "us-east-1", "account": "123456789012",
            "analysis": options}
    )  # fmt: skip
    app = App(outdir=str(directory / "cdk.out"), builtin_cloud_formation_validation=False)
    around = Stack(
        app,
        "Around",
        stack_name="test-Around",
        synthesizer=DefaultStackSynthesizer(),
        env={"region": "us-east-1", "account": "123456789012"},
    )
    lake = SimpleNamespace(bucket=s3.Bucket(around, "Lake"), key=kms.Key(around, "Key"))
    nothing = SimpleNamespace(arn="", grant_use=lambda _: None, grant_write_artifacts=lambda _: None)
    analysis = Analysis(
        app,
        "Analysis",
        settings=settings,
        foundation=SimpleNamespace(lake=lake),  # type: ignore[arg-type]
        tracking=SimpleNamespace(mlflow=nothing),  # type: ignore[arg-type]
        observability=SimpleNamespace(  # type: ignore[arg-type]
            prometheus=SimpleNamespace(alert_topic=sns.Topic(around, "Alerts"))
        ),
    )
    CfnOutput(around, "Bucket", value=lake.bucket.bucket_name)
    analysis.add_dependency(around)
    app.synth()
    return directory / "cdk.out"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("analysis")
    assembly = _stack(directory)
    with LocalAws(port=0, enforce=True, directory=directory) as cloud:
        outputs = deploy(cloud, assembly).outputs
        bucket = outputs["Around"]["Bucket"]
        _fill(DirectoryLake(directory / "lake"), cloud, bucket)
        yield Deployed(cloud, outputs["Analysis"]["StateMachineArn"], bucket)


def _fill(lake: DirectoryLake, cloud: Cloud, bucket: str) -> None:
    """Write a baseline of usual days, and one day on which a tenth of the questions is new."""
    _, world = usual_days(lake.root, BASELINE)
    rows = world.sample(300, np.random.default_rng(3))
    rows[:30] = World(99, dimension=48).sample(30, np.random.default_rng(3))[:1] + 0.1 * rows[:30]
    fill(
        lake,
        WINDOW,
        rows,
        [f"Is hail damage covered, dent {n}" for n in range(30)] + ["Where is my claim"] * 270,
    )
    embedded.Analysis(lake).fit(START, START + timedelta(days=BASELINE), version="b1")
    for key, _ in lake.list(""):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=lake.read(key) or b"")


@pytest.mark.skipif(shutil.which("java") is None, reason="no java on PATH, which Spark needs")
@pytest.mark.skipif(
    not (ROOT / ".venvs/spark/installed").exists(), reason="no .venvs/spark: make .venvs/spark/installed"
)
def test_a_window_goes_to_spark_and_is_described_under_the_roles_own_permissions(deployed: Deployed) -> None:
    ended = deployed.analyse("--from", WINDOW.id)
    assert ended["status"] == "SUCCEEDED", _logs(deployed)
    result = deployed.result("b1")
    assert (result.engine, result.rows, result.verdict) == ("spark", 300, "drift"), result.sentence
    assert result.description, _logs(deployed)
    calls = {
        f"{service}:{operation}"
        for (who, service, operation) in deployed.cloud.calls
        if "JobRole" in who or "SparkRole" in who
    }
    assert {"emr-serverless:StartJobRun", "emr-serverless:GetJobRun", "bedrock-runtime:Converse"} <= calls
    groups = deployed.cloud.client("logs").describe_log_groups()["logGroups"]
    (group,) = [each["logGroupName"] for each in groups if "Spark" in each["logGroupName"]]
    pages = deployed.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    messages = [event["message"] for page in pages for event in page["events"]]
    assert any("300 rows of 1 objects" in message for message in messages), messages[-5:]


def _logs(deployed: Deployed) -> str:
    logs = sorted((deployed.cloud.directory / "logs").glob("*.log"))
    return "\n".join(f"{path.name}\n{path.read_text()[-3000:]}" for path in logs)
