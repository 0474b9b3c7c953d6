"""Run the Spark engine on EMR Serverless, and wait for it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from fmops.analysis.elsewhere import EngineError

log = logging.getLogger("fmops.analysis")

ENTRY_POINT = "local:///app/fmops/jobs/analyse_spark.py"
"""Path of the entry point in the application's image."""
PYTHON = "/usr/bin/python3.11"
CONF = {
    "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": PYTHON,
    "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": PYTHON,
    "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
    # One BLAS thread per task: more would compete for the cores (drift study, trap 10).
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    # A task reads many rows in Python: its silence for a while is no reason to start it twice.
    "spark.speculation": "false",
}
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
LONGEST_WAIT = 15
"""Longest wait between checks of a run, in seconds."""


class EmrServerless:
    """Job runs of an application, one after the other, each under ``role_arn``.

    ``client`` is boto3's `emr-serverless` client. A run is stopped after ``hours`` hours.
    """

    def __init__(
        self,
        client: Any,
        *,
        application_id: str,
        role_arn: str,
        hours: int = 12,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._application, self._role = client, application_id, role_arn
        self._minutes, self._sleep = 60 * hours, sleep

    def __call__(self, arguments: Sequence[str]) -> None:
        """Run the job and return when it has succeeded. Otherwise raise ``EngineError`` with the run's state
        and EMR's explanation."""
        run = self._client.start_job_run(
            applicationId=self._application,
            clientToken=str(uuid.uuid4()),
            executionRoleArn=self._role,
            name="embedding-analysis",
            executionTimeoutMinutes=self._minutes,
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": ENTRY_POINT,
                    "entryPointArguments": list(arguments),
                    "sparkSubmitParameters": " ".join(
                        f"--conf {name}={value}" for name, value in CONF.items()
                    ),
                }
            },
        )["jobRunId"]
        log.info("Spark run %s on application %s", run, self._application)
        try:
            self._wait(run)
        except EngineError:
            raise
        except BaseException:  # also when this job is interrupted: no one would read the run's result
            self._client.cancel_job_run(applicationId=self._application, jobRunId=run)
            raise

    def _wait(self, run: str) -> None:
        wait, before = 1, ""
        while True:
            job = self._client.get_job_run(applicationId=self._application, jobRunId=run)["jobRun"]
            if job["state"] != before:
                log.info("Spark run %s: %s", run, job["state"].lower())
                before = job["state"]
            if before in ENDED:
                break
            self._sleep(wait)
            wait = min(wait + 1, LONGEST_WAIT)
        if before != "SUCCESS":
            raise EngineError(
                f"the Spark run {run} of application {self._application} is {before}: "
                f"{job.get('stateDetails') or 'no reason given'}. Its log is in the application's log "
                "group."
            )
