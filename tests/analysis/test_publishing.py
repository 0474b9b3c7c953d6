"""A window is known only once it is published: what one run could not publish, the next one publishes, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import mlflow
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from fmops.analysis.lake import Window
from fmops.analysis.publish import NAMESPACE, Experiment
from fmops.analysis.run import Analysis
from fmops.jobs import analyse as job
from fmops.turn import turn
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from tests.analysis.traffic import fill, usual_days

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
WINDOW = Window(TODAY - timedelta(days=2), TODAY - timedelta(days=1))
NOWHERE = Config(connect_timeout=1, retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with LocalAws(port=0, enforce=False, directory=tmp_path_factory.mktemp("cloud")) as running:
        yield running


@dataclass
class Job:
    """The job on a lake whose latest day is unusual; ``away`` names services that do not answer."""

    analysis: Analysis
    settings: job.AnalyseSettings
    cloud: Cloud
    away: set[str] = field(default_factory=set)

    def run(self) -> None:
        job.run(self.analysis, self.settings, WINDOW)

    def points(self) -> float:
        """Return how many samples CloudWatch has of the window's drift metric."""
        found = self.cloud.client("cloudwatch").get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName="Drift",
            Dimensions=[{"Name": "Environment", "Value": self.settings.environment}],
            StartTime=TODAY - timedelta(days=7),
            EndTime=TODAY + timedelta(days=1),
            Period=86_400,
            Statistics=["SampleCount"],
        )
        return sum(float(each["SampleCount"]) for each in found["Datapoints"])

    def runs(self) -> list[str]:
        """Return the names of the finished MLflow runs."""
        mlflow.set_tracking_uri(self.settings.tracking_uri)
        found = mlflow.search_runs(
            experiment_names=[Experiment.NAME],
            filter_string="attributes.status = 'FINISHED'",
            output_format="list",
        )
        return sorted(str(each.info.run_name) for each in found)


@pytest.fixture
def flaky(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Job]:
    lake, world = usual_days(tmp_path / "lake", 4)
    fill(lake, WINDOW, world.sample(200, np.random.default_rng(3), new=0.3))
    analysis = Analysis(lake)
    start = datetime(2026, 9, 1, tzinfo=UTC)
    analysis.fit(start, start + timedelta(days=4), version="b1")
    settings = job.AnalyseSettings(
        environment=request.node.name,
        lake_bucket="lake",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
    )
    made = Job(analysis, settings, cloud)

    def client(service: str) -> Any:
        if service not in made.away:
            return cloud.client(service)
        return cloud.session().client(service, endpoint_url="http://localhost:1", config=NOWHERE)

    monkeypatch.setattr(boto3, "client", client)
    monkeypatch.setattr(Experiment, "__init__", _reachable(Experiment.__init__, made.away))
    yield made
    mlflow.set_tracking_uri(None)


def _reachable(init: Callable[..., None], away: set[str]) -> Callable[..., None]:
    def started(self: Experiment, tracking_uri: str) -> None:
        if "mlflow" in away:
            raise ConnectionError("MLflow is away")
        init(self, tracking_uri)

    return started


def test_a_metric_that_cloudwatch_did_not_take_is_published_by_the_retry(flaky: Job) -> None:
    flaky.away = {"cloudwatch"}
    with pytest.raises(EndpointConnectionError):
        flaky.run()
    flaky.away.clear()
    flaky.run()
    flaky.run()
    assert flaky.points() == 1
    assert flaky.runs() == ["baseline b1", f"window {WINDOW.id}"]


def test_what_mlflow_did_not_take_is_logged_by_the_retry_and_the_metric_is_not_published_twice(
    flaky: Job,
) -> None:
    flaky.away.add("mlflow")
    with pytest.raises(ConnectionError):
        flaky.run()
    assert flaky.points() == 1
    flaky.away.clear()
    flaky.run()
    flaky.run()
    assert flaky.points() == 1
    assert flaky.runs() == ["baseline b1", f"window {WINDOW.id}"]


def test_a_review_list_that_was_not_written_is_written_by_the_retry(
    flaky: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = flaky.analysis.lake
    write = type(lake).write

    def full(self: Any, key: str, data: bytes, **more: Any) -> None:
        if "/content/review/" in key:
            raise OSError("the disk is full")
        write(self, key, data, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(lake), "write", full)
        with pytest.raises(OSError, match="disk is full"):
            flaky.run()
    flaky.run()
    assert lake.read(f"analysis/content/review/{WINDOW.id}.jsonl")


def test_results_of_before_places_were_remembered_count_as_published(flaky: Job) -> None:
    flaky.run()
    key = f"analysis/content/results/b1/{WINDOW.id}.json"
    old = (flaky.analysis.lake.read(key) or b"").replace(b'"unpublished"', b'"unknown"')
    flaky.analysis.lake.write(key, old)
    flaky.run()
    assert flaky.points() == 1


def test_of_two_runs_at_once_the_second_does_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="turns")
    monkeypatch.setenv("FMOPS_ENVIRONMENT", "test")
    monkeypatch.setenv("FMOPS_LAKE_BUCKET", "turns")
    monkeypatch.setattr(boto3, "client", cloud.client)
    with turn(s3, "turns", job.TURN):
        assert job.main(["--from", "2026-11-12"]) == 2
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="turns")["Contents"]] == [job.TURN]
    assert job.main(["--from", "2026-11-12"]) == 0


def test_the_last_report_has_its_plot_and_its_outcome_beside_it(flaky: Job) -> None:
    flaky.run()
    lake = flaky.analysis.lake
    outcome = json.loads(lake.read("analysis/content/reports/latest.json") or b"")
    assert (outcome["window"], outcome["verdict"], outcome["rows"]) == (WINDOW.id, "unusual", 200)
    assert outcome["sentence"]
    plot = ElementTree.fromstring((lake.read("analysis/content/reports/latest.svg") or b"").decode())
    assert plot.tag == "{http://www.w3.org/2000/svg}svg"
    assert lake.read("analysis/content/reports/latest.html") == lake.read(
        f"analysis/content/reports/{WINDOW.id}.html"
    )


def test_a_day_that_is_not_over_replaces_no_comparison_unless_it_has_one(flaky: Job) -> None:
    flaky.run()
    store = flaky.analysis.store
    (compared,) = store.results("b1")

    def latest() -> str:
        outcome = flaky.analysis.lake.read("analysis/content/reports/latest.json") or b""
        return str(json.loads(outcome)["window"])

    little = {"window": "today", "verdict": "not enough data", "partial": True}
    store.save_report(compared.model_copy(update=little), "<p>", "<svg/>")
    assert latest() == WINDOW.id
    store.save_report(compared.model_copy(update=little | {"partial": False}), "<p>", "<svg/>")
    assert latest() == "today"
    store.save_report(compared.model_copy(update=little | {"window": "later"}), "<p>", "<svg/>")
    assert latest() == "later"
