"""One turn of a conversation: guard what comes in, run the agent, release what is vetted, record what happened."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Durability, Interrupt
from opentelemetry import trace

from fmops.assistant.agent import packaged_prompts
from fmops.assistant.checkpoints import INTERRUPT
from fmops.assistant.context import RequestContext, current_interaction
from fmops.assistant.identity import Principal, Pseudonyms
from fmops.assistant.waiting import WaitingRoom
from fmops.assistant.wire import ChatMessage
from fmops.capture import FirehoseSink
from fmops.guardrails import (
    Action,
    Direction,
    GuardrailBlocked,
    GuardrailEngine,
    begin_turn,
    current_turn,
)
from fmops.interaction import Embedding, GuardrailOutcome, Interaction, RawText
from fmops.prompts import PromptSource
from fmops.telemetry import attributes as names
from fmops.telemetry import content
from fmops.telemetry.metrics import instruments

BLOCKED_INPUT = "I cannot help with this message."
BLOCKED_ANSWER = "I cannot give this answer."
WAITING = "This needs the approval of somebody else. It waits as {}."
BLOCKED = {Direction.INPUT: BLOCKED_INPUT}

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer(__name__)


class Sink(Protocol):
    """Takes captured records; ``put`` never waits for their delivery."""

    def put(self, record: Interaction) -> object: ...

    def flush(self) -> object: ...

    def close(self) -> object: ...


class ModelUnavailableError(Exception):
    """The model behind the assistant did not answer; the message is for the caller."""


class Conversation:
    """Answers turns. What it yields is vetted text, and the interaction is captured however the turn ends."""

    def __init__(
        self,
        *,
        agent: CompiledStateGraph[Any, RequestContext, Any, Any],
        guardrails: GuardrailEngine,
        embeddings: Embeddings,
        embedding_model_id: str,
        sink: Sink,
        pseudonyms: Pseudonyms,
        model_id: str,
        service: str,
        environment: str,
        prompts: PromptSource | None = None,
        waiting: WaitingRoom | None = None,
        raw_sink: FirehoseSink | None = None,
        trace_content: bool = False,
    ) -> None:
        self._raw_sink = raw_sink
        self._trace_content = trace_content
        self._waiting = waiting
        self._agent = agent
        self._guardrails = guardrails
        self._embeddings = embeddings
        self._embedding_model_id = embedding_model_id
        self._sink = sink
        self._pseudonyms = pseudonyms
        self._model_id = model_id
        self._service = service
        self._environment = environment
        self._prompts = prompts or packaged_prompts()
        self._captures: set[asyncio.Task[None]] = set()

    def begin(self, principal: Principal, session: str, *, streamed: bool) -> Interaction:
        """A new interaction of this caller, bound to the current trace."""
        span = trace.get_current_span()
        prompt = self._prompts.current
        interaction = Interaction(
            trace_id=trace.format_trace_id(span.get_span_context().trace_id),
            user=self._pseudonyms.user(principal.subject),
            service=self._service,
            environment=self._environment,
            model_id=self._model_id,
            prompt_name=prompt.name,
            prompt_version=prompt.version,
            streamed=streamed,
        )
        interaction.session_id = self._pseudonyms.session(
            principal.subject, session or interaction.interaction_id
        )
        span.set_attribute(names.INTERACTION_ID, interaction.interaction_id)
        span.set_attribute(names.SESSION_ID, interaction.session_id)
        span.set_attribute(names.USER_HASH, interaction.user)
        return interaction

    def answer(
        self, principal: Principal, messages: Sequence[ChatMessage], interaction: Interaction
    ) -> AsyncIterator[str]:
        """The vetted pieces of the answer. Raises ``ModelUnavailableError``; a block is an answer, not an error."""
        turn = self._turn(messages, RequestContext(principal, interaction))
        return self._recorded(interaction, turn, typed=messages[-1].text)

    def resume(
        self,
        thread_id: str,
        interrupt_id: str,
        context: RequestContext,
        verdict: Literal["approve", "reject"],
    ) -> AsyncIterator[str]:
        """What the agent says after a waiting call was decided: it runs as the approver's, and nothing else does."""
        return self._recorded(
            context.interaction, self._rest_of_turn(thread_id, interrupt_id, context, verdict)
        )

    async def _recorded(
        self, interaction: Interaction, answered: AsyncIterator[str], *, typed: str = ""
    ) -> AsyncIterator[str]:
        started = time.perf_counter()
        span = trace.get_current_span()
        token = current_interaction.set(interaction)
        begin_turn()
        pieces: list[str] = []
        try:
            async for piece in _guarded(answered, interaction):
                if not pieces:
                    instruments().first_text.record(time.perf_counter() - started)
                pieces.append(piece)
                yield piece
            interaction.finish_reason = interaction.finish_reason or "stop"
        except (BotoCoreError, ClientError) as error:
            interaction.finish_reason = "error"
            interaction.error_type = _error_code(error)
            raise ModelUnavailableError(_remedy(interaction.error_type, self._model_id)) from error
        except BaseException as error:
            interaction.finish_reason = "error"
            interaction.error_type = type(error).__name__
            raise
        finally:
            interaction.output = "".join(pieces)
            interaction.duration_ms = round((time.perf_counter() - started) * 1000, 3)
            current_interaction.reset(token)
            if self._raw_sink is not None:
                self._capture_raw(self._raw_sink, interaction, typed)
            self.record(interaction, span)

    def record(self, interaction: Interaction, span: trace.Span | None = None) -> None:
        """Count and capture an interaction that is over."""
        span = span or trace.get_current_span()
        _tell(span, interaction)
        if self._trace_content:
            span.set_attributes(content.messages(interaction.input, interaction.output))
        self._capture(interaction)

    async def flush(self) -> None:
        """Wait until what was captured so far is delivered, or in the spool."""
        await asyncio.gather(*self._captures, return_exceptions=True)
        sinks = [self._sink, *([self._raw_sink] if self._raw_sink else [])]
        await asyncio.gather(*(asyncio.to_thread(sink.flush) for sink in sinks))

    async def close(self) -> None:
        """Wait for the captures under way, then deliver or spool what is left."""
        await asyncio.gather(*self._captures, return_exceptions=True)
        await asyncio.to_thread(self._sink.close)
        if self._raw_sink is not None:
            await asyncio.to_thread(self._raw_sink.close)

    async def _turn(self, messages: Sequence[ChatMessage], context: RequestContext) -> AsyncIterator[str]:
        state = {"messages": await self._vetted(messages, context.interaction)}
        thread_id = context.interaction.interaction_id
        if self._waiting is None:
            async for piece in self._run(state, context, thread_id, []):
                yield piece
            return
        interrupts: list[Interrupt] = []
        with self._waiting.turn(thread_id):
            async for piece in self._run(state, context, thread_id, interrupts, durability="exit"):
                yield piece
        if interrupts:
            approvals = await asyncio.to_thread(self._waiting.enter, interrupts, context)
            yield WAITING.format(" and ".join(approvals))

    async def _rest_of_turn(
        self, thread_id: str, interrupt_id: str, context: RequestContext, verdict: str
    ) -> AsyncIterator[str]:
        thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
        state = await self._agent.aget_state(thread)
        if not state.next or context.approval is None:
            return
        waiting = {interrupt.id: interrupt.value["tool_call_id"] for interrupt in state.interrupts}
        context.approval = replace(context.approval, waiting=frozenset(waiting.values()))
        # A run that was cut off after the call goes on from where it was.
        decided: Any = Command(resume={interrupt_id: {"type": verdict}}) if interrupt_id in waiting else None
        async for piece in self._run(decided, context, thread_id, [], durability="sync"):
            yield piece

    async def _vetted(self, messages: Sequence[ChatMessage], interaction: Interaction) -> list[BaseMessage]:
        """The conversation as the agent may see it: earlier turns come from the client and are checked like the last."""
        directions = [Direction.INPUT if message.role == "user" else Direction.OUTPUT for message in messages]
        outcomes = await asyncio.gather(
            *(
                self._guardrails.check(message.text, direction, observe=message is messages[-1])
                for message, direction in zip(messages, directions, strict=True)
            )
        )
        interaction.input = outcomes[-1].text
        for outcome in outcomes:
            if outcome.blocked:
                raise GuardrailBlocked(outcome)
        return [
            HumanMessage(outcome.text) if message.role == "user" else AIMessage(outcome.text)
            for message, outcome in zip(messages, outcomes, strict=True)
        ]

    async def _run(
        self,
        given: Any,
        context: RequestContext,
        thread_id: str,
        interrupts: list[Interrupt],
        durability: Durability | None = None,
    ) -> AsyncIterator[str]:
        """What the agent says; calls that wait are added to ``interrupts``."""
        stream = self._agent.astream(
            given,
            context=context,
            config={
                "configurable": {"thread_id": thread_id},
                "metadata": {"session_id": context.interaction.session_id},
            },
            stream_mode=["messages", "updates"],
            durability=durability,
        )
        part: Any
        async for mode, part in stream:
            if mode == "updates":
                interrupts += part.get(INTERRUPT, ())
            elif isinstance(part[0], AIMessageChunk | AIMessage) and (text := part[0].text):
                yield text

    def _capture(self, interaction: Interaction) -> None:
        """Off the request path: embed the question, then hand the record over."""
        self._aside(asyncio.to_thread(self._embed_and_put, interaction))

    def _capture_raw(self, sink: FirehoseSink, interaction: Interaction, typed: str) -> None:
        """What was said before anything was redacted, where a deployer wants it kept."""
        record = RawText(
            interaction_id=interaction.interaction_id,
            user=interaction.user,
            started_at=interaction.started_at,
            input=typed,
            output=interaction.output,
        )
        self._aside(asyncio.to_thread(sink.put, record))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._captures.add(task)
        task.add_done_callback(self._captures.discard)

    def _embed_and_put(self, interaction: Interaction) -> None:
        with _tracer.start_as_current_span("capture") as span:
            self._redact_disclosed(interaction)
            if interaction.input:
                try:
                    vector = self._embeddings.embed_query(interaction.input)
                    interaction.embedding = Embedding.encode(self._embedding_model_id, vector)
                except Exception as error:  # noqa: BLE001 - a record without its embedding beats no record
                    span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                    _log.warning(
                        "interaction %s has no embedding: %s",
                        interaction.interaction_id,
                        type(error).__name__,
                    )
            self._sink.put(interaction)

    def _redact_disclosed(self, interaction: Interaction) -> None:
        """What a tool disclosed was for the caller's eyes; the record is for others'."""
        turn = current_turn()
        if turn and turn.disclosed and interaction.output:
            begin_turn()
            outcome = self._guardrails.check_sync(interaction.output, Direction.OUTPUT, observe=False)
            interaction.output = outcome.text


