"""Vetting of whole messages, tool results and errors: all their parts are checked at once, and redacted texts
put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import Command

from fmops.guardrails import content
from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.errors import read_error, withheld_error
from fmops.guardrails.forms import is_token, token_for
from fmops.guardrails.types import Asked, Direction, GuardrailBlocked, Outcome, notice

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound=BaseMessage)
Answers = frozenset[str]
"""Names of the tools whose calls are structured answers."""

_NO_ANSWERS: Answers = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan(Generic[T]):
    """The parts of a value to check, and the function that makes the result from their outcomes."""

    parts: Sequence[content.Part]
    conclude: Callable[[Sequence[Outcome]], T]


class Vetting:
    """An engine for messages and tools. A blocked text raises ``GuardrailBlocked``; a notice replaces a blocked
    tool result."""

    def __init__(self, engine: GuardrailEngine, *, observe: bool = True) -> None:
        self._engine = engine
        self._observe = observe

    async def messages(self, messages: Sequence[MessageT], answers: Answers = _NO_ANSWERS) -> list[MessageT]:
        return await self._vetted(_sequence([_message(message, answers) for message in messages]))

    async def message(self, message: MessageT, answers: Answers = _NO_ANSWERS) -> MessageT:
        return await self._vetted(_message(message, answers))

    async def arguments(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome | None]:
        """Vet the arguments of a call; also return the outcome if there was anything to check."""
        return await self._vetted(_arguments(arguments))

    async def result(self, result: Any) -> Any:
        """Vet a tool's result: text, structured data, with or without artifact, messages, or a command."""
        return await self._vetted(_result(result))

    async def chat_result(self, result: ChatResult, answers: Answers = _NO_ANSWERS) -> ChatResult:
        """Vet a model's answers, with their metadata."""
        return await self._vetted(_chat_result(result, answers))

    async def data(self, value: T, way: Direction) -> T:
        """Vet any value in this direction. A block raises ``GuardrailBlocked``."""
        return await self._vetted(_data(value, way))

    async def error(self, error: BaseException, way: Direction) -> BaseException:
        """Return the error in vetted form: of the same class where that is possible."""
        return await self._vetted(_error(error, way))

    def messages_sync(self, messages: Sequence[MessageT], answers: Answers = _NO_ANSWERS) -> list[MessageT]:
        """Vet one message after another; the detectors of each are still asked at once."""
        return [self.message_sync(message, answers) for message in messages]

    def message_sync(self, message: MessageT, answers: Answers = _NO_ANSWERS) -> MessageT:
        return self._vetted_sync(_message(message, answers))

    def arguments_sync(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome | None]:
        return self._vetted_sync(_arguments(arguments))

    def result_sync(self, result: Any) -> Any:
        return self._vetted_sync(_result(result))

    def chat_result_sync(self, result: ChatResult, answers: Answers = _NO_ANSWERS) -> ChatResult:
        return self._vetted_sync(_chat_result(result, answers))

    def data_sync(self, value: T, way: Direction) -> T:
        return self._vetted_sync(_data(value, way))

    def error_sync(self, error: BaseException, way: Direction) -> BaseException:
        return self._vetted_sync(_error(error, way))

    async def _vetted(self, plan: _Plan[T]) -> T:
        asked = [Asked(part.text, part.direction, part.role, self._observe) for part in plan.parts]
        return plan.conclude(await self._engine.check_all(asked))

    def _vetted_sync(self, plan: _Plan[T]) -> T:
        return plan.conclude(
            [
                self._engine.check_sync(part.text, part.direction, role=part.role, observe=self._observe)
                for part in plan.parts
            ]
        )


def _plan(reading: content.Reading[T], withheld: Callable[[Outcome], T]) -> _Plan[T]:
    """Plan to return the value with redactions applied, or its stand-in when a part of it was blocked."""

    def conclude(outcomes: Sequence[Outcome]) -> T:
        changed: dict[content.Key, str] = {}
        for part, outcome in zip(reading.parts, outcomes, strict=True):
            if outcome.blocked:
                return withheld(outcome)
            changed |= part.apply(outcome)
        return reading.replaced(changed)

    return _Plan(reading.parts, conclude)


def _blocked(outcome: Outcome) -> Any:
    raise GuardrailBlocked(outcome)


def _message(message: MessageT, answers: Answers = _NO_ANSWERS) -> _Plan[MessageT]:
    is_answer = isinstance(message, ToolMessage) and message.name in answers
    if isinstance(message, ToolMessage) and not is_answer:
        return _message_of_tool(message)
    reading = content.read_message(message, answers=answers, way=Direction.OUTPUT if is_answer else None)
    plan = _plan(reading, _blocked)
    return _Plan(plan.parts, lambda outcomes: plan.conclude(outcomes)[0])


