"""Start as processes what ECS would start: with exactly the container's environment and the task role's
credentials, and a log each."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3

from local.aws.kernel.cloud import Cloud
from local.aws.kernel.ports import check_port
from local.processes import programs
from local.processes.process import Process, base_environment, stop_all
from local.run.containers import Container, read_services
from local.run.web_functions import Api, read_web_functions

READY_SECONDS = 60
COLLECTOR = "collector"
"""Name of the collector's container, which has an image of its own."""
LISTENS_ON = re.compile(r"^(?:0\.0\.0\.0|localhost|127\.0\.0\.1):(\d+)$")
HEALTH_VARIABLE = (
    # set for the collector, whose image uses it in /healthcheck, which a process does not have
    "HEALTH_CHECK_ENDPOINT"
)


@dataclass
class Running:
    container: Container
    process: Process


class Runner:
    """The processes of all ECS services of a cloud, and of the functions behind its APIs."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        api_port: int = 8081,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """``environment`` is added to the variables of the task definitions, such as the endpoint
        of another service."""
        self._cloud = cloud
        self._api_port = api_port
        self._apis: list[Api] = []
        self._added = dict(environment or {})
        self._progress = progress or (lambda _: None)
        self.running: list[Running] = []

    def start(self) -> None:
        """Start every container. Raises UnresolvedError, PortInUseError or ProcessError if one cannot start."""
        volumes = self._cloud.directory / "volumes"
        shutil.rmtree(volumes, ignore_errors=True)
        for containers in read_services(self._cloud, volumes):
            for container in containers:
                for port in listening_ports(container):
                    check_port(port, f"container {container.name}", "--port-base")
            for container in containers:
                self._progress(f"start {container.name}")
                self.running.append(Running(container, self._process(container)))
        for number, function in enumerate(read_web_functions(self._cloud)):
            self._progress(f"start function {function.name}")
            self._apis.append(Api(self._cloud, function, self._api_port + number))
            self._apis[-1].start()

    def wait_ready(self) -> None:
        """Wait until every container that has a health check is healthy."""
        for running in self.running:
            self._wait_ready(running)
        for api in self._apis:
            self._progress(f"wait for the function {api.function.name}")
            api.sandbox.wait_ready()

    def _wait_ready(self, running: Running) -> None:
        if url := health_url(running.container):
            self._progress(f"wait for {running.container.name}")
            running.process.wait_until(lambda: _answers(url), READY_SECONDS)

    def environments(self) -> list[Mapping[str, str]]:
        """Return the deployment's environment of each container, then of each function behind an API."""
        return [
            *(running.container.environment for running in self.running),
            *(api.function.environment for api in self._apis),
        ]

    def base_url(self) -> str:
        """Return the URL of the function's API, or of the container behind the load balancer. LookupError if
        there is neither."""
        if self._apis:
            return self._apis[0].url
        for running in self.running:
            if running.container.health_path is not None:
                return f"http://localhost:{running.container.ports[0]}"
        raise LookupError("no ECS service is behind a load balancer, and no function behind an API")

    def process(self, name: str) -> Process:
        """Return the process of a container."""
        return self._running(name).process

    def restart(self, name: str) -> None:
        """Restart a container's process, as ECS replaces one that ended; the contents of its volumes stay."""
        running = self._running(name)
        if running.process.exit_code is None:
            running.process.stop()
        running.process = self._process(running.container)

    def restart_code(self) -> None:
        """Restart what runs the image's code, and wait until it is ready: every container but the collector, and every
        function behind an API."""
        own = [running for running in self.running if running.container.name != COLLECTOR]
        for running in own:
            self.restart(running.container.name)
        for running in own:
            self._wait_ready(running)
        for api in self._apis:
            api.sandbox.retire()

    def _running(self, name: str) -> Running:
        return next(each for each in self.running if each.container.name == name)

    def check_alive(self) -> None:
        """Raise ProcessError if a container has ended."""
        for running in self.running:
            if running.process.exit_code is not None:
                raise running.process.failure(f"ended with exit code {running.process.exit_code}")

    def stop(self) -> None:
        """Stop in reverse order, so that the collector, to which others send, runs until they are done."""
        for api in self._apis:
            api.stop()
        self._apis.clear()
        for running in reversed(self.running):
            stop_all([running.process])
        self.running.clear()

    def _process(self, container: Container) -> Process:
        environment = {
            **base_environment(),
            "PYTHONUNBUFFERED": "1",  # as the image has it
            **container.environment,
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self._cloud.endpoint
            + f"/_local/credentials/{container.credentials_token}",
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": self._cloud.endpoint,
            **self._added,
        }
        environment.setdefault("AWS_REGION", self._cloud.region)
        return Process(
            container.name,
            _command(container),
            environment={**environment, "HOME": str(self._home())},
            log=self._cloud.directory / "logs" / f"{container.name}.log",
            directory=programs.ROOT,
            stop_seconds=container.stop_seconds,
        )

    def _home(self) -> Path:
        """Return an empty home directory, without the developer's shared AWS configuration and credentials."""
        home = self._cloud.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        return home


def _command(container: Container) -> list[str]:
    """Return the container's command with this machine's programs; the collector's image has only an entry
    point of its own."""
    if container.name == COLLECTOR:
        return programs.collector_command()
    if container.command:
        return programs.command("assistant", container.command)
    raise LookupError(f"container {container.name} has no command, and no program is known for it here")


def listening_ports(container: Container) -> list[int]:
    """Return the mapped ports, and those on which the environment tells the container to listen."""
    told = [int(match[1]) for value in container.environment.values() if (match := LISTENS_ON.match(value))]
    return list(dict.fromkeys([*container.ports, *told]))


def health_url(container: Container) -> str | None:
    if container.health_path is not None:
        return f"http://localhost:{container.ports[0]}{container.health_path}"
    match = LISTENS_ON.match(container.environment.get(HEALTH_VARIABLE, ""))
    return f"http://localhost:{match[1]}/" if match else None


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False
