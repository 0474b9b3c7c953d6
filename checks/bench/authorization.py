"""The cost of authorization per tool call, compared with the same agent without it, and the small number
of its calls.

The policy store is a client that answers at once with 500 policies: our own time is measured,
without the network.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from checks.bench.report import absolute, entry, publish
from fmops.authorization import (
    AuthorizationMiddleware,
    AuthorizationRequest,
    Authorizer,
    Decision,
    Entity,
    EntityUid,
)

POLICIES = 500
ROUNDS = 15
TURNS = 20
PARALLEL = 5
DOCUMENTS = 100


class Store:
    """Verified Permissions with 500 policies and no network. Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def is_authorized_with_token(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        return self._allow()

    def batch_is_authorized_with_token(self, **request: Any) -> dict[str, Any]:
        self.calls += 1
        return {"results": [self._allow() for _ in request["requests"]]}

    def get_paginator(self, _: str) -> Store:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        for start in range(0, POLICIES, 50):
            yield {"policies": [self._policy(number) for number in range(start, start + 50)]}

    def get_schema(self, **_: Any) -> dict[str, str]:
        return {"schema": json.dumps({"Desk": {"actions": {"look_up": {"memberOf": []}}}})}

    @staticmethod
    def _policy(number: int) -> dict[str, Any]:
        """Return one of the policies. Only the last one permits, so all must be looked at."""
        action = "look_up" if number == POLICIES - 1 else f"other_{number}"
        return {
            "policyId": f"p{number}",
            "name": f"name/policy-{number}",
            "effect": "Permit",
            "actions": [{"actionType": "Desk::Action", "actionId": action}],
        }

    @staticmethod
    def _allow() -> dict[str, Any]:
        return {"decision": "ALLOW", "determiningPolicies": [{"policyId": f"p{POLICIES - 1}"}], "errors": []}


@dataclass
class Context:
    identity_token: str = "token"
    decisions: dict[str, Decision] = field(default_factory=dict)
    recorded: list[Decision] = field(default_factory=list)
    approval: None = None

    def record_decision(self, decision: Decision) -> None:
        self.recorded.append(decision)


class Model(BaseChatModel):
    """A model that calls the tool so many times at once, then answers."""

    parallel: int = 1

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if isinstance(messages[-1], ToolMessage):
            answer = AIMessage("It is open.")
        else:
            calls = [
                {"name": "look_up", "args": {"claim": f"C-{n}"}, "id": f"c{n}"} for n in range(self.parallel)
            ]
            answer = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def look_up(claim: str) -> str:
    """Look a claim up."""
    return f"{claim} is open."


def resolve(name: str, arguments: Mapping[str, Any], _: Any) -> AuthorizationRequest:
    facts = {"region": "north", "openAmount": 1_200_000, "siuHold": False}
    claim = Entity(EntityUid("Desk::Claim", arguments["claim"]), facts)
    return AuthorizationRequest(EntityUid("Desk::Action", name), claim, {"session": {"mfa": True}})


def turn(store: Store | None, parallel: int) -> Callable[[], None]:
    """Run a turn of an agent, with authorization by the store or without any."""
    guard = (
        [AuthorizationMiddleware(Authorizer(store, "ps"), resolve, principals=lambda _: {"me"})]
        if store
        else []
    )
    agent = create_agent(Model(parallel=parallel), [look_up], middleware=guard, context_schema=Context)

    def run() -> None:
        answer = agent.invoke({"messages": [HumanMessage("Is it open?")]}, context=Context())
        if answer["messages"][-1].text != "It is open.":
            raise RuntimeError("the turn did not end with its answer")

    return run


def main() -> int:
    store = Store()
    contenders = {"without": turn(None, 1), "with": turn(store, 1)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            for _ in range(TURNS):
                run()
            if number:
                times[name].append((time.perf_counter() - began) / TURNS)
    added = [ours - bare for ours, bare in zip(times["with"], times["without"], strict=True)]
    publish(
        {
            "authorization.decision_ms": entry(
                statistics.median(added) * 1000, "ms", "<= 1", "the same turn without authorization", ROUNDS
            ),
            "authorization.calls_per_turn": entry(
                _calls_of(turn, PARALLEL), "calls", "<= 1", f"{PARALLEL} tool calls at once", 1
            ),
            "authorization.calls_per_filter": entry(
                _calls_of_filter(), "calls", "<= 4", f"{DOCUMENTS} documents", 1
            ),
        },
        absolute("turn with one tool call", times),
    )
    return 0


def _calls_of(make: Callable[[Store, int], Callable[[], None]], parallel: int) -> int:
    store = Store()
    make(store, parallel)()
    return store.calls


def _calls_of_filter() -> int:
    store = Store()
    requests = [resolve("look_up", {"claim": f"C-{number}"}, None) for number in range(DOCUMENTS)]
    Authorizer(store, "ps").decide("token", requests)
    return store.calls


if __name__ == "__main__":
    sys.exit(main())
