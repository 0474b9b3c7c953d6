"""EMR Serverless: a job run is a process in Spark's local mode that has the role's credentials and writes to
the application's log group."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import TemporaryCredentials
from local.processes import programs
from local.processes.process import Process, base_environment

SERVICE = "emr-serverless"
PRINCIPAL = "emr-serverless.amazonaws.com"
IMAGE = "local:///app/"
"""Folder of the image into which images/spark.Dockerfile puts the repository's folders."""
LOG_BATCH = 1000


@dataclass
class JobRun:
    """One run. `state` is what GetJobRun reports, and follows from the process alone."""

    request: Params
    id: str
    arn: str
    created: datetime
    process: Process
    state: str = "RUNNING"
    ended: datetime | None = None
    details: str = ""

    def description(self) -> Params:
        return {
            "applicationId": self.request["applicationId"],
            "jobRunId": self.id,
            "name": self.request.get("name", ""),
            "arn": self.arn,
            "createdBy": self.arn,
            "createdAt": self.created,
            "updatedAt": self.ended or self.created,
            "executionRole": self.request["executionRoleArn"],
            "state": self.state,
            "stateDetails": self.details,
            "releaseLabel": "",
            "jobDriver": self.request["jobDriver"],
        }


class JobRuns(ServiceState):
    """The account's applications, by id, as requested, and their job runs."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.applications: dict[str, Params] = {}
        self.runs: dict[str, JobRun] = {}
        self._lock = threading.Lock()
        self._watchers: list[threading.Thread] = []
        cloud.on_stop(self.stop)

    def application(self, identifier: str) -> Params:
        if identifier not in self.applications:
            raise ServiceError("ResourceNotFoundException", f"Application {identifier} does not exist")
        return self.applications[identifier]

    def run(self, identifier: str) -> JobRun:
        if identifier not in self.runs:
            raise ServiceError("ResourceNotFoundException", f"Job run {identifier} does not exist")
        return self.runs[identifier]

    def start(self, request: Params, context: Context) -> JobRun:
        identifier = f"00{secrets.token_hex(7)}"
        application = f"/applications/{request['applicationId']}"
        run = JobRun(
            request,
            identifier,
            context.arn(SERVICE, f"{application}/jobruns/{identifier}"),
            datetime.now(UTC),
            self._process(request, identifier),
        )
        self.runs[identifier] = run
        watcher = threading.Thread(target=self._watch, args=(run,), name=f"run {identifier}", daemon=True)
        self._watchers.append(watcher)
        watcher.start()
        return run

    def cancel(self, run: JobRun) -> None:
        with self._lock:
            if run.state != "RUNNING":
                return
            run.state = "CANCELLING"
        threading.Thread(target=run.process.stop, daemon=True).start()

    def stop(self) -> None:
        for run in self.runs.values():
            if run.ended is None:
                run.process.stop()
        for watcher in self._watchers:
            watcher.join()

    def _process(self, request: Params, identifier: str) -> Process:
        submit = request["jobDriver"]["sparkSubmit"]
        token = secrets.token_urlsafe(16)
        self.cloud.container_credentials[token] = self._role(request, identifier)
        home = self.cloud.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **base_environment(),
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
            "AWS_REGION": self.cloud.region,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.cloud.endpoint}/_local/credentials/{token}",
            "HOME": str(home),
            "PYTHONPATH": str(programs.ROOT),  # the image has a path file instead
            "PYSPARK_SUBMIT_ARGS": "--conf spark.ui.enabled=false pyspark-shell",
        }
        script = programs.ROOT / submit["entryPoint"].removeprefix(IMAGE)
        return Process(
            f"spark-{identifier}",
            programs.command("spark", ["python", str(script), *submit.get("entryPointArguments", [])]),
            environment=environment,
            log=self.cloud.directory / "logs" / f"spark-{identifier}.log",
            directory=programs.ROOT,
        )

    def _watch(self, run: JobRun) -> None:
        minutes = run.request.get("executionTimeoutMinutes")
        timer = threading.Timer(60 * minutes, self.cancel, [run]) if minutes else None
        if timer:
            timer.daemon = True
            timer.start()
        code = run.process.wait()
        if timer:
            timer.cancel()
        refused = self._keep_log(run)
        with self._lock:
            run.ended = datetime.now(UTC)
            if run.state == "CANCELLING":
                run.state = "CANCELLED"
            elif refused:
                run.state, run.details = "FAILED", refused
            elif code == 0:
                run.state = "SUCCESS"
            else:
                run.state, run.details = "FAILED", f"Job execution failed, exit code {code}"

    def _role(self, request: Params, session: str) -> TemporaryCredentials:
        place = f"arn:aws:{SERVICE}:{self.cloud.region}:{self.cloud.account}"
        application = f"{place}:/applications/{request['applicationId']}"
        return self.cloud.assume(
            request["executionRoleArn"], PRINCIPAL, session=session, source_arn=application
        )

    def _keep_log(self, run: JobRun) -> str:
        """Write the log to the application's log group, under the job's role; missing permissions fail the
        run.
        """
        application = self.application(run.request["applicationId"])
        monitoring = application.get("monitoringConfiguration", {}).get("cloudWatchLoggingConfiguration", {})
        group = monitoring.get("enabled") and monitoring.get("logGroupName")
        if not group:
            return ""
        role = self._role(run.request, run.id)
        logs = self.cloud.client("logs", role=role)
        stream = f"applications/{run.request['applicationId']}/jobs/{run.id}/SPARK_DRIVER/stdout"
        now = int(datetime.now(UTC).timestamp() * 1000)
        lines = [line for line in run.process.log.read_text(errors="replace").splitlines() if line.strip()]
        try:
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(logGroupName=group, logStreamName=stream)
            for start in range(0, len(lines), LOG_BATCH):
                events = [{"timestamp": now, "message": line} for line in lines[start : start + LOG_BATCH]]
                logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        except ClientError as error:
            return str(error)
        return ""


def _check(request: Params) -> None:
    submit: Any = request["jobDriver"].get("sparkSubmit")
    if not submit:
        raise NotImplementedHere("Hive jobs")
    if not submit["entryPoint"].startswith(IMAGE):
        raise NotImplementedHere(f"an entry point outside of the image's {IMAGE}")
    if shutil.which("java") is None or not (programs.ROOT / ".venvs" / "spark" / "installed").exists():
        raise NotImplementedHere("Spark without java on the PATH and make .venvs/spark/installed")


@operation(SERVICE, "CreateApplication")
def create_application(params: Params, context: Context) -> Params:
    identifier = f"00{secrets.token_hex(7)}"
    context.state(JobRuns).applications[identifier] = params
    arn = context.arn(SERVICE, f"/applications/{identifier}")
    return {"applicationId": identifier, "name": params.get("name", ""), "arn": arn}


@operation(SERVICE, "StartJobRun")
def start_job_run(params: Params, context: Context) -> Params:
    state = context.state(JobRuns)
    state.application(params["applicationId"])
    _check(params)
    run = state.start(params, context)
    return {"applicationId": params["applicationId"], "jobRunId": run.id, "arn": run.arn}


@operation(SERVICE, "GetJobRun")
def get_job_run(params: Params, context: Context) -> Params:
    return {"jobRun": context.state(JobRuns).run(params["jobRunId"]).description()}


@operation(SERVICE, "CancelJobRun")
def cancel_job_run(params: Params, context: Context) -> Params:
    state = context.state(JobRuns)
    state.cancel(state.run(params["jobRunId"]))
    return {"applicationId": params["applicationId"], "jobRunId": params["jobRunId"]}