def _message_of_tool(message: MessageT) -> _Plan[MessageT]:
    """Plan the vetting of a message that a tool returned, whoever it says speaks."""
    reading = content.read_message(message, way=Direction.TOOL_RESULTS)
    plan = _plan(reading, lambda outcome: (_notice_message(message, notice(outcome)), None))
    return _Plan(plan.parts, lambda outcomes: plan.conclude(outcomes)[0])


def _notice_message(message: MessageT, words: str) -> Any:
    """Return a message in place of a blocked one, which keeps only its ids."""
    name, id_ = (each if each and is_token(each) else None for each in (message.name, message.id))
    match message:
        case ToolMessage():
            call = token_for(message.tool_call_id)
            return ToolMessage(words, tool_call_id=call, name=name, id=id_, status="error")
        case AIMessage():
            return AIMessage(words, id=id_)
        case _:
            return HumanMessage(words, id=id_)


def _chat_result(result: ChatResult, answers: Answers) -> _Plan[ChatResult]:
    plans: list[_Plan[Any]] = [_generation(each, answers) for each in result.generations]
    plans.append(_plan(content.read_metadata(result.llm_output), _blocked))
    whole = _sequence(plans)

    def conclude(outcomes: Sequence[Outcome]) -> ChatResult:
        *generations, llm_output = whole.conclude(outcomes)
        return ChatResult(generations=generations, llm_output=llm_output)

    return _Plan(whole.parts, conclude)


def _generation(generation: ChatGeneration, answers: Answers) -> _Plan[ChatGeneration]:
    reading = content.read_message(generation.message, answers=answers, with_info=generation.generation_info)
    plan = _plan(reading, _blocked)

    def conclude(outcomes: Sequence[Outcome]) -> ChatGeneration:
        message, info = plan.conclude(outcomes)
        return ChatGeneration(message=message, generation_info=info)

    return _Plan(plan.parts, conclude)


def _arguments(arguments: dict[str, Any]) -> _Plan[tuple[dict[str, Any], Outcome | None]]:
    reading = content.read_arguments(arguments)

    def conclude(outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], Outcome | None]:
        if not outcomes:
            return reading.value, None
        return reading.replaced(reading.parts[0].apply(outcomes[0])), outcomes[0]

    return _Plan(reading.parts, conclude)


def _data(value: T, way: Direction) -> _Plan[T]:
    return _plan(content.read_data(value, way), _blocked)


def _error(error: BaseException, way: Direction) -> _Plan[BaseException]:
    if isinstance(error, GuardrailBlocked):
        return _Plan([], lambda _: error)
    return _plan(read_error(error, way), lambda outcome: withheld_error(error, notice(outcome)))


def _result(result: Any) -> _Plan[Any]:
    match result:
        case BaseMessage():
            return _message_of_tool(result)
        case Command(update=dict() as update) if isinstance(update.get("messages"), list):
            return _command(result, update)
        case list() if any(isinstance(each, BaseMessage | Command) for each in result):
            return _sequence([_result(each) for each in result])
        case tuple():
            return _plan(content.read_result(result), lambda outcome: (notice(outcome), None))
        case _:
            return _plan(content.read_result(result), notice)


def _command(command: Command[Any], update: dict[str, Any]) -> _Plan[Command[Any]]:
    """Plan the vetting of a command's messages, each by itself; if the rest of the command is blocked, it is
    left out."""
    messages = _sequence([_result(each) for each in update["messages"]])
    others = {name: each for name, each in update.items() if name != "messages"}
    rest = _plan(
        content.read_result(dataclasses.replace(command, update=others)), lambda _: Command(update={})
    )

    def conclude(outcomes: Sequence[Outcome]) -> Command[Any]:
        count = len(messages.parts)
        vetted, left = messages.conclude(outcomes[:count]), rest.conclude(outcomes[count:])
        return dataclasses.replace(left, update={**left.update, "messages": vetted})

    return _Plan([*messages.parts, *rest.parts], conclude)


def _sequence(plans: Sequence[_Plan[Any]]) -> _Plan[list[Any]]:
    def conclude(outcomes: Sequence[Outcome]) -> list[Any]:
        concluded, begin = [], 0
        for plan in plans:
            end = begin + len(plan.parts)
            concluded.append(plan.conclude(outcomes[begin:end]))
            begin = end
        return concluded

    return _Plan([part for plan in plans for part in plan.parts], conclude)
