"""The demo after its seed: the tour, its evidence, and further chapters, each a line on the terminal and a section
of the report."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from demo import (
    analysis,
    audit,
    documents,
    evaluation,
    gaps,
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
from local.run.report import Section

PATIENCE = 180
"""Maximum seconds until captured records arrive: Firehose buffers for up to a minute by default."""
JOBS = "/aws/sagemaker/ProcessingJobs in CloudWatch"

Lane = tuple[Chapter, ...]
CHAPTERS: tuple[tuple[Lane, ...], ...] = (
    ((analysis.chapter, review.review),),
    ((evaluation.chapter, leftovers.chapter), (documents.chapter, gaps.chapter)),
    ((metrics.look, home.chapter),),
)
"""Chapters after the tour, in parts. The lanes of a part run at the same time, the chapters of a lane one after
another, each after those whose results it needs. They change a deployment: its analysis, its review tasks, its
documents, and for a while the prompt that serves."""
TITLES = {
    analysis.__name__: "embedding analysis",
    metrics.__name__: "dashboards",
    leftovers.__name__: "left for people",
    home.__name__: "home page",
}
"""Names of chapters on the terminal, where the module's own does not tell enough."""


def run(**parts: Any) -> bool:
    """Call ``guide`` with the fields of a ``Visit``, for the local run, which knows the demo by name only."""
    return guide(Visit(**parts, chooses_users=True, history=True))


def guide(
    visit: Visit, *, chapters: tuple[tuple[Lane, ...], ...] = CHAPTERS, for_anyone: bool = False
) -> bool:
    """Send the tour, show the results, go through the chapters, and return whether every expectation held.

    ``for_anyone`` sends only the steps that hold for every caller.
    """
    before = sum(1 for _ in visit.progress.report.problems())
    began = datetime.now(UTC)
    tour, section = _tour(visit, for_anyone=for_anyone)
    evidence = _evidence(visit, tour, began)
    section.say(f"Invited: {', '.join(script().invited)} sign in at {visit.base_url}/")
    section.table(tour.table())
    log = visit.look("Read the assistant's log", log=visit.assistant_log)
    with visit.progress.step("guardrails and authorization") as section:
        _decisions(visit, section, tour, evidence)
    with visit.progress.step("why", log) as section:
        for problem in why.explain(visit, tour.steps, section, for_anyone=for_anyone):
            section.fail(problem)
    pool = ThreadPoolExecutor()
    try:
        if evaluation.chapter in every(chapters):
            visit.ahead[evaluation.__name__] = pool.submit(evaluation.prepare, visit)
        for lanes in chapters:
            for done in [pool.submit(_go_through, visit, lane) for lane in lanes]:
                done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the chapters under way
    return sum(1 for _ in visit.progress.report.problems()) == before


def _tour(visit: Visit, *, for_anyone: bool) -> tuple[Tour, Section]:
    """Send the tour's requests, while days of earlier traffic are written where they are wanted."""
    assistant = Deployment("", outputs=visit.outputs).assistant_environment()
    table = visit.outputs["Assistant"]["RecordsTableName"]
    copies = nullcontext() if for_anyone else seed.copied(table, load()["tour"])
    compare = "Compare the step in demo/tour.yaml with its answer in the report, and read the assistant's log"
    with visit.progress.step("tour", visit.look(compare, log=visit.assistant_log)) as section:
        tour = Tour(
            visit.base_url,
            visit.directory,
            tell=visit.progress.tell,
            for_anyone=for_anyone,
            enforced=assistant["FMOPS_AUTHORIZATION_MODE"] == "ENFORCE",
            # The demo's rules allow more than the library's.
            demo_rules="profanity" in assistant["FMOPS_GUARDRAILS"],
        )
        with copies, ThreadPoolExecutor(1) as meanwhile:
            earlier = meanwhile.submit(history.main, visit.outputs) if visit.history else None
            tour.run()
            visit.progress.tell("writing the days before the tour into the lake")
        if earlier:
            section.say(f"{earlier.result()} records of the days before are in the lake")
        section.found = tour.summary()
        for problem in tour.problems():
            section.fail(problem)
    return tour, section


def _evidence(visit: Visit, tour: Tour, began: datetime) -> Evidence:
    """Wait for the records and traces of the tour, and compare them with its answers."""
    look = visit.look("Read the logs of the assistant and the collector", log="")
    with visit.progress.step("evidence", look) as section:
        known = set(tour.problems())
        evidence = Evidence(visit.outputs, since=began)
        with ThreadPoolExecutor(1) as meanwhile:
            meanwhile.submit(tracking.load)
            visit.settle()
            _wait(evidence, tour)
        evidence.gather(tour.steps)
        run_id = tracking.log(visit.outputs["Tracking"]["MlflowArn"], tour.steps)
        segments = sum(map(len, evidence.segments.values()))
        section.found = (
            f"{len(evidence.records)} records in {len(evidence.objects)} objects,"
            f" {len(evidence.segments)} traces with {segments} segments"
        )
        section.say(f"MLflow experiment {tracking.EXPERIMENT!r}, run {run_id}")
        for problem in (*evidence.problems, *(each for each in tour.problems() if each not in known)):
            section.fail(problem)
    return evidence


def _decisions(visit: Visit, section: Section, tour: Tour, evidence: Evidence) -> None:
    """Write tables of what the guardrails and the policies decided."""
    records = list(evidence.records.values())
    users = {step.interaction_id: step.user for step in tour.steps}
    section.table(layers.guardrails(records))
    section.table(audit.events(records, users, base_url=visit.base_url))
    section.table(audit.denials(records))
    decided = sum(len(record["authorization"]) for record in records)
    checked = sum(len(record["guardrails"]) for record in records)
    section.found = f"{checked} checks and {decided} decisions recorded"


def every(chapters: tuple[tuple[Lane, ...], ...]) -> list[Chapter]:
    """Return every chapter."""
    return [chapter for lanes in chapters for lane in lanes for chapter in lane]


def _go_through(visit: Visit, lane: Lane) -> None:
    for chapter in lane:
        name = chapter.__module__
        title = TITLES.get(name, name.removeprefix("demo."))
        with visit.progress.step(title, _remedy(visit, name)) as section:
            for problem in chapter(visit, section):
                section.fail(problem.removeprefix(f"{title}: "))


def _remedy(visit: Visit, name: str) -> str:
    """Return where to look if a chapter's expectations did not hold."""
    jobs = {analysis.__name__: "analyse", review.__name__: "review", evaluation.__name__: "evaluate"}
    if name in jobs:
        return visit.look("Read the job's log", log=f"job-*-{jobs[name]}-*.log", group=JOBS)
    if name == metrics.__name__:
        return visit.look(f"Open {metrics.PREVIEW}, and read the collector's log", log="collector.log")
    return visit.look("Read the assistant's log", log=visit.assistant_log)


def _wait(evidence: Evidence, tour: Tour) -> None:
    """Ask until all records and spans have arrived, since they are sent in batches, or until patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not evidence.complete(tour.steps) and time.monotonic() < deadline:
        time.sleep(0.5)
