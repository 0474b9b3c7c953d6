"""MLflow's client on SageMaker: one boto3 session for a process, where the plugin makes one, with new credentials, for each call."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def signed_in() -> AbstractContextManager[None]:
    """Calls to MLflow in this block, and in this thread or task, are signed with the process's session."""
    from sagemaker_mlflow import use_session

    signed: AbstractContextManager[None] = use_session(_session())
    return signed


@cache
def _session() -> Any:
    import boto3

    return boto3.Session()
