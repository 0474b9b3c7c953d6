"""SageMaker Processing: the container's command as a process, with the request's environment and
the role's credentials."""

from __future__ import annotations

import contextlib
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local.aws.cloudformation.standins import MARK
from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
    validation_error,
)
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import TemporaryCredentials
from local.processes import programs
from local.processes.process import Process, base_environment

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
STOP_SECONDS = 120  # between SIGTERM and SIGKILL, as documented for StopProcessingJob
LOG_BATCH = 1000  # events of one PutLogEvents call, which takes up to 10,000
NOT_HERE = ("ProcessingInputs", "ProcessingOutputConfig")


@dataclass
class Job:
    """One processing job. `status` is what DescribeProcessingJob reports, and follows from the process
    alone.
    """

    request: Params
    arn: str
    created: datetime
    process: Process
    status: str = "InProgress"
    ended: datetime | None = None
    failure: str | None = None

    @property
    def name(self) -> str:
        return str(self.request["ProcessingJobName"])

    def summary(self) -> Params:
        described = {
            "ProcessingJobName": self.name,
            "ProcessingJobArn": self.arn,
            "ProcessingJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.ended or self.created,
        }
        if self.ended:
            described["ProcessingEndTime"] = self.ended
        if self.failure:
            described["FailureReason"] = self.failure
        return described

    def description(self) -> Params:
        return {**self.request, **self.summary(), "ProcessingStartTime": self.created}


class ProcessingJobs(ServiceState):
    """The processing jobs of the account."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._watchers: list[threading.Thread] = []
        cloud.on_stop(self.stop)

    def job(self, name: str) -> Job:
        if name not in self.jobs:
            raise ServiceError("ResourceNotFound", f"Could not find requested job with name: {name}")
        return self.jobs[name]

    def create(self, request: Params, context: Context) -> Job:
        name = request["ProcessingJobName"]
        _check(request)
        with self._lock:
            if name in self.jobs:
                raise ServiceError("ResourceInUse", f"Job name must be unique; there is already {name}")
            job = Job(
                request,
                context.arn("sagemaker", f"processing-job/{name}"),
                datetime.now(UTC),
                self._start(request),
            )
            self.jobs[name] = job
        watcher = threading.Thread(target=self._watch, args=(job,), name=f"job {name}", daemon=True)
        self._watchers.append(watcher)
        watcher.start()
        return job

    def stop_job(self, job: Job) -> None:
        """Set the job to Stopping at once, and to Stopped once the process is gone; leave a job that has ended
        as it is."""
        with self._lock:
            if job.status != "InProgress":
                return
            job.status = "Stopping"
        threading.Thread(target=job.process.stop, daemon=True).start()

    def stop(self) -> None:
        for job in self.jobs.values():
            if job.ended is None:
                job.process.stop()
        for watcher in self._watchers:
            watcher.join()

    def _start(self, request: Params) -> Process:
        name, application = request["ProcessingJobName"], request["AppSpecification"]
        token = secrets.token_urlsafe(16)
        self.cloud.container_credentials[token] = self._role(request)
        home = self.cloud.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **base_environment(),
            "PYTHONUNBUFFERED": "1",  # as the image has it
            "AWS_REGION": self.cloud.region,
            **request.get("Environment", {}),
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.cloud.endpoint}/_local/credentials/{token}",
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": self.cloud.endpoint,
            "HOME": str(home),
        }
        words = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
        return Process(
            name,
            programs.command("jobs", words),
            environment=environment,
            log=self.cloud.directory / "logs" / f"job-{name}.log",
            directory=programs.ROOT,
            stop_seconds=STOP_SECONDS,
        )

    def _watch(self, job: Job) -> None:
        limit = job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        timer = threading.Timer(limit, self.stop_job, [job]) if limit else None
        if timer:
            timer.daemon = True
            timer.start()
        code = job.process.wait()
        if timer:
            timer.cancel()
        refused = self._keep_log(job)
        with self._lock:
            job.ended = datetime.now(UTC)
            if job.status == "Stopping":
                job.status = "Stopped"
            elif refused:
                job.status, job.failure = "Failed", f"ClientError: {refused}"
            elif code == 0:
                job.status = "Completed"
            else:
                job.status = "Failed"
                job.failure = f"AlgorithmError: , exit code: {code}"

    def _keep_log(self, job: Job) -> str:
        """Write the log to CloudWatch Logs where SageMaker does, under the job's role; missing permissions
        fail the job."""
        try:
            self._write_log(job)
        except ClientError as error:
            return str(error)
        return ""

    def _role(self, request: Params) -> TemporaryCredentials:
        place = f"arn:aws:sagemaker:{self.cloud.region}:{self.cloud.account}"
        arn = f"{place}:processing-job/{request['ProcessingJobName']}"
        return self.cloud.assume(
            request["RoleArn"], "sagemaker.amazonaws.com", session="SageMaker", source_arn=arn
        )

    def _write_log(self, job: Job) -> None:
        role = self._role(job.request)
        logs = self.cloud.client("logs", role=role)
        stream = f"{job.name}/algo-1-{int(job.created.timestamp())}"
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=LOG_GROUP)
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        now = int(datetime.now(UTC).timestamp() * 1000)
        lines = [line for line in job.process.log.read_text(errors="replace").splitlines() if line.strip()]
        for start in range(0, len(lines), LOG_BATCH):
            events = [{"timestamp": now, "message": line} for line in lines[start : start + LOG_BATCH]]
            logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)


def _check(request: Params) -> None:
    for name in NOT_HERE:
        if request.get(name):
            raise NotImplementedHere(f"{name}; jobs here read and write through the APIs")
    if request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] != 1:
        raise NotImplementedHere("more than one instance")
    if not request["AppSpecification"].get("ContainerEntrypoint"):
        raise NotImplementedHere("an image's own entry point; give ContainerEntrypoint")
    for name, value in request.get("Environment", {}).items():
        if MARK in value:
            raise validation_error(
                f"Environment {name} depends on a resource that is only a stand-in: {value}"
            )


@operation("sagemaker", "CreateProcessingJob")
def create_processing_job(params: Params, context: Context) -> Params:
    return {"ProcessingJobArn": context.state(ProcessingJobs).create(params, context).arn}


@operation("sagemaker", "DescribeProcessingJob")
def describe_processing_job(params: Params, context: Context) -> Params:
    return context.state(ProcessingJobs).job(params["ProcessingJobName"]).description()


@operation("sagemaker", "StopProcessingJob")
def stop_processing_job(params: Params, context: Context) -> None:
    state = context.state(ProcessingJobs)
    state.stop_job(state.job(params["ProcessingJobName"]))


@operation("sagemaker", "ListProcessingJobs")
def list_processing_jobs(params: Params, context: Context) -> Params:
    """List the newest jobs first. Filters by name and status work; those by time are not implemented."""
    if any(name.endswith(("After", "Before")) for name in params):
        raise NotImplementedHere("filters by time")
    jobs: list[Any] = [
        job.summary()
        for job in context.state(ProcessingJobs).jobs.values()
        if params.get("NameContains", "") in job.name and params.get("StatusEquals", job.status) == job.status
    ]
    jobs.reverse()
    return {"ProcessingJobSummaries": jobs[: params.get("MaxResults", 100)]}
