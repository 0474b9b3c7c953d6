"""A tour of real requests over HTTP, with the official OpenAI client, as different signed-in users."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
from rich.table import Table
from rich.text import Text

from demo.script import script
from demo.visit import SignsIn
from fmops import written
from fmops.agent import NAME

STEPS = Path(__file__).with_name("tour.yaml")


@dataclass
class Step:
    """One request and its outcome."""

    user: str
    ask: str
    expect: dict[str, Any]
    stream: bool = False
    why: str = ""
    by_default: dict[str, Any] = field(default_factory=dict)
    """Expectations that apply instead if the guardrails' rules are the library's rather than the demo's."""
    feedback: str = ""
    anyone: bool = False
    """Whether the step holds for every caller, whatever their permissions."""
    approvals: list[dict[str, str]] = field(default_factory=list)
    answer: str = ""
    finish: str = ""
    interaction_id: str = ""
    trace_id: str = ""
    pieces: int = 0
    seconds: float = 0.0
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, str]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, entry: dict[str, Any], number: int) -> Step:
        """Return a step of the file. Raises ``UnreadableFileError``, which names the step and its field."""
        try:
            return cls(user=entry.pop("as"), **entry)
        except KeyError as error:
            raise written.UnreadableFileError(f"{STEPS}: step {number} has no {error}: add it") from None
        except (AttributeError, TypeError) as error:
            reason = str(error).removeprefix(f"{cls.__name__}.__init__() ")
            raise written.UnreadableFileError(f"{STEPS}: step {number}: {reason}: correct it") from None

    def layers(self) -> str:
        """Decisions of the layers, as text."""
        decided = [
            f"{item['direction']} {item['action']} ({item['reason']} by {item['detector']})"
            for item in self.guardrails
        ]
        return (
            "\n".join([*decided, *(f"{tool['name']} {tool['status']}" for tool in self.tools)])
            or "nothing to do"
        )

    @property
    def shows_denial(self) -> bool:
        """Whether the step is about authorization: in LOG_ONLY none of its expectations holds except
        the recorded decision."""
        tools = " ".join(self.expect.get("tools", ()))
        return (
            "denied" in tools
            or "waiting" in tools
            or "hides" in self.expect
            or " DENY " in self.expect.get("decision", "")
        )

    def check(self, *, enforced: bool = True) -> None:
        """Compare the answer with what the step expects."""
        expect = self.expect
        if self.shows_denial and not enforced:
            return
        if "finish" in expect and self.finish != expect["finish"]:
            self.problems.append(f"finish reason {self.finish}, not {expect['finish']}")
        tools = [f"{tool['name']} {tool['status']}" for tool in self.tools]
        if "tools" in expect and tools != expect["tools"]:
            self.problems.append(f"tools {tools}, not {expect['tools']}")
        if any(tool["name"] == expect.get("hides") for tool in self.tools):
            self.problems.append(f"{expect['hides']} was called, but should not have been offered")
        decided = [f"{item['direction']} {item['action']}" for item in self.guardrails]
        if "guardrail" in expect and expect["guardrail"] not in decided:
            self.problems.append(f"guardrails {decided}, not {expect['guardrail']}")
        if "contains" in expect and expect["contains"] not in self.answer:
            self.problems.append(f"the answer does not contain {expect['contains']!r}")
        if "lacks" in expect and expect["lacks"] in self.answer:
            self.problems.append(f"the answer contains {expect['lacks']!r}")
        if self.stream and self.finish == "stop" and self.pieces < 2:
            self.problems.append("the answer came in one piece")


