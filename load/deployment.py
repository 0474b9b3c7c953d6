"""The assistant as the templates have it, with its model, detectors and delivery stream replaced by ``load.services``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from demo import seed
from load.services import Pace
from local.cloud import Cloud, check_port
from local.deploy import deploy, synthesize
from local.runner import Runner
from local.up import Options, use_as_environment

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
        """The ids of the interactions that were delivered, in order."""
        ids: list[str] = httpx.get(f"{self.services}/_delivered", timeout=60).json()
        return ids


@contextmanager
def deployed(profile: str, port_base: int, users: int, console: Console) -> Iterator[Deployed]:
    """Deploy a profile into a local AWS, sign ``users`` people in, and start the assistant; stop all of it in the end."""
    options = Options(profile=profile, port_base=port_base)
    cloud = Cloud(port=options.port(4566, 0), region=options.region, directory=DIRECTORY)
    port = port_base + SERVICES_OFFSET
    check_port(port, "the load's services", "--port-base")
    services = f"http://localhost:{port}"
    replaced = {f"AWS_ENDPOINT_URL_{name}": services for name in REPLACED}
    runner = Runner(cloud, environment=replaced)
    canned = subprocess.Popen([sys.executable, "-m", "load.services", str(port)])
    try:
        with console.status("synthesize and deploy"):
            cloud.start()
            synthesize(DIRECTORY / "cdk.out", context=options.synth_context())
            deployment = deploy(cloud, DIRECTORY / "cdk.out")
            use_as_environment(cloud)
        with console.status(f"sign in {users} users"):
            tokens = _tokens(seed.main(deployment.outputs), users)
        with console.status("start the assistant"):
            _wait(f"{services}/_delivered")
            runner.start()
            runner.wait_ready()
        pids = {each.container.name: each.process.pid for each in runner.running}
        yield Deployed(runner.base_url(), services, tokens, {**pids, "services": canned.pid})
    finally:
        runner.stop()
        canned.terminate()
        canned.wait()
        cloud.stop()


def _tokens(directory: Any, users: int) -> Path:
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
