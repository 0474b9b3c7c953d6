"""Outputs of the stacks that the demo visits."""

from __future__ import annotations

from collections.abc import Mapping

from fmops.deployment import Deployment, DeploymentError

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Analysis", "Review")


def stack_outputs(environment: str) -> dict[str, Mapping[str, str]]:
    """Return the outputs of the environment's stacks by stack id. Raises ``DeploymentError``."""
    deployment = Deployment(environment)
    return {stack: deployment.outputs(stack) for stack in STACKS}


def remedy(error: Exception, environment: str) -> str:
    """Return an error's text, with the remedy if the environment is not deployed."""
    if isinstance(error, DeploymentError):
        return (
            f"{environment} is not deployed in this account and region ({error}):"
            " give its PROFILE, and your AWS_REGION."
        )
    return str(error)
