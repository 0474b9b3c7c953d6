"""SageMaker's MLflow App: the control plane, and the real MLflow server behind the App's ARN."""

from __future__ import annotations

import re
import secrets
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Response
from local.aws.kernel.ports import check_port
from local.aws.proxy import forward, signed_context
from local.processes.process import Process, ProcessError, base_environment

MLFLOW_VERSION = "3.10"
START_SECONDS = 180
APP_HEADER = "HTTP_X_SM_MLFLOW_APP_ARN"


@dataclass
class App:
    arn: str
    config: Params
    created: datetime


class MlflowApps(ServiceState):
    """The Apps of the account. One server serves them, and a second App is refused, since Apps do not share
    data.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.apps: dict[str, App] = {}
        self.server: Process | None = None
        self._lock = threading.Lock()
        self._answered = False
        cloud.on_stop(self.stop)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.cloud.mlflow_port}"

    def create(self, params: Params, context: Context) -> App:
        if self.apps:
            raise ServiceError("ResourceLimitExceeded", "The local AWS runs one MLflow App")
        arn = context.arn("sagemaker", f"mlflow-app/app-{secrets.token_hex(6).upper()}")
        self.apps[arn] = App(arn, params, datetime.now(UTC))
        if self.cloud.run_servers:
            self.start(self.apps[arn])
        return self.apps[arn]

    def start(self, app: App) -> None:
        """Start the server with lower priority and do not wait: those who need it wait, but the assistant's
        first answer does not."""
        check_port(self.cloud.mlflow_port, "MLflow", "--port-base")
        data = self.cloud.directory / "mlflow"
        data.mkdir(parents=True, exist_ok=True)
        for database in data.glob("mlflow.db*"):
            database.unlink()
        role = self.cloud.assume(
            app.config["RoleArn"], "sagemaker.amazonaws.com", session="MlflowApp", source_arn=app.arn
        )
        environment = {
            **base_environment(),
            **role.environment(),
            "AWS_REGION": self.cloud.region,
            "AWS_DEFAULT_REGION": self.cloud.region,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.cloud.endpoint,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a dozen processes, for jobs that nothing here starts
            "DO_NOT_TRACK": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }
        if self.cloud.gateway_port is not None:
            environment["MLFLOW_DEPLOYMENTS_TARGET"] = f"http://localhost:{self.cloud.gateway_port}"
        command = [
            *("nice", "-n", "15", sys.executable, "-m", "mlflow", "server"),
            *("--host", "localhost", "--port", str(self.cloud.mlflow_port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}"),
            *("--no-serve-artifacts", "--default-artifact-root", app.config["ArtifactStoreUri"]),
        ]
        self._answered = False
        log = self.cloud.directory / "logs" / "mlflow.log"
        self.server = Process(
            "MLflow", command, environment=environment, log=log, directory=data, stop_seconds=2
        )

    def wait(self) -> None:
        """Wait until the server answers; raise ProcessError with its log's tail if it does not."""
        with self._lock:
            if self.server is None:
                raise ServiceError("ServiceUnavailable", "this local AWS was started without its servers")
            if not self._answered or self.server.exit_code is not None:
                self.server.wait_until(self.is_up, START_SECONDS)
                self._answered = True

    def is_up(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        if self.server:
            self.server.stop()
            self.server = None


@operation("sagemaker", "CreateMlflowApp")
def create_mlflow_app(params: Params, context: Context) -> Params:
    return {"Arn": context.state(MlflowApps).create(params, context).arn}


def _app(params: Params, context: Context) -> App:
    apps = context.state(MlflowApps).apps
    if params["Arn"] not in apps:
        raise ServiceError("ResourceNotFound", f"MLflow App {params['Arn']} does not exist")
    return apps[params["Arn"]]


@operation("sagemaker", "DescribeMlflowApp")
def describe_mlflow_app(params: Params, context: Context) -> Params:
    app = _app(params, context)
    kept = (
        "Name",
        "ArtifactStoreUri",
        "RoleArn",
        "KmsKeyId",
        "ModelRegistrationMode",
        "WeeklyMaintenanceWindowStart",
    )
    return {
        "Arn": app.arn,
        "Status": "Created",
        "MlflowVersion": MLFLOW_VERSION,
        "CreationTime": app.created,
        **{name: app.config[name] for name in kept if name in app.config},
    }


@operation("sagemaker", "ListMlflowApps")
def list_mlflow_apps(_: Params, context: Context) -> Params:
    apps = context.state(MlflowApps).apps.values()
    return {
        "Summaries": [
            {"Arn": app.arn, "Name": app.config["Name"], "Status": "Created", "CreationTime": app.created}
            for app in apps
        ]
    }


@operation("sagemaker", "DeleteMlflowApp")
def delete_mlflow_app(params: Params, context: Context) -> Params:
    app = _app(params, context)
    state = context.state(MlflowApps)
    state.stop()
    del state.apps[app.arn]
    return {"Arn": app.arn}


@operation("sagemaker", "CreatePresignedMlflowAppUrl")
def create_presigned_mlflow_app_url(params: Params, context: Context) -> Params:
    _app(params, context)
    return {"AuthorizedUrl": f"{context.state(MlflowApps).url}/"}


@install_routes
def _install_data_plane(cloud: Cloud) -> None:
    def call(environ: dict[str, Any], _: re.Match[str]) -> Response:
        context = signed_context(
            environ, cloud, "sagemaker", "CallMlflowAppApi", {"Arn": environ[APP_HEADER]}
        )
        if isinstance(context, Response):
            return context
        apps = cloud.state(MlflowApps)
        if environ[APP_HEADER] not in apps.apps:
            return Response(404, '{"message": "the MLflow App does not exist"}')
        try:
            apps.wait()
        except (ProcessError, ServiceError) as error:
            return Response(
                503, f'{{"message": "MLflow does not answer: {type(error).__name__}; see its log"}}'
            )
        return forward(environ, apps.url + environ["PATH_INFO"])

    cloud.routes.append(Route(re.compile("/"), call, header=APP_HEADER))
