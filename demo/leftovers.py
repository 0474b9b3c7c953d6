"""Work that the demo leaves for people to try by hand: a request that waits for approval, and answers to review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
from rich.text import Text

from demo.review import lines, run_job
from demo.script import script
from demo.visit import Visit
from fmops.agent import NAME
from fmops.deployment import Deployment
from local.run.report import Section
from ops.jobs import JobError


def chapter(visit: Visit, section: Section) -> list[str]:
    """Request what has to wait, sample yesterday's answers, and return the expectations that did not hold."""
    return [*_request(visit, section), *(_sample(visit, section) if visit.history else ())]


def _request(visit: Visit, section: Section) -> list[str]:
    if Deployment("", outputs=visit.outputs).assistant_environment()["FMOPS_AUTHORIZATION_MODE"] != "ENFORCE":
        return []  # nothing waits where denials are only logged
    left = script().left
    answer = httpx.post(
        f"{visit.base_url}/v1/chat/completions",
        json={"model": NAME, "messages": [{"role": "user", "content": left.ask}]},
        headers={"authorization": f"Bearer {visit.directory.id_token(left.user)}"},
        timeout=60,
    )
    waiting = answer.raise_for_status().json()["approvals"]
    section.found = f"a request of {left.user} waits for approval"
    address = f"{visit.base_url}/approvals"
    section.say(Text.assemble(f"{left.user} asked: {left.ask} It waits at ", (address, f"link {address}")))
    return [] if len(waiting) == 1 else [f"left for people: {len(waiting)} calls wait, not 1"]


def _sample(visit: Visit, section: Section) -> list[str]:
    """Run the review job for the last day of the history, which nobody has reviewed."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    try:
        run_job(visit, "--day", str(yesterday))
    except JobError as error:
        return [f"left for people: {error}"]
    bucket = visit.outputs["Capture"]["LakeBucketName"]
    tasks = lines(bucket, f"review/tasks/dt={yesterday}/tasks.jsonl")
    reviewer, address = script().review.reviewers[0], f"{visit.base_url}/review"
    section.found = ", ".join(filter(None, [section.found, f"{len(tasks)} answers wait for review"]))
    waiting = f"{len(tasks)} answers of yesterday wait for {reviewer} at "
    section.say(Text.assemble(waiting, (address, f"link {address}")))
    return [] if tasks else ["left for people: no answer of yesterday was chosen for review"]
