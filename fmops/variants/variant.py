"""The assistant as experiments, evaluations and the playground use it: any prompt, model and guardrails, with
the sandbox.

Agent, tools, guardrails and policies are the ones that serve; only the records and people are the sandbox's.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from langchain.agents.middleware import ToolCallRequest
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse
from langchain_core.embeddings import Embeddings
from langchain_core.messages import ToolMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict

from fmops.agent import KNOWLEDGE, SANDBOX
from fmops.agent.resources import APPROVALS, Resolver
from fmops.agent.sandbox import SandboxRecords
from fmops.agent.tools import build_tools
from fmops.authorization import AuthorizationMiddleware
from fmops.conversation.agent import build_agent
from fmops.conversation.conversation import Conversation
from fmops.conversation.failures import AnswerFailedError
from fmops.conversation.limits import MAX_OUTPUT_TOKENS
from fmops.conversation.recording import RecordingMiddleware
from fmops.conversation.wire import ChatMessage
from fmops.guardrails import (
    DETECTOR_UNAVAILABLE,
    Action,
    Direction,
    GuardrailEngine,
    GuardrailSettings,
    build_engine,
    language,
)
from fmops.identity.tokens import Pseudonyms
from fmops.interaction import Interaction
from fmops.prompts import Prompt, PromptSource
from fmops.telemetry.prices import prices
from fmops.toolkit.bedrock_knowledge import choose
from fmops.toolkit.context import RequestContext, record_outcome
from fmops.toolkit.knowledge import KnowledgeDocument, KnowledgeStore, load
from fmops.variants.sandbox import SandboxAuthorizer, people, records

WAITS = Config(
    connect_timeout=2,
    read_timeout=120,
    max_pool_connections=64,
    retries={"total_max_attempts": 5, "mode": "standard"},
)
"""Client settings of evaluations, which no user waits for: a throttled call is retried, with back-off."""
EMBEDDINGS = "not-captured"


@dataclass(frozen=True)
class Variant:
    """The parts that may differ between two assistants that are compared."""

    prompt: Prompt
    model_id: str
    guardrails: GuardrailSettings
    temperature: float = 0.0
    documents: int = 4
    """Number of passages that retrieval returns."""
    name: str = ""

    def parameters(self) -> dict[str, str]:
        """Return what an experiment logs: short values, no texts."""
        return {
            "prompt": f"{self.prompt.name} {self.prompt.version}",
            "prompt_sha256": _digest(self.prompt.template),
            "model_id": self.model_id,
            "temperature": str(self.temperature),
            "guardrails_sha256": _digest(self.guardrails.model_dump_json()),
            "documents": str(self.documents),
        }

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of everything that decides its answers but the documents, including the sandbox."""
        texts = [json.dumps(self.parameters() | {"prompt": ""}, sort_keys=True), SANDBOX.read_text()]
        return _digest(*texts)


class Call(BaseModel):
    """A tool call that the agent made, and its outcome."""

    model_config = ConfigDict(frozen=True)

    name: str
    arguments: dict[str, Any]
    status: str
    result: str = ""


class Answer(BaseModel):
    """A variant's answer to a case. It holds content: it goes to MLflow and to the journal, never to a log."""

    model_config = ConfigDict(frozen=True)

    text: str
    finish: str
    calls: list[Call] = []
    retrieved: list[dict[str, str]] = []
    """Retrieved documents that the model saw, as ``id``, ``title`` and ``text``."""
    guardrails: list[str] = []
    """Direction and action of each decision other than to allow."""
    decisions: list[str] = []
    """Action, outcome, reason and policies of each authorization decision."""
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    """List price in USD; ``None`` for a model that is not in the price file."""


