"""A turn that waits for a human is kept, however long the conversation before it was."""

from __future__ import annotations

import random
from typing import Any, TypedDict

import boto3
import pytest
from botocore.config import Config
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from fmops.conversation.checkpoints import WaitingRuns
from local.aws.kernel.cloud import Cloud
from tests.local.conftest import cloud

__all__ = ["cloud"]

WORDS = [
    "claim",
    "damage",
    "covered",
    "garage",
    "estimate",
    "deductible",
    "storm",
    "window",
    "motor",
    "policy",
]


class State(TypedDict):
    said: str
    decided: str


@pytest.fixture
def runs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> WaitingRuns:
    cloud.client("dynamodb").create_table(
        TableName="waiting",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        BillingMode="PAY_PER_REQUEST",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    session = boto3.Session("AKIALOCALDEVELOPER00", "local", region_name=cloud.region)
    return WaitingRuns("waiting", session, Config(), keep_seconds=600)


def test_a_conversation_over_the_limit_of_an_item_waits_and_goes_on(runs: WaitingRuns) -> None:
    def ask(state: State) -> dict[str, Any]:
        return {"decided": interrupt("may it?")}

    graph = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    agent = graph.compile(checkpointer=runs)
    generator = random.Random(7)
    said = " ".join(generator.choice(WORDS) for _ in range(150_000))
    assert len(said) > 2 * 400 * 1024
    thread: Any = {"configurable": {"thread_id": "t-1"}}
    with runs.unless_done("t-1"):
        agent.invoke({"said": said, "decided": ""}, thread, durability="exit")
    ended = agent.invoke(Command(resume="yes"), thread)
    assert (ended["decided"], ended["said"]) == ("yes", said)
