"""The assistant as deployed by the templates, except that ``checks.load.services`` replaces its model,
detectors and delivery stream."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from checks.load.services import Pace
from demo.accounts import Directory
from demo.deployed import deployed as demo_deployed
from local.aws.kernel.ports import check_port
from local.aws.server import LocalAws
from local.run.options import Options
from local.run.runner import Runner

DIRECTORY = Path("build/load")
REPLACED = ("BEDROCK_RUNTIME", "COMPREHEND", "FIREHOSE")
SERVICES_OFFSET = 20
START_SECONDS = 30


@dataclass
class Deployed:
    """The parts of a running deployment that the stages need."""

    url: str
    services: str
    tokens: Path
    """A JSON list of ID tokens, one for each user."""
    pids: dict[str, int]

    def pace(self, pace: Pace) -> None:
        """Set the delays of model, detectors and delivery."""
        httpx.put(f"{self.services}/_pace", json=vars(pace)).raise_for_status()

    def delivered(self) -> list[str]:
        """Return the ids of the interactions that were delivered, in order."""
        ids: list[str] = httpx.get(f"{self.services}/_delivered", timeout=60).json()
        return ids


@contextmanager
def deployed(profile: str, port_base: int, users: int, console: Console) -> Iterator[Deployed]:
    """Deploy a profile into a local AWS, sign ``users`` people in, and start the assistant; stop everything
    at the end."""
    options = Options(profile=profile, port_base=port_base, directory=DIRECTORY)
    cloud = LocalAws(port=options.port("aws"), region=options.region, directory=DIRECTORY)
    port = port_base + SERVICES_OFFSET
    check_port(port, "the load's services", "--port-base")
    services = f"http://localhost:{port}"
    runner = Runner(cloud, environment={f"AWS_ENDPOINT_URL_{name}": services for name in REPLACED})
    canned = subprocess.Popen([sys.executable, "-m", "checks.load.services", str(port)])
    try:
        _wait(f"{services}/_delivered")
        console.print("Deploying, then signing in one user after another")
        with demo_deployed(options, cloud, runner) as (_, directory):
            pids = {each.container.name: each.process.pid for each in runner.running}
            tokens = _tokens(directory, users)
            yield Deployed(runner.base_url(), services, tokens, {**pids, "services": canned.pid})
    finally:
        canned.terminate()
        canned.wait()


def _tokens(directory: Directory, users: int) -> Path:
    names = [f"load-{number}" for number in range(users)]
    for name in names:
        directory.create(name, {"groups": ["customers"], "region": "north"})
    path = DIRECTORY / "tokens.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps([directory.id_token(name) for name in names]))
    return path


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url, timeout=1).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
