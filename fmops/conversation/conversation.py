"""One turn of a conversation: guard the input, run the agent, release vetted text, record what happened."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Durability, Interrupt
from opentelemetry import trace

from fmops import deadline
from fmops.conversation.agent import packaged_prompts, speak
from fmops.conversation.answering import Answer, Cut, Pieces, Run, joined, stop
from fmops.conversation.approval_queue import ApprovalQueue
from fmops.conversation.capturing import STOP_SECONDS, Captures, Sink
from fmops.conversation.ending import conclude, tell
from fmops.conversation.failures import (
    MALFORMED,
    OUT_OF_TIME,
    STOPPED,
    AnswerFailedError,
    Failure,
    ModelUnavailableError,
    answer_error,
)
from fmops.conversation.spending import BudgetExceededError, Spending, TurnBudgets
from fmops.conversation.turns import Turns
from fmops.conversation.wire import ChatMessage
from fmops.guardrails import (
    Asked,
    Direction,
    GuardrailBlocked,
    GuardrailEngine,
    begin_turn,
    from_client,
)
from fmops.identity.tokens import Principal, Pseudonyms
from fmops.interaction import Interaction, RawText
from fmops.prompts import PromptSource
from fmops.telemetry import attributes as names
from fmops.telemetry import content
from fmops.telemetry.metrics import instruments
from fmops.toolkit.context import RequestContext, current_interaction

BLOCKED_INPUT = "I cannot help with this message."
BLOCKED_ANSWER = "I cannot give this answer."
WAITING = "This needs someone else's approval. It is waiting as {}."
UNSAID = "…"
"""Stand-in for the user's first message when a conversation begins with the assistant."""
BLOCKED = {Direction.INPUT: BLOCKED_INPUT}

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer(__name__)


@dataclass(frozen=True)
class Admitted:
    """A turn that may begin: how to end its count, and its spending."""

    leave: Callable[[], None]
    spending: Spending | None = None


