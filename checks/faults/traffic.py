"""Requests to the assistant as its users send them, and the outcome of each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import httpx

from checks.faults.scenario import Ask
from fmops.agent import NAME

AT_ONCE = 6
PATIENCE = 5.0
"""Seconds beyond the deadline after which a user is assumed to have left."""

_numbers = count(1)


@dataclass
class Outcome:
    """One request. ``status`` is 0 if there was no answer; of ``text`` only the length is stored."""

    streamed: bool
    status: int = 0
    interaction_id: str = ""
    finish: str = ""
    code: str = ""
    released: int = 0
    seconds: float = 0.0
    ended: float = 0.0
    problem: str = ""
    retry_after: bool = False

    @property
    def answered(self) -> bool:
        """Whether it is a complete answer of the model."""
        return self.status == 200 and self.finish == "stop"

    @property
    def refused(self) -> bool:
        """Whether the request was turned away before an interaction began."""
        return bool(self.status) and not self.interaction_id


def send(
    base_url: str,
    asks: Sequence[Ask],
    token: Callable[[str], str],
    *,
    within: float,
    told: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Send everything, some at a time, and wait for the answers or until the users' patience ends. ``told`` is
    called after each."""
    tokens = {ask.user: token(ask.user) for ask in asks}
    work = [(ask, number % 2 == 1) for ask in asks for number in range(ask.count)]

    def one(item: tuple[Ask, bool]) -> Outcome:
        ask, streamed = item
        say = ask.say.replace("{n}", str(next(_numbers)))
        outcome = _send(base_url, say, tokens[ask.user], streamed, within)
        told()
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, work))


def _send(base_url: str, say: str, token: str, streamed: bool, within: float) -> Outcome:
    outcome = Outcome(streamed)
    began = time.monotonic()
    body = {"model": NAME, "messages": [{"role": "user", "content": say}], "stream": streamed}
    headers = {"authorization": f"Bearer {token}"}
    try:
        with (
            httpx.Client(timeout=httpx.Timeout(within + PATIENCE, connect=5), trust_env=False) as client,
            client.stream("POST", f"{base_url}/v1/chat/completions", json=body, headers=headers) as answer,
        ):
            outcome.status = answer.status_code
            outcome.retry_after = "retry-after" in answer.headers
            outcome.interaction_id = answer.headers.get("x-interaction-id", "")
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                _read_stream(answer, outcome, began + within + PATIENCE)
            else:
                _read_whole(answer.read(), outcome)
    except (httpx.HTTPError, OSError) as error:
        outcome.problem = type(error).__name__
    outcome.seconds, outcome.ended = time.monotonic() - began, time.time()
    return outcome


def _read_whole(content: bytes, outcome: Outcome) -> None:
    try:
        body = json.loads(content)
    except ValueError:
        outcome.problem = "no JSON"
        return
    if "error" in body:
        outcome.code = str(body["error"].get("code") or "none")
        outcome.interaction_id = outcome.interaction_id or str(body["error"].get("interaction_id") or "")
        return
    choice = body["choices"][0]
    outcome.finish, outcome.released = choice["finish_reason"], len(choice["message"]["content"] or "")


def _read_stream(answer: httpx.Response, outcome: Outcome, deadline: float) -> None:
    ended = False
    for line in answer.iter_lines():
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the stream did not end in time")
        if not line.startswith("data: "):
            continue
        if line == "data: [DONE]":
            ended = True
            continue
        event = json.loads(line.removeprefix("data: "))
        if "error" in event:
            outcome.code = str(event["error"].get("code") or "none")
            continue
        choice = event["choices"][0]
        outcome.released += len(choice["delta"].get("content") or "")
        outcome.finish = choice["finish_reason"] or outcome.finish
    if not ended:
        outcome.problem = "the stream has no end"
