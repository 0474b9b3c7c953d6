"""No tool of an agent runs without an ALLOW for exactly its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from fmops.authorization import (
    ApprovedCall,
    AuthorizationMiddleware,
    AuthorizationRequest,
    Authorizer,
    Decision,
    Entity,
    EntityUid,
)
from fmops.authorization.middleware import DENIED


@dataclass
class Context:
    identity_token: str = "token"
    decisions: dict[str, Decision] = field(default_factory=dict)
    recorded: list[Decision] = field(default_factory=list)
    approval: ApprovedCall | None = None

    def record_decision(self, decision: Decision) -> None:
        self.recorded.append(decision)


class Limit(Authorizer):
    """An authorizer that allows amounts up to 10, and counts its calls."""

    def __init__(self) -> None:
        super().__init__(None, "ps")
        self.batches: list[int] = []

    def decide(self, identity_token: str, requests: Sequence[AuthorizationRequest]) -> list[Decision]:
        if requests:
            self.batches.append(len(requests))
        return [
            Decision(request, "ALLOW", "permitted")
            if request.context["amount"] <= 10
            else Decision(request, "DENY", "not_permitted")  # type: ignore[operator]
            for request in requests
        ]


def resolve(name: str, arguments: Mapping[str, Any], context: Context) -> AuthorizationRequest:
    if not isinstance(arguments["amount"], int):
        raise ValueError("amount: give an integer")
    return AuthorizationRequest(
        EntityUid("Action", name), Entity(EntityUid("Account", "a")), {"amount": arguments["amount"]}
    )


async def run(*amounts: Any) -> tuple[list[int], Limit, Context, list[ToolMessage]]:
    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay an amount."""
        paid.append(amount)
        return f"paid {amount}"

    calls = [{"name": "pay", "args": {"amount": amount}, "id": f"c{n}"} for n, amount in enumerate(amounts)]
    script = iter([AIMessage("", tool_calls=calls), AIMessage("done")])
    limit, context = Limit(), Context()

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    agent = create_agent(
        Model(messages=script),
        [pay],
        middleware=[AuthorizationMiddleware(limit, resolve)],
        context_schema=Context,
    )
    state = await agent.ainvoke({"messages": [("user", "pay")]}, context=context)
    return (
        paid,
        limit,
        context,
        [message for message in state["messages"] if isinstance(message, ToolMessage)],
    )


async def test_parallel_calls_are_decided_in_one_batch_each_for_itself() -> None:
    paid, limit, context, results = await run(5, 50, 7)
    assert sorted(paid) == [5, 7]
    assert limit.batches == [3]
    assert [decision.outcome for decision in context.recorded] == ["ALLOW", "DENY", "ALLOW"]
    assert [message.status for message in results] == ["success", "error", "success"]
    assert results[1].content == DENIED


async def test_arguments_that_cannot_be_authorized_are_denied_and_recorded() -> None:
    paid, _, context, results = await run("5")
    assert paid == []
    assert results[0].content == DENIED
    assert context.recorded[0].reason == "invalid_arguments"
