"""Outputs of the stacks that the demo visits."""

from __future__ import annotations

from collections.abc import Mapping

from fmops.deployment import Deployment

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Analysis", "Review")


def stack_outputs(environment: str) -> dict[str, Mapping[str, str]]:
    """Return the outputs of the environment's stacks by stack id. Raises ``DeploymentError``."""
    deployment = Deployment(environment)
    return {stack: deployment.outputs(stack) for stack in STACKS}
