"""Nothing that people or models said is in X-Ray, in Prometheus or in the logs on the way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from fmops.agent import PROMPT
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.aps import Metrics
from local.aws.services.xray.segments import Traces
from local.processes.process import Process, base_environment
from observability.collector.template import Option, compose
from tests.telemetry.emitting import CALLER, SECRETS

ROOT = Path(__file__).parents[2]
PROMETHEUS_PORT = 23591
REAL = shutil.which("prometheus") is not None
pytestmark = pytest.mark.prometheus
INSTRUCTIONS = [line for line in PROMPT.read_text().splitlines() if len(line) > 40]


@dataclass
class Arrived:
    """The contents of X-Ray and Prometheus, and every log line of the assistant and the collector, as text."""

    xray: str
    prometheus: str
    logs: str


@pytest.fixture(scope="module", params=[(), ("transaction-search",)], ids=["segments", "otlp"])
def arrived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Arrived:
    directory = tmp_path_factory.mktemp("telemetry")
    with LocalAws(
        port=0, enforce=False, directory=directory, run_servers=REAL, prometheus_port=PROMETHEUS_PORT
    ) as cloud:
        if request.param:
            cloud.client("xray").update_trace_segment_destination(Destination="CloudWatchLogs")
        with collector(cloud, directory / "collector.log", *request.param) as endpoint:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.telemetry.emitting",
                "openllmetry",
                "otlp",
            ]
            environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
            ended = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
            )
        captured = json.dumps(json.loads(ended.stdout)["captured"])
        assert all(SECRETS[name] in captured for name in ("question", "answer"))
        return Arrived(
            json.dumps(dict(cloud.state(Traces).snapshot())),
            stored(cloud),
            ended.stderr + (directory / "collector.log").read_text(),
        )


@contextmanager
def collector(cloud: Cloud, log: Path, *options: Option) -> Iterator[str]:
    """Run the stand-in with the deployed configuration, sending to the local AWS. Everything has arrived once
    it has stopped."""
    otlp, health = free_ports(2)
    workspace = cloud.client("amp").create_workspace(alias="w")["workspaceId"]
    process = Process(
        "collector",
        [sys.executable, "-m", "local.collector"],
        environment={
            **base_environment(),
            **cloud.assume(role(cloud), "ecs-tasks.amazonaws.com").environment(),
            "AWS_REGION": cloud.region,
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AOT_CONFIG_CONTENT": compose(*options),
            "OTLP_HTTP_ENDPOINT": f"localhost:{otlp}",
            "HEALTH_CHECK_ENDPOINT": f"localhost:{health}",
            "AMP_REMOTE_WRITE_ENDPOINT": f"{cloud.endpoint}/workspaces/{workspace}/api/v1/remote_write",
            "XRAY_OTLP_TRACES_ENDPOINT": f"https://xray.{cloud.region}.amazonaws.com/v1/traces",
        },
        log=log,
        directory=ROOT,
    )
    try:
        process.wait_until(lambda: answers(f"http://localhost:{health}/"), 30)
        yield f"http://localhost:{otlp}"
    finally:
        process.stop()


def role(cloud: Cloud) -> str:
    made = cloud.client("iam").create_role(RoleName="task", AssumeRolePolicyDocument="{}")
    return str(made["Role"]["Arn"])


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("localhost", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def stored(cloud: Cloud) -> str:
    """Return every series with its labels, from the real Prometheus if there is one."""
    metrics = cloud.state(Metrics)
    if not metrics.server:
        return json.dumps([labels for labels, _ in metrics.latest.items()])
    url = f"{metrics.url}/api/v1/series?match[]={{__name__=~%22.%2B%22}}"
    return urllib3.request("GET", url).data.decode()


def test_traces_and_metrics_have_arrived(arrived: Arrived) -> None:
    assert "/v1/chat/completions" in arrived.xray
    assert "fmops.interaction.id" in arrived.xray
    assert (
        "gen_ai_client_token_usage_sum" in arrived.prometheus
        or "fmops_interactions_total" in arrived.prometheus
    )
    assert "ready" in arrived.logs


@pytest.mark.parametrize("place", ["xray", "prometheus", "logs"])
def test_no_secret_is_in(arrived: Arrived, place: str) -> None:
    text = getattr(arrived, place)
    assert INSTRUCTIONS
    found = [
        each for each in (*SECRETS.values(), *CALLER.values(), *INSTRUCTIONS, "grumblefish") if each in text
    ]
    assert found == []
