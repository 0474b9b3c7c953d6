"""With a model that obeys whatever it is told, nothing that the desk's rules forbid runs, whoever tries it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.authorization.attempts import PEOPLE, attempts, fate
from tests.authorization.deployed import Deployed

pytestmark = pytest.mark.rehearsal

ENDS = {"success": "runs", "waiting": "waits", "denied": "denied", "error": "denied"}
"""Meanings of a call's status. An error is LangChain's refusal of a tool that does not exist."""
READS = ("get_claim", "get_customer_contact")


def test_no_forbidden_call_runs(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    assistant = deployed.assistant()
    deployed.reset_claims()
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    for user in PEOPLE:
        for attempt in attempts():
            answer = assistant.ask(deployed.token(user), (attempt.tool, attempt.arguments))
            (call,) = answer["tools"]
            end, allowed = ENDS[call["status"]], fate(user, attempt)
            counts[user, attempt.tool, end] += 1
            if end != allowed:
                wrong.append((user, attempt, end, allowed))
            if end == "runs" and attempt.tool not in READS:
                deployed.reset_claims()
    with capsys.disabled():
        print(table(counts))
    assert wrong == []
    assert counts.total() >= 100
    ran = {user for user, _, end in counts if end == "runs"}
    idle = {"sam", "rita", "ravi", "nils", "petra", "olga"}
    assert ran == PEOPLE.keys() - idle, (
        "all but the suspended and those who only review, operate or write prompts may do something"
    )


def table(counts: Counter[tuple[str, str, str]]) -> str:
    """Return a table of attempts by person and tool: ran / waits / denied."""
    tools = sorted({tool for _, tool, _ in counts})
    lines = [f"\n  {'ran / waits / denied':20}" + "".join(f"{tool:>24}" for tool in tools)]
    for user in PEOPLE:
        cells = (
            " / ".join(str(counts[user, tool, end]) for end in ("runs", "waits", "denied")) for tool in tools
        )
        lines.append(f"  {user:20}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join([*lines, f"  {counts.total()} attempts"])