class Tour:
    """Sends the steps one after another, since later ones build on what earlier ones changed."""

    def __init__(
        self,
        base_url: str,
        directory: SignsIn,
        *,
        tell: Callable[[str], None] = lambda _: None,
        for_anyone: bool = False,
        enforced: bool = True,
        demo_rules: bool = True,
    ) -> None:
        self._enforced = enforced
        self._base_url = base_url.rstrip("/")
        self._directory = directory
        self._tell = tell
        self._tokens: dict[str, str] = {}
        steps = [Step.parse(entry, number) for number, entry in enumerate(written.read_yaml(STEPS) or (), 1)]
        self.steps = [step for step in steps if step.anyone or not for_anyone]
        self.left_out = len(steps) - len(self.steps)
        if for_anyone:
            for step in self.steps:
                step.user = "the caller"
        if not demo_rules:
            for step in self.steps:
                step.expect = step.by_default or step.expect
        self.refusals: list[tuple[str, bool]] = []

    def run(self) -> None:
        """Send everything and check the answers."""
        for number, step in enumerate(self.steps, 1):
            self._tell(f"tour: {number} of {len(self.steps)}, {step.user}: {_short(step.ask, 50)}")
            started = time.perf_counter()
            self._send(step)
            step.seconds = time.perf_counter() - started
            step.check(enforced=self._enforced)
            if self._enforced:
                self._decide_approvals(step)
            if step.feedback:
                self._give_feedback(step)
        self.refusals = self._bad_requests()

    @property
    def held(self) -> bool:
        return not any(step.problems for step in self.steps) and all(refused for _, refused in self.refusals)

    def summary(self) -> str:
        """Return how many requests came out as expected."""
        held = sum(not step.problems for step in self.steps)
        refused = sum(refused for _, refused in self.refusals)
        left_out = f" ({self.left_out} steps left out)" if self.left_out else ""
        return (
            f"{held} of {len(self.steps)} requests as expected{left_out},"
            f" {refused} of {len(self.refusals)} bad ones refused"
        )

    def problems(self) -> list[str]:
        """Return what is not as expected so far, each with its step."""
        steps = (
            f"step {number}, {step.user} asked “{_short(step.ask, 60)}”: {problem}"
            for number, step in enumerate(self.steps, 1)
            for problem in step.problems
        )
        return [*steps, *(f"not refused: {what}" for what, refused in self.refusals if not refused)]

    def table(self) -> Table:
        """Return a table of what was asked, what each layer decided, and what came back."""
        table = Table(title="Requests, decisions and answers")
        for column in ("step", "who", "asked", "what the layers decided", "answer", "seconds"):
            table.add_column(column, justify="right" if column in ("step", "seconds") else "left")
        for number, step in enumerate(self.steps, 1):
            asked = Text(_short(step.ask, 110))
            if step.why:
                asked.append(f"\n{step.why}", "dim")
            answer = Text(_short(step.answer, 260))
            for problem in step.problems:
                answer.append(f"\n{problem}", "red")
            told = Text(step.layers())
            seconds = f"{step.seconds:.2f}"
            table.add_row(_mark(not step.problems, number), step.user, asked, told, answer, seconds)
        for what, refused in self.refusals:
            answer = Text("refused") if refused else Text("not refused", "red")
            table.add_row(_mark(refused), "", what, "", answer, "")
        return table

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            self._tokens[user] = self._directory.id_token(user)
        return self._tokens[user]

    def _send(self, step: Step) -> None:
        client = openai.OpenAI(
            base_url=f"{self._base_url}/v1", api_key=self._token(step.user), max_retries=0, timeout=60
        )
        arguments: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": step.ask}]}
        try:
            last = _streamed(client, arguments, step) if step.stream else _whole(client, arguments, step)
        except openai.APIError as error:
            step.problems.append(str(error))
            return
        step.interaction_id = last["id"]
        step.trace_id, step.guardrails, step.tools = last["trace_id"], last["guardrails"], last["tools"]
        step.waiting = [approval["id"] for approval in last["approvals"]]

    def _give_feedback(self, step: Step) -> None:
        body = {
            "interaction_id": step.interaction_id,
            "rating": step.feedback,
            "comment": "That helped, thanks.",
        }
        answer = httpx.post(
            f"{self._base_url}/v1/feedback", json=body, headers=self._bearer(step.user), timeout=30
        )
        if answer.status_code != httpx.codes.ACCEPTED:
            step.problems.append(f"feedback answered {answer.status_code}")

    def _decide_approvals(self, step: Step) -> None:
        """Let each person that the step names approve what it left waiting, and compare the outcomes."""
        for approval in step.approvals if step.waiting else ():
            answer = httpx.post(
                f"{self._base_url}/v1/approvals/{step.waiting[0]}",
                json={"decision": "approve"},
                headers=self._bearer(approval["as"]),
                timeout=60,
            ).json()
            outcome = answer.get("status") or answer["error"]["code"]
            step.answer += f" {approval['as']}: {outcome} {answer.get('answer', '')}".rstrip()
            if outcome != approval["outcome"]:
                step.problems.append(f"{approval['as']}: {outcome}, not {approval['outcome']}")
        if step.approvals and not step.waiting:
            step.problems.append("nothing waits for approval")

    def _bad_requests(self) -> list[tuple[str, bool]]:
        """Send requests that must be refused with the right status and an error object that helps."""
        good = {"model": NAME, "messages": [{"role": "user", "content": "Hello"}]}
        bearer = self._bearer(script().visitor)
        forged = {"authorization": bearer["authorization"][:-4] + "AAAA"}
        cases: list[tuple[str, dict[str, Any], dict[str, str], int, str]] = [
            ("a request without a token", good, {}, 401, "invalid_token"),
            ("a token with a forged signature", good, forged, 401, "invalid_token"),
            ("a body without messages", {"model": NAME}, bearer, 400, "invalid_body"),
            (
                "a system message in the body",
                {"model": NAME, "messages": [{"role": "system", "content": "x"}]},
                bearer,
                400,
                "invalid_body",
            ),
            ("a model that is not there", {**good, "model": "gpt-99"}, bearer, 404, "model_not_found"),
        ]
        return [
            (what, self._is_refused(body, headers, status, code))
            for what, body, headers, status, code in cases
        ]

    def _is_refused(self, body: dict[str, Any], headers: dict[str, str], status: int, code: str) -> bool:
        answer = httpx.post(f"{self._base_url}/v1/chat/completions", json=body, headers=headers, timeout=30)
        failure = answer.json().get("error", {})
        return answer.status_code == status and failure.get("code") == code and "Traceback" not in answer.text

    def _bearer(self, user: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token(user)}"}


def _whole(client: openai.OpenAI, arguments: dict[str, Any], step: Step) -> dict[str, Any]:
    answer = client.chat.completions.create(**arguments)
    step.answer, step.finish = answer.choices[0].message.content or "", answer.choices[0].finish_reason
    return dict(answer.to_dict())


def _streamed(client: openai.OpenAI, arguments: dict[str, Any], step: Step) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for event in client.chat.completions.create(**arguments, stream=True):
        piece = event.choices[0].delta.content or ""
        step.answer += piece
        step.pieces += bool(piece)
        step.finish = event.choices[0].finish_reason or step.finish
        last = dict(event.to_dict())
    return last


def _mark(held: bool, number: int | str = "") -> Text:
    mark = ("✓", "green") if held else ("✗", "red")
    return Text.assemble(mark, f" {number}")


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
