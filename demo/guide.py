"""The demo after its seed: tour, evidence, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import boto3
from rich.console import Console

from demo import audit, tracking
from demo.accounts import Directory
from demo.evidence import Evidence
from demo.tour import Tour

PATIENCE = 180
"""Seconds that captured records may take to arrive: Firehose buffers for up to a minute by default."""

Outputs = Mapping[str, Mapping[str, str]]


def run(
    *,
    base_url: str,
    outputs: Outputs,
    directory: Directory,
    console: Console,
    settle: Callable[[], None] | None = None,
) -> bool:
    """Send the tour and show what came of it; answers whether every expectation held.

    ``settle`` makes buffered records arrive at once, where the deployment has a way to do so.
    """
    console.print("[bold]Sending the tour[/]")
    tour = Tour(base_url, directory, console, enforced=authorization_mode(outputs["Assistant"]) == "ENFORCE")
    tour.run()
    evidence = Evidence(outputs)
    console.print("[bold]Reading the captured records and the traces[/]")
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(tracking.load)
        if settle:
            settle()
        _wait(evidence, tour)
    evidence.gather(tour.steps)
    run_id = tracking.log(outputs["Tracking"]["MlflowAppArn"], tour.steps)
    console.print(tour.table())
    console.print(
        audit.events(evidence.records.values(), {step.interaction_id: step.user for step in tour.steps})
    )
    console.print(audit.denials(evidence.records.values()))
    _summarize(tour, evidence, console)
    console.print(f"MLflow experiment {tracking.EXPERIMENT!r}, run {run_id}")
    console.print("Chat in the browser:")
    for user in ("carla", "amir"):
        console.print(f"  as {user}: {base_url}/#token={directory.id_token(user)}", soft_wrap=True)
    return tour.held and not evidence.problems


def authorization_mode(assistant: Mapping[str, str]) -> str:
    """``ENFORCE`` or ``LOG_ONLY``, as the task definition of the running service says."""
    ecs = boto3.client("ecs")
    answer = ecs.describe_services(cluster=assistant["ClusterName"], services=[assistant["ServiceName"]])
    arn = answer["services"][0]["taskDefinition"]
    containers = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"]
    variables = (pair for container in containers for pair in container.get("environment", ()))
    return str(next(pair["value"] for pair in variables if pair["name"] == "FMOPS_AUTHORIZATION_MODE"))


def _wait(evidence: Evidence, tour: Tour) -> None:
    """Records and spans are sent in batches: ask until all are there, or for as long as one may be patient."""
    deadline = time.monotonic() + PATIENCE
    while not evidence.complete(tour.steps) and time.monotonic() < deadline:
        time.sleep(0.5)


def _summarize(tour: Tour, evidence: Evidence, console: Console) -> None:
    held = sum(not step.problems for step in tour.steps)
    refused = sum(refused for _, refused in tour.refusals)
    console.print(
        f"{held} of {len(tour.steps)} requests as expected; {refused} of {len(tour.refusals)} bad ones refused"
    )
    console.print(
        f"{len(evidence.records)} records in {len(evidence.objects)} objects; "
        f"{len(evidence.segments)} traces with {sum(map(len, evidence.segments.values()))} segments"
    )
    for problem in evidence.problems:
        console.print(f"[red]{problem}[/]")
