"""The demo after its seed: the tour, its evidence, a report, and further chapters."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from demo import (
    analysis,
    audit,
    evaluation,
    history,
    home,
    layers,
    leftovers,
    metrics,
    review,
    seed,
    tracking,
    why,
)
from demo.accounts import load
from demo.evidence import Evidence
from demo.script import script
from demo.tour import Tour
from demo.visit import Chapter, Visit
from fmops.deployment import Deployment

PATIENCE = 180
"""Maximum seconds until captured records arrive: Firehose buffers for up to a minute by default."""

CHAPTERS: tuple[Chapter, ...] = (
    analysis.chapter,
    review.review,
    evaluation.chapter,
    metrics.look,
    leftovers.chapter,
    home.chapter,
)
"""Chapters, each after those whose results it needs. They change a deployment: its analysis, its review tasks,
and for a while the prompt that serves."""


def run(**parts: Any) -> bool:
    """Call ``guide`` with the fields of a ``Visit``, for the local run, which knows the demo by name only."""
    return guide(Visit(**parts, chooses_users=True, history=True))


def guide(visit: Visit, *, chapters: tuple[Chapter, ...] = CHAPTERS, for_anyone: bool = False) -> bool:
    """Send the tour, show the results, go through the chapters, and return whether every expectation held.

    ``for_anyone`` sends only the steps that hold for every caller.
    """
    console = visit.console
    console.print("[bold]Sending the tour[/]")
    assistant = Deployment("", outputs=visit.outputs).assistant_environment()
    tour = Tour(
        visit.base_url,
        visit.directory,
        console,
        for_anyone=for_anyone,
        enforced=assistant["FMOPS_AUTHORIZATION_MODE"] == "ENFORCE",
        demo_rules="profanity"
        in assistant["FMOPS_GUARDRAILS"],  # the demo's rules allow more than the library's
    )
    began = datetime.now(UTC)
    table = visit.outputs["Assistant"]["RecordsTableName"]
    copies = nullcontext() if for_anyone else seed.copied(table, load()["tour"])
    with copies, ThreadPoolExecutor(1) as meanwhile:
        earlier = meanwhile.submit(history.main, visit.outputs) if visit.history else None
        tour.run()
    if earlier:
        console.print(f"{earlier.result()} records of the days before are in the lake")
    evidence = Evidence(visit.outputs, since=began)
    console.print("[bold]Reading the captured records and the traces[/]")
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(tracking.load)
        visit.settle()
        _wait(evidence, tour)
    evidence.gather(tour.steps)
    run_id = tracking.log(visit.outputs["Tracking"]["MlflowArn"], tour.steps)
    console.print(tour.table())
    console.print(layers.guardrails(evidence.records.values()))
    console.print(
        audit.events(
            evidence.records.values(),
            {step.interaction_id: step.user for step in tour.steps},
            base_url=visit.base_url,
        )
    )
    console.print(audit.denials(evidence.records.values()))
    _summarize(tour, evidence, console)
    unexplained = why.explain(visit, tour.steps, for_anyone=for_anyone)
    console.print(f"MLflow experiment {tracking.EXPERIMENT!r}, run {run_id}")
    with ThreadPoolExecutor(1) as meanwhile:
        if evaluation.chapter in chapters:
            visit.ahead[evaluation.__name__] = meanwhile.submit(evaluation.prepare, visit)
        problems = [
            *evidence.problems,
            *unexplained,
            *(problem for chapter in chapters for problem in _timed(chapter, visit)),
        ]
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/]")
    _invite(visit)
    return tour.held and not problems


def _timed(chapter: Chapter, visit: Visit) -> list[str]:
    began = time.monotonic()
    problems = chapter(visit)
    visit.console.print(
        f"[green]✓[/] {chapter.__module__} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False
    )
    return problems


def _invite(visit: Visit) -> None:
    users = ", ".join(script().invited)
    visit.console.print(f"Open {visit.base_url}/ and sign in, such as as {users}", soft_wrap=True)


def _wait(evidence: Evidence, tour: Tour) -> None:
    """Ask until all records and spans have arrived, since they are sent in batches, or until patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not evidence.complete(tour.steps) and time.monotonic() < deadline:
        time.sleep(0.5)


def _summarize(tour: Tour, evidence: Evidence, console: Console) -> None:
    held = sum(not step.problems for step in tour.steps)
    refused = sum(refused for _, refused in tour.refusals)
    left_out = f" ({tour.left_out} steps left out)" if tour.left_out else ""
    console.print(
        f"{held} of {len(tour.steps)} requests as expected{left_out};"
        f" {refused} of {len(tour.refusals)} bad ones refused"
    )
    console.print(
        f"{len(evidence.records)} records in {len(evidence.objects)} objects; "
        f"{len(evidence.segments)} traces with {sum(map(len, evidence.segments.values()))} segments"
    )