class Conversation:
    """Answer turns. They yield only vetted text, and the interaction is captured however the turn ends."""

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
        waiting: ApprovalQueue | None = None,
        raw_sink: Sink | None = None,
        trace_content: bool = False,
        max_output_tokens: int | None = None,
        turn_budgets: TurnBudgets | None = None,
        turns: Turns | None = None,
        turn_seconds: float | None = None,
    ) -> None:
        """Set up the conversation. By default, any number of ``turns`` of any length may run."""
        self._turn_budgets = turn_budgets
        self._max_output_tokens = max_output_tokens
        self.turns = turns or Turns(sys.maxsize, sys.maxsize)
        self._turn_seconds = turn_seconds
        self._runs: set[Run] = set()
        self.captures = Captures(
            sink,
            raw_sink=raw_sink,
            guardrails=guardrails,
            embeddings=embeddings,
            embedding_model_id=embedding_model_id,
        )
        self._trace_content = trace_content
        self._waiting = waiting
        self._agent = agent
        self._guardrails = guardrails
        self._pseudonyms = pseudonyms
        self._model_id = model_id
        self._service = service
        self._environment = environment
        self._prompts = prompts or packaged_prompts()

    def begin(self, principal: Principal, session: str, *, streamed: bool) -> Interaction:
        """Return a new interaction of this caller, bound to the current trace."""
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

    async def admit(
        self,
        principal: Principal,
        messages: Sequence[ChatMessage],
        interaction: Interaction,
        *,
        max_tokens: int | None = None,
    ) -> Admitted:
        """Count the turn, and reserve what its first model call may cost.

        Raises ``AnswerFailedError`` at once when too many turns are in progress. It is also raised when a
        budget is spent, after the interaction was captured without its text, which nothing has vetted.
        """
        leave = self.turns.enter(principal.subject)
        if self._turn_budgets is None:
            return Admitted(leave)
        spending = self._turn_budgets.open(principal)
        try:
            await spending.admit([message.text for message in messages], max_tokens)
        except BaseException as refused:
            leave()
            if isinstance(refused, AnswerFailedError):
                if isinstance(refused, BudgetExceededError):
                    interaction.finish_reason = "budget_exceeded"
                else:
                    conclude(interaction, refused, "")
                self.record(interaction)
                refused.interaction = interaction
            raise
        return Admitted(leave, spending)

    def answer(
        self,
        principal: Principal,
        messages: Sequence[ChatMessage],
        interaction: Interaction,
        *,
        max_tokens: int | None = None,
        admitted: Admitted | None = None,
    ) -> Answer:
        """Return the vetted pieces of the answer, which begins now. A block is an answer, not an error.

        Reading it raises ``AnswerFailedError``; so does this call when the turn was not admitted and too many
        are in progress. ``max_tokens`` is the caller's limit, if that is lower than the deployment's.
        """
        admitted = admitted or Admitted(self.turns.enter(principal.subject))
        context = RequestContext(principal, interaction, spending=admitted.spending)
        if max_tokens and (self._max_output_tokens is None or max_tokens < self._max_output_tokens):
            context.max_tokens = max_tokens
        return self._begun(context, self._turn(messages, context), admitted.leave, typed=messages[-1].text)

    def resume(
        self,
        thread_id: str,
        interrupt_id: str,
        context: RequestContext,
        verdict: Literal["approve", "reject"],
    ) -> Answer:
        """Return what the agent says after a waiting call was decided. Only that call runs with the approver's
        rights.

        The approver's budget pays for it too. If that is spent, the model says nothing about the call, but the
        call still runs.
        """
        leave = self.turns.enter(context.principal.subject, refuse=False)
        context.spending = self._turn_budgets.open(context.principal) if self._turn_budgets else None
        return self._begun(context, self._rest_of_turn(thread_id, interrupt_id, context, verdict), leave)

    def _begun(
        self, context: RequestContext, pieces: Pieces, leave: Callable[[], None], *, typed: str = ""
    ) -> Answer:
        """Return an answer whose interaction is captured once, however it ends."""
        interaction, started, span = context.interaction, time.perf_counter(), trace.get_current_span()
        said: list[str] = []

        def begin() -> None:
            current_interaction.set(interaction)
            begin_turn()
            deadline.begin(self._turn_seconds)

        async def heard() -> AsyncGenerator[str, None]:
            async with aclosing(joined(self._guarded(pieces, context))) as vetted:
                async for piece in vetted:
                    if not said:
                        instruments().first_text.record(time.perf_counter() - started)
                    said.append(piece)
                    yield piece

        def ended(how: BaseException | Cut | None) -> None:
            self._runs.discard(run)
            leave()
            if context.spending is not None:
                context.spending.close()
            interaction.output = "".join(said)
            interaction.duration_ms = round((time.perf_counter() - started) * 1000, 3)
            conclude(interaction, how, context.finish)
            if self.captures.raw:
                self.captures.take_raw(_raw(interaction, typed))
            self.record(interaction, span)

        run = Run(
            heard(),
            begin,
            ended,
            seconds=self._turn_seconds,
            late=lambda: _told(OUT_OF_TIME, interaction),
            stopped=lambda: _told(STOPPED, interaction),
        )
        self._runs.add(run)
        return Answer(run)

    def record(self, interaction: Interaction, span: trace.Span | None = None) -> None:
        """Count and capture an interaction that is over."""
        span = span or trace.get_current_span()
        tell(span, interaction)
        if self._trace_content:
            span.set_attributes(content.messages(interaction.input, interaction.output))
        self.captures.take(interaction)

    async def flush(self) -> None:
        """Wait until everything captured so far is delivered, or in the spool."""
        await self.captures.flush()
        await self.flush_budgets()

    async def flush_budgets(self) -> None:
        """Wait until everything spent so far is counted."""
        if self._turn_budgets is not None:
            await self._turn_budgets.budgets.drain()

    def end_answers(self) -> None:
        """End the answers in progress because the server stops; their readers get an error."""
        for run in list(self._runs):
            run.cut(Cut.SERVER)

    async def close(self, seconds: float = STOP_SECONDS) -> None:
        """End the answers in progress, settle what they spent and deliver their records, within ``seconds``."""
        ends_at = time.monotonic() + seconds
        await stop(self._runs, seconds / 4)
        if self._turn_budgets is not None:
            await self._turn_budgets.budgets.close()
        await self.captures.close(max(0.0, ends_at - time.monotonic()))

    async def _turn(
        self, messages: Sequence[ChatMessage], context: RequestContext
    ) -> AsyncGenerator[str, None]:
        state = {"messages": await self._vetted(messages, context.interaction)}
        thread_id = context.interaction.interaction_id
        interrupts: list[Interrupt] = []
        with self._waiting.turn(thread_id) if self._waiting else nullcontext():
            durability: Durability | None = "exit" if self._waiting else None
            async with aclosing(self._run(state, context, thread_id, interrupts, durability)) as pieces:
                async for piece in pieces:
                    yield piece
        if interrupts and self._waiting:
            approvals = await asyncio.to_thread(self._waiting.enter, interrupts, context)
            yield WAITING.format(" and ".join(approvals))

    async def _rest_of_turn(
        self, thread_id: str, interrupt_id: str, context: RequestContext, verdict: str
    ) -> AsyncGenerator[str, None]:
        thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
        state = await self._agent.aget_state(thread)
        if not state.next or context.approval is None:
            return
        waiting = {interrupt.id for interrupt in state.interrupts}
        context.approval = replace(context.approval, waiting=context.approval.waiting | waiting)
        # A run that was interrupted after the call continues from where it was.
        decided: Any = Command(resume={interrupt_id: {"type": verdict}}) if interrupt_id in waiting else None
        async with aclosing(self._run(decided, context, thread_id, [], durability="sync")) as pieces:
            async for piece in pieces:
                yield piece

    async def _guarded(self, pieces: Pieces, context: RequestContext) -> AsyncGenerator[str, None]:
        """Yield the pieces, and a sentence in place of what guardrails or the model's own filters withhold."""
        spoken = False
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    spoken = True
                    yield piece
        except GuardrailBlocked as blocked:
            context.interaction.finish_reason = "content_filter"
            yield BLOCKED.get(blocked.outcome.direction, BLOCKED_ANSWER)
            return
        except Exception as error:
            told = answer_error(error, self._model_id)
            if told is None:
                raise
            told.interaction = context.interaction
            raise told from error
        if context.finish == "error":
            raise ModelUnavailableError(MALFORMED.message, MALFORMED)
        if context.finish == "content_filter" and not spoken:
            yield BLOCKED_ANSWER

    async def _vetted(self, messages: Sequence[ChatMessage], interaction: Interaction) -> list[BaseMessage]:
        """Return the conversation as the agent may see it: all of it is treated as input, whoever the client
        says spoke."""
        outcomes = await self._guardrails.check_all(
            [Asked(each.text, Direction.INPUT, observe=each is messages[-1]) for each in messages]
        )
        interaction.input = outcomes[-1].text
        for outcome in outcomes:
            if outcome.blocked:
                raise GuardrailBlocked(outcome)
        turns: list[BaseMessage] = [
            HumanMessage(outcome.text) if message.role == "user" else from_client(AIMessage(outcome.text))
            for message, outcome in zip(messages, outcomes, strict=True)
        ]
        # Models require the user to begin; when a client's assistant greets first, a stand-in precedes the
        # greeting.
        return turns if isinstance(turns[0], HumanMessage) else [HumanMessage(UNSAID), *turns]

    async def _run(
        self,
        given: Any,
        context: RequestContext,
        thread_id: str,
        interrupts: list[Interrupt],
        durability: Durability | None = None,
    ) -> AsyncGenerator[str, None]:
        """Yield the agent's text; waiting calls are added to ``interrupts``."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        config: RunnableConfig = {
            "configurable": {"thread_id": thread_id},
            "metadata": {"session_id": context.interaction.session_id},
        }
        updates = self._agent.astream(
            given, config, context=context, stream_mode="updates", durability=durability
        )
        task = asyncio.create_task(speak(updates, pieces, interrupts))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
                pieces.task_done()
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _told(failure: Failure, interaction: Interaction) -> AnswerFailedError:
    error = AnswerFailedError(failure.message, failure)
    error.interaction = interaction
    return error


def _raw(interaction: Interaction, typed: str) -> RawText:
    """Return the texts before redaction, for deployments that capture them."""
    return RawText(
        interaction_id=interaction.interaction_id,
        user=interaction.user,
        started_at=interaction.started_at,
        input=typed,
        output=interaction.output,
    )
