"""``python -m demo``: seeds a deployment in AWS and sends it the tour, with the operator's credentials."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import boto3
from rich.console import Console

from demo import seed
from demo.guide import guide
from demo.visit import Visit

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Review")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    parser.add_argument("--url", help="the assistant's address, by default the load balancer's")
    arguments = parser.parse_args()
    outputs = stack_outputs(arguments.environment)
    url = arguments.url or outputs["Assistant"]["AssistantUrl"]
    held = guide(Visit(url, outputs, seed.main(outputs), Console()))
    return 0 if held else 1


def stack_outputs(environment: str) -> dict[str, dict[str, str]]:
    """The outputs of the environment's stacks by stack id."""
    cloudformation = boto3.client("cloudformation")
    return {stack: _outputs(cloudformation, f"{environment}-{stack}") for stack in STACKS}


def _outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    answer = cloudformation.describe_stacks(StackName=stack)
    return {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}


if __name__ == "__main__":
    sys.exit(main())