async def _guarded(pieces: AsyncIterator[str], interaction: Interaction) -> AsyncIterator[str]:
    """The pieces, and in the place of what guardrails block, a sentence that says so."""
    try:
        async for piece in pieces:
            yield piece
    except GuardrailBlocked as blocked:
        interaction.finish_reason = "content_filter"
        yield BLOCKED.get(blocked.outcome.direction, BLOCKED_ANSWER)


def _tell(span: trace.Span, interaction: Interaction) -> None:
    """Count the interaction, and put what became of it on the request's span, by which the collector samples."""
    labels: dict[str, str] = {names.INTERACTION_FINISH_REASON: interaction.finish_reason}
    if interaction.error_type:
        labels[names.ERROR_TYPE] = interaction.error_type
        span.set_status(trace.StatusCode.ERROR)
    instruments().interactions.add(1, labels)
    span.set_attributes(labels)
    span.set_attribute(names.PROMPT_NAME, interaction.prompt_name)
    span.set_attribute(names.PROMPT_VERSION, interaction.prompt_version)
    if interaction.guardrails:
        severest = max(
            (Action(each.action) for each in interaction.guardrails), key=lambda each: each.severity
        )
        span.set_attribute(names.GUARDRAIL_ACTION, severest.value)
        decided = {_decided(each) for each in interaction.guardrails if each.action != Action.ALLOW}
        span.set_attribute(names.GUARDRAIL_DECISIONS, sorted(decided))
    if decisions := {each.decision for each in interaction.authorization}:
        span.set_attribute(names.AUTHORIZATION_DECISION, "DENY" if "DENY" in decisions else "ALLOW")


def _decided(outcome: GuardrailOutcome) -> str:
    return f"{outcome.direction} {outcome.action} {outcome.detector} {outcome.reason}"


def _error_code(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _remedy(code: str, model_id: str) -> str:
    match code:
        case "ResourceNotFoundException" | "ValidationException":
            return (
                f"The model {model_id} is not there in this region: set model_id to one that is, and deploy."
            )
        case "AccessDeniedException":
            return f"The assistant has no access to the model {model_id}: grant it in Bedrock, and check the task role."
        case "ThrottlingException" | "TooManyRequestsException" | "ServiceQuotaExceededException":
            return "The model is busy: try again in a moment."
        case _:
            return "The model did not answer: try again."
