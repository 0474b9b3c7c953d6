"""Outputs of the stacks that the demo visits."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from fmops.deployment import Deployment, explained

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Analysis", "Review")


def stack_outputs(environment: str) -> dict[str, Mapping[str, str]]:
    """Return the outputs of the environment's stacks by stack id. Raises ``DeploymentError``."""
    deployment = Deployment(environment)
    return {stack: deployment.outputs(stack) for stack in STACKS}


def remedy(error: Exception) -> str:
    """Return an error's text, with the remedy if AWS refused a call or nobody is signed in."""
    return explained(error) if isinstance(error, BotoCoreError | ClientError) else str(error)