class Workbench:
    """Build variants over one set of AWS clients. ``rate_limiter`` paces the calls to models."""

    def __init__(
        self,
        *,
        region: str,
        policy_store_id: str,
        principal_prefix: str,
        embedding_model_id: str,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        knowledge_base_id: str = "",
        minimum_similarity: float = 0.0,
        rate_limiter: BaseRateLimiter | None = None,
    ) -> None:
        self.session = boto3.Session(region_name=region)
        self.bedrock = self.session.client("bedrock-runtime", config=WAITS)
        self._region = region
        self._permissions = self.session.client("verifiedpermissions", config=WAITS)
        self._store, self._prefix = policy_store_id, principal_prefix
        self._max_output_tokens = max_output_tokens
        self._limiter = rate_limiter
        self._models: dict[tuple[str, float], ChatBedrockConverse] = {}
        self._making = threading.Lock()
        embeddings = BedrockEmbeddings(client=self.bedrock, model_id=embedding_model_id, region_name=region)
        self.documents = _state(knowledge_base_id)
        """Text that changes with the documents, since answers depend on them."""
        self._documents = choose(
            lambda: self.session.client("bedrock-agent-runtime", config=WAITS),
            knowledge_base_id,
            KNOWLEDGE,
            embeddings,
            minimum_similarity=minimum_similarity,
        )
        self._authorizer = SandboxAuthorizer(self._permissions, policy_store_id, principal_prefix)

    def chat_model(self, model_id: str, temperature: float = 0.0) -> ChatBedrockConverse:
        """Return one model for all conversations: creating it takes longer than an answer of a fast model."""
        with self._making:
            made = self._models.get((model_id, temperature))
            if made is None:
                made = self._models[model_id, temperature] = ChatBedrockConverse(
                    client=self.bedrock,
                    model_id=model_id,
                    temperature=temperature,
                    max_tokens=self._max_output_tokens,
                    region_name=self._region,
                    rate_limiter=self._limiter,
                )
            return made

    def assistant(self, variant: Variant, guardrails: GuardrailEngine | None = None) -> VariantAssistant:
        """Return the assistant of a variant, with its own guardrails, which wait for slow detectors, or with
        ``guardrails``."""
        return VariantAssistant(self, variant, guardrails or self.guardrails(variant.guardrails.patient()))

    def guardrails(self, settings: GuardrailSettings) -> GuardrailEngine:
        return build_engine(settings, self.session, observers=[record_outcome])

    def conversation(
        self, variant: Variant, guardrails: GuardrailEngine, recorder: ToolCallRecorder
    ) -> Conversation:
        """Return a conversation over records of its own."""
        copied = SandboxRecords(records())
        resolver = Resolver(copied, self._prefix)
        prompts = PromptSource(variant.prompt)
        base = _Limited(self._documents, variant.documents)
        agent = build_agent(
            model=self.chat_model(variant.model_id, variant.temperature),
            tools=build_tools(copied, base, resolver.readable(self._authorizer), guardrails),
            guardrails=guardrails,
            authorization=AuthorizationMiddleware(
                self._authorizer, resolver, principals=resolver.principals, approvals=APPROVALS
            ),
            recording=recorder,
            prompts=prompts,
            waiting=APPROVALS,
            checkpointer=InMemorySaver(),
        )
        return Conversation(
            agent=agent,
            guardrails=guardrails,
            embeddings=_NoEmbeddings(),
            embedding_model_id=EMBEDDINGS,
            sink=NullSink(),
            pseudonyms=Pseudonyms("sandbox-people-have-no-secrets"),
            model_id=variant.model_id,
            service="evaluation",
            environment="sandbox",
            prompts=prompts,
            max_output_tokens=self._max_output_tokens,
        )


