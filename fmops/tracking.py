"""MLflow's client on SageMaker, with one boto3 session per process.

The plugin itself would make a session, with new credentials, for each call.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

TRACES_AT_ONCE = 100


def quiet_mlflow() -> None:
    """Keep MLflow in this process from sending telemetry and printing addresses of its pages."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


def signed_in() -> AbstractContextManager[None]:
    """Sign calls to MLflow in this block, and in this thread or task, with the process's session."""
    from sagemaker_mlflow import use_session

    signed: AbstractContextManager[None] = use_session(_session())
    return signed


@cache
def _session() -> Any:
    import boto3

    return boto3.Session()


def delete_traces(tracking_uri: str, experiment_id: str, trace_ids: Iterable[str]) -> int:
    """Delete those of the OpenTelemetry traces that an experiment has; return how many. Raises
    ``MlflowException``."""
    from mlflow import MlflowClient

    ids = sorted(f"tr-{trace_id}" for trace_id in trace_ids)
    with signed_in():
        client = MlflowClient(tracking_uri)
        return sum(
            client.delete_traces(experiment_id, trace_ids=ids[start : start + TRACES_AT_ONCE])
            for start in range(0, len(ids), TRACES_AT_ONCE)
        )
