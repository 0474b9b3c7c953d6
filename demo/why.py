"""One answer of the tour explained by its trace, as the page Why does it, and to whom it is shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx

from demo.script import script
from demo.tour import Step
from demo.visit import Visit
from local.run.report import Section

PATIENCE = 60
"""Maximum seconds until a trace has arrived where the assistant reads it."""


def explain(visit: Visit, steps: Sequence[Step], section: Section, *, for_anyone: bool = False) -> list[str]:
    """Tell why one of the answers came about, and return what is wrong with the explanation.

    ``for_anyone`` asks only as the one caller that there is.
    """
    answered = [step for step in steps if step.trace_id]
    if not answered:
        return []
    step = max(answered, key=lambda each: len(each.tools))
    owned = _asked(visit, step, step.user)
    if owned.status_code != httpx.codes.OK:
        return [f"the trace of a request is not shown to {step.user}: {owned.text[:200]}"]
    trace = owned.json()
    section.found = f"an answer to {step.user} is explained in {len(trace['story'])} sentences"
    section.itemize(trace["story"], f"Why did {step.user} get that answer? {_short(step.ask)}")
    problems = _check(step, trace, owned.text)
    if for_anyone:
        return problems
    others = [user for user in (script().visitor, *script().invited) if user != step.user]
    if others and _asked(visit, step, others[0]).status_code != httpx.codes.NOT_FOUND:
        problems.append(f"the trace of {step.user}'s request is shown to {others[0]}")
    reviewer = script().review.reviewers[0]
    if _asked(visit, step, reviewer).status_code != httpx.codes.OK:
        problems.append(f"the trace of {step.user}'s request is not shown to {reviewer}, who may read traces")
    return problems


def _asked(visit: Visit, step: Step, user: str) -> httpx.Response:
    """Return the answer to a user who asks for the trace of a step, once it has arrived."""
    ends = time.monotonic() + PATIENCE
    while True:
        answer = httpx.get(
            f"{visit.base_url}/v1/traces/{step.trace_id}",
            headers={"authorization": f"Bearer {visit.directory.id_token(user)}"},
            timeout=30,
        )
        wait = answer.headers.get("retry-after")
        if wait is None or time.monotonic() + int(wait) > ends:
            return answer
        time.sleep(int(wait))


def _check(step: Step, trace: dict[str, Any], text: str) -> list[str]:
    kinds = {span["kind"] for span in trace["spans"]}
    ran = {tool["name"] for tool in step.tools if tool["status"] == "success"}
    expected = {"request", "model", *({"tool"} if ran else ())}
    problems = [f"the trace shows no {kind}" for kind in sorted(expected - kinds)]
    if trace["interaction_id"] != step.interaction_id:
        problems.append("the trace names another interaction")
    decided = {made["action"] for made in trace["decisions"] if made["kind"] == "authorization"}
    if missing := {tool["name"] for tool in step.tools} - decided:
        problems.append(f"the trace shows no decision on {', '.join(sorted(missing))}")
    if step.ask[:40] in text or (len(step.answer) > 40 and step.answer[:40] in text):
        problems.append("the explanation contains what was said")
    return problems


def _short(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:69]}…"