class VariantAssistant:
    """One variant. Each answer has its own records; nothing is captured."""

    def __init__(self, bench: Workbench, variant: Variant, guardrails: GuardrailEngine) -> None:
        self._bench = bench
        self.variant = variant
        self._guardrails = guardrails
        # Imported now, in this thread, because guardrails import it on first use and MLflow's import hooks
        # deadlock between threads.
        language.identify("Good morning, how can I help you today?", "en")
        self._guardrails.check_sync("Good morning.", Direction.INPUT)

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of everything that decides the answers."""
        return _digest(self.variant.fingerprint, self._bench.documents)

    async def answer(self, caller: str, question: str) -> Answer:
        """Answer a question as one of the sandbox's people, over records of its own.

        Raises ``LookupError`` for a caller who is not in the sandbox. Raises ``AnswerFailedError`` when the
        model is unavailable, or when an answer was withheld because a detector did not answer: that says
        nothing about the variant.
        """
        known = people()
        if caller not in known:
            raise LookupError(f"{caller!r} is not one of the sandbox's people: {', '.join(known)}")
        recorder = ToolCallRecorder()
        conversation = self._bench.conversation(self.variant, self._guardrails, recorder)
        principal = known[caller].principal()
        interaction = conversation.begin(principal, "", streamed=False)
        message = ChatMessage(role="user", content=question)
        began = time.perf_counter()
        text = "".join([piece async for piece in conversation.answer(principal, [message], interaction)])
        seconds = time.perf_counter() - began
        for each in interaction.guardrails:
            if each.action == Action.BLOCK and each.reason == DETECTOR_UNAVAILABLE:
                raise AnswerFailedError(f"the guardrail detector {each.detector} did not answer")
        return self._observed(text, interaction, recorder, seconds)

    def _observed(
        self, text: str, interaction: Interaction, recorder: ToolCallRecorder, seconds: float
    ) -> Answer:
        usage = interaction.usage
        price = prices().price(self.variant.model_id)
        cost = (
            None
            if price is None
            else price.of(
                {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "total_tokens": usage.input_tokens + usage.output_tokens,
                }
            )
        )
        return Answer(
            text=text,
            finish=interaction.finish_reason,
            calls=recorder.calls,
            retrieved=recorder.retrieved,
            guardrails=[
                f"{each.direction} {each.action}" for each in interaction.guardrails if each.action != "allow"
            ],
            decisions=[
                f"{each.action} {each.decision}: {', '.join(each.determining_policies) or each.reason}"
                for each in interaction.authorization
            ],
            seconds=round(seconds, 4),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=None if cost is None else sum(cost.values()),
        )


class ToolCallRecorder(RecordingMiddleware):
    """Keep the tool calls with their arguments and results, which records of real conversations never hold."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.retrieved: list[dict[str, str]] = []

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        context: Any = request.runtime.context
        result: ToolMessage | Command[Any] | None = None
        try:
            result = await super().awrap_tool_call(request, handler)
        finally:
            self._keep(request, context, result)
        return result

    def _keep(
        self, request: ToolCallRequest, context: RequestContext, result: ToolMessage | Command[Any] | None
    ) -> None:
        text = str(result.text) if isinstance(result, ToolMessage) else ""
        call = request.tool_call
        status = context.interaction.tool_calls[-1].status
        self.calls.append(Call(name=call["name"], arguments=dict(call["args"]), status=status, result=text))
        try:
            found = json.loads(text)
        except ValueError:
            return
        if isinstance(found, list):
            self.retrieved += [
                each for each in found if isinstance(each, dict) and {"id", "text"} <= each.keys()
            ]


class NullSink:
    """A sink that drops records in place of the data lake's: evaluations are not interactions of users."""

    def put(self, record: Any) -> None:
        """Drop the record."""

    def flush(self) -> None:
        """Do nothing, since nothing waits."""

    def close(self, timeout: float = 0.0) -> None:
        """Do nothing, since nothing waits."""


class _Limited:
    """Documents of which a search returns a fixed number of passages."""

    def __init__(self, store: KnowledgeStore, passages: int) -> None:
        self._store, self._passages = store, passages
        self.minimum_similarity = store.minimum_similarity

    def search(
        self, query: str, audiences: Sequence[str] | None, limit: int | None = None
    ) -> list[tuple[KnowledgeDocument, float]]:
        return self._store.search(query, audiences, limit or self._passages)

    def document(
        self, document_id: str, audiences: Sequence[str] | None, page: int | None = None
    ) -> list[KnowledgeDocument]:
        return self._store.document(document_id, audiences, page)


class _NoEmbeddings(Embeddings):
    """Placeholder vectors: questions of evaluations are not embedded for the drift analysis, since no user
    asked them."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[0.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:  # noqa: ARG002
        return [0.0]


def with_prompt(variant: Variant, prompt: Prompt) -> Variant:
    """Return the same variant with another prompt."""
    return replace(variant, prompt=prompt, name=f"{prompt.name} {prompt.version}")


def _state(knowledge_base_id: str) -> str:
    """Return a text that changes with the documents. A knowledge base says nothing of its state, so the day stands
    for it: answers of another day are asked for again."""
    if knowledge_base_id:
        return f"{knowledge_base_id} {datetime.now(UTC).date()}"
    return _digest(*(document.text for document in load(KNOWLEDGE)))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:16]
