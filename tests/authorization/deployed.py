"""The assistant over deployed tables and a deployed policy store, with a model that obeys whatever it reads."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from demo import seed
from demo.accounts import Directory, load
from fmops.agent import KNOWLEDGE
from fmops.agent.records import Records
from fmops.agent.resources import APPROVALS, Resolver
from fmops.agent.tools import build_tools
from fmops.assistant.approvals import Approvals
from fmops.assistant.service import create_app
from fmops.authorization import AuthorizationMiddleware, Authorizer
from fmops.conversation.agent import build_agent
from fmops.conversation.approval_queue import ApprovalQueue, ApprovalTable
from fmops.conversation.checkpoints import WaitingRuns
from fmops.conversation.conversation import Conversation
from fmops.conversation.recording import RecordingMiddleware
from fmops.guardrails import Category, Finding, GuardrailEngine
from fmops.guardrails.detectors.base import Clients, Context, Detector
from fmops.identity.tokens import Pseudonyms, TokenVerifier
from fmops.interaction import Feedback, Interaction
from fmops.toolkit import knowledge
from fmops.toolkit.context import record_outcome
from local.aws.kernel.cloud import Cloud

CARD = "4111-1111"


class Cards(Detector):
    """Finds one card number."""

    categories = frozenset({Category.CARD_NUMBER})
    in_process = True

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [
            [Finding(Category.CARD_NUMBER, 1.0, at, at + len(CARD), self.name)]
            if (at := text.find(CARD)) >= 0
            else []
            for text in texts
        ]


class Obedient(BaseChatModel):
    """Makes every call that the user's message contains as JSON, offered or not, and repeats the results."""

    offered: list[list[str]] = []

    @property
    def _llm_type(self) -> str:
        return "obedient"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        self.offered.append([tool.name for tool in tools])
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = max(index for index, message in enumerate(messages) if isinstance(message, HumanMessage))
        results = [message.text for message in messages[last:] if isinstance(message, ToolMessage)]
        text = messages[last].text
        calls = json.loads(text[text.index("[{") :]) if "[{" in text else []
        if results or not calls:
            answer = AIMessage(" ".join(results) or "Nothing to do.")
        else:
            tool_calls = [{**call, "id": f"c{number}"} for number, call in enumerate(calls)]
            answer = AIMessage("", tool_calls=tool_calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Sink:
    """Keeps what is captured."""

    def __init__(self) -> None:
        self.records: list[Interaction | Feedback] = []

    def put(self, record: Interaction | Feedback) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass


@dataclass
class Assistant:
    """One process of the assistant; another one is a restart. ``sink`` has what a request captured once
    it is answered."""

    app: FastAPI
    sink: Sink
    model: BaseChatModel

    def ask(self, token: str, *calls: tuple[str, dict[str, Any]], say: str = "Do this:") -> dict[str, Any]:
        text = f"{say} {json.dumps([{'name': name, 'args': arguments} for name, arguments in calls])}"
        body = {"model": "claims-desk", "messages": [{"role": "user", "content": text}]}
        answer = self.request("POST", "/v1/chat/completions", json=body, headers=_bearer(token))
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def approvals(self, token: str) -> list[dict[str, Any]]:
        answer = self.request("GET", "/v1/approvals", headers=_bearer(token))
        listed: list[dict[str, Any]] = answer.json()["data"]
        return listed

    def decide(self, token: str, approval: str, decision: str = "approve") -> tuple[int, dict[str, Any]]:
        answer = self.request(
            "POST", f"/v1/approvals/{approval}", json={"decision": decision}, headers=_bearer(token)
        )
        return answer.status_code, answer.json()

    def see(self, token: str, approval: str) -> tuple[int, dict[str, Any]]:
        answer = self.request("GET", f"/v1/approvals/{approval}", headers=_bearer(token))
        return answer.status_code, answer.json()

    def request(self, method: str, path: str, **more: Any) -> Response:
        # Closing the application after each request waits for what is captured beside it.
        with TestClient(self.app) as client:
            return client.request(method, path, **more)


@dataclass
class Deployed:
    """A deployment with its users signed in."""

    cloud: Cloud
    outputs: dict[str, dict[str, str]]
    directory: Directory
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        if user not in self._tokens:
            self._tokens[user] = self.directory.id_token(user)
        return self._tokens[user]

    def subject(self, user: str) -> str:
        return self.directory.create(user, load()["users"][user] | {"mfa": False}).subject

    @property
    def session(self) -> boto3.Session:
        return self.cloud.session()

    @property
    def claims_table(self) -> str:
        return self.outputs["Assistant"]["RecordsTableName"]

    @property
    def approvals_table(self) -> str:
        tables: list[str] = self.cloud.client("dynamodb").list_tables()["TableNames"]
        return next(name for name in tables if "Approvals" in name)

    @property
    def store(self) -> str:
        return self.outputs["Identity"]["PolicyStoreId"]

    @property
    def pool(self) -> str:
        return self.outputs["Identity"]["UserPoolId"]

    @property
    def desk(self) -> Records:
        return Records(self.cloud.client("dynamodb"), self.claims_table)

    def authorizer(self, *, enforce: bool = True) -> Authorizer:
        return Authorizer(self.cloud.client("verifiedpermissions"), self.store, enforce=enforce)

    def reset_claims(self) -> None:
        """Restore the claims of the demo's data."""
        data, pool = load(), self.cloud.client("cognito-idp")
        users = {
            user["Username"]: next(item["Value"] for item in user["Attributes"] if item["Name"] == "sub")
            for user in pool.list_users(UserPoolId=self.pool)["Users"]
        }
        seed.put_items(self.claims_table, data, users)

    def assistant(self, *, enforce: bool = True, model: BaseChatModel | None = None) -> Assistant:
        """Return a new process of the assistant."""
        resolver, authorizer = Resolver(self.desk, self.pool), self.authorizer(enforce=enforce)
        authorizer.catalog.refresh()
        engine = GuardrailEngine(
            [Cards("cards", Clients(self.session, timeout=1, connections=1))], observers=[record_outcome]
        )
        embeddings, sink, model = DeterministicFakeEmbedding(size=8), Sink(), model or Obedient()
        runs = WaitingRuns(self.approvals_table, self.session, Config(), keep_seconds=600)
        table = ApprovalTable(self.cloud.client("dynamodb"), self.approvals_table)
        base = knowledge.PackagedDocuments(knowledge.load(KNOWLEDGE), embeddings)
        agent = build_agent(
            model=model,
            tools=build_tools(self.desk, base, resolver.readable(authorizer), engine),
            guardrails=engine,
            authorization=AuthorizationMiddleware(
                authorizer, resolver, principals=resolver.principals, approvals=APPROVALS
            ),
            recording=RecordingMiddleware(),
            waiting=APPROVALS,
            checkpointer=runs,
        )
        pseudonyms = Pseudonyms("a key of sixteen characters")
        conversation = Conversation(
            agent=agent,
            guardrails=engine,
            embeddings=embeddings,
            embedding_model_id="fake",
            sink=sink,  # type: ignore[arg-type]
            pseudonyms=pseudonyms,
            model_id="obedient",
            service="assistant",
            environment="test",
            waiting=ApprovalQueue(table, runs, resolver.in_words),
        )
        app = create_app(
            conversation=conversation,
            guardrails=engine,
            sink=sink,  # type: ignore[arg-type]
            verifier=self.verifier(),
            pseudonyms=pseudonyms,
            approvals=Approvals(table, conversation, self.authorizer(), resolver),
        )
        return Assistant(app, sink, model)

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(
            jwks_url=f"{self.cloud.endpoint}/{self.pool}/.well-known/jwks.json",
            issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{self.pool}",
            audience=self.outputs["Identity"]["UserPoolClientId"],
        )


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def long_ago() -> str:
    """Return a time before every lease."""
    return str(int(time.time()) - 3600)
