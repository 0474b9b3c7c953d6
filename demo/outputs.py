"""Outputs of the stacks that the demo visits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError

from fmops.deployment import Deployment, DeploymentError, explained

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Analysis", "Review")
OPTIONAL = ("Knowledge",)
"""Stacks that a profile may leave out."""


def stack_outputs(environment: str) -> dict[str, Mapping[str, str]]:
    """Return the outputs of the environment's stacks by stack id. Raises ``DeploymentError``."""
    deployment = Deployment(environment)
    found = {stack: deployment.outputs(stack) for stack in STACKS}
    for stack in OPTIONAL:
        with suppress(DeploymentError):
            found[stack] = deployment.outputs(stack)
    return found


def remedy(error: Exception) -> str:
    """Return an error's text, with the remedy if AWS refused a call or nobody is signed in."""
    return explained(error) if isinstance(error, BotoCoreError | ClientError) else str(error)
