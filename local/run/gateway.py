"""MLflow's AI gateway in front of Bedrock's Converse, for MLflow's own prompt page. It is never deployed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY
from local.aws.kernel.ports import check_port
from local.processes import programs
from local.processes.process import Process, ProcessError, base_environment
from local.run.runner import Runner

START_SECONDS = 120
PYTHON = programs.ROOT / ".venvs" / "gateway" / "bin" / "python"


def check_installed() -> None:
    """Raise ProcessError if the gateway's packages, which `make setup` leaves out, are not installed."""
    if not PYTHON.exists():
        raise ProcessError(
            "--gateway: its packages are not in .venvs/gateway: `make run GATEWAY=1` installs them, as does"
            " `make .venvs/gateway/installed`"
        )


def models(runner: Runner) -> list[str]:
    """Return the models that the deployed assistant may call: `FMOPS_MODEL_ID` first, then those
    of its playground."""
    for environment in runner.environments():
        if model_id := environment.get("FMOPS_MODEL_ID"):
            others = json.loads(environment.get("FMOPS_PLAYGROUND_MODELS", "[]"))
            return list(dict.fromkeys([model_id, *others]))
    raise LookupError("--gateway: no container and no function has FMOPS_MODEL_ID")


def endpoints(model_ids: Sequence[str]) -> dict[str, object]:
    """Return the gateway's configuration. MLflow's own `bedrock` provider refuses chat; `litellm` speaks
    Converse.
    """
    return {
        "endpoints": [
            {
                "name": model_id.replace(":", "-"),
                "endpoint_type": "llm/v1/chat",
                "model": {
                    "provider": "litellm",
                    "name": model_id,
                    "config": {
                        "litellm_provider": "bedrock/converse",
                        # The page always sends a temperature, which some models refuse.
                        "litellm_auth_config": {"drop_params": True},
                    },
                },
            }
            for model_id in model_ids
        ]
    }


class Gateway:
    """The gateway's process, which acts with the developer's keys: it belongs to the developer, not
    to the deployment."""

    def __init__(self, cloud: Cloud, port: int) -> None:
        self._cloud = cloud
        self._port = port
        self._process: Process | None = None

    def start(self, model_ids: Sequence[str]) -> None:
        """Start the gateway with an endpoint per model, and do not wait. Raises PortInUseError if the
        port is taken."""
        check_port(self._port, "the AI gateway", "--port-base")
        directory = self._cloud.directory / "gateway"
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "gateway.yaml"
        config.write_text(yaml.safe_dump(endpoints(model_ids), sort_keys=False))
        environment = {
            **base_environment(),
            "HOME": str(directory),
            "AWS_ACCESS_KEY_ID": ADMIN_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET_KEY,
            "AWS_REGION": self._cloud.region,
            "AWS_BEDROCK_RUNTIME_ENDPOINT": self._cloud.endpoint,  # litellm does not read AWS_ENDPOINT_URL
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it fetches its list of models from GitHub
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_GATEWAY_CONFIG": str(config),
        }
        # The app that `mlflow gateway start` runs with gunicorn, in one process.
        app = ("-m", "uvicorn", "--factory", "mlflow.gateway.app:create_app_from_env")
        self._process = Process(
            "the AI gateway",
            ["nice", "-n", "15", str(PYTHON), *app, "--host", "localhost", "--port", str(self._port)],
            environment=environment,
            log=self._cloud.directory / "logs" / "gateway.log",
            directory=directory,
            stop_seconds=3,
        )

    def wait(self) -> None:
        """Wait until the gateway answers; raise ProcessError with its log's tail if it does not."""
        if self._process is not None:
            self._process.wait_until(self._is_up, START_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _is_up(self) -> bool:
        try:
            with urlopen(f"http://localhost:{self._port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
