"""Ground Truth's pre- and post-annotation functions."""

from typing import Any

import annotation
import boto3

s3 = boto3.client("s3")


def pre(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return what a worker is shown for one line of the manifest."""
    shown: dict[str, Any] = annotation.task_input(event)
    return shown


def post(event: dict[str, Any], _context: object) -> list[dict[str, Any]]:
    """Return all workers' labels of each object, as one annotation."""
    consolidated: list[dict[str, Any]] = annotation.consolidate(event, s3)
    return consolidated
