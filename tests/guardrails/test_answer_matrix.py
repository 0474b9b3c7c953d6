"""Nothing planted in a model's answer leaves, whatever its shape, on any way out that LangChain has."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field

from fmops.guardrails import GuardedChatModel, GuardrailMiddleware
from tests.guardrails.planted import CARD, PLANTS, Recorder, Tracer, engine, leaked

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2).decode()


class Form(BaseModel):
    reason: str = ""


@dataclass
class Answer:
    """A model's answer, with everything that LangChain stores beside it."""

    message: AIMessage = field(default_factory=lambda: AIMessage("Well."))
    info: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    error: Exception | None = None
    pieces: list[AIMessageChunk] | None = None


def _said(content: Any, **fields: Any) -> Answer:
    return Answer(AIMessage(content=content, **fields))


def _block(**block: Any) -> Answer:
    return _said([{"type": "text", "text": "Well."}, block])


def _call(**call: Any) -> Answer:
    made = {"name": "Form", "args": {"reason": "x"}, "id": "c1", "type": "tool_call", **call}
    return _said("", tool_calls=[made])


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _noted(error: Exception, *notes: str) -> Exception:
    for note in notes:
        error.add_note(note)
    return error


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _with_attribute(error: Exception, value: Any) -> Exception:
    error.response = value  # type: ignore[attr-defined]
    return error


def _extra(message: AIMessage, **fields: Any) -> Answer:
    return Answer(message.model_copy(update=fields))


def _pieces(*pieces: Any) -> Answer:
    chunks = [
        piece if isinstance(piece, AIMessageChunk) else AIMessageChunk(content=piece) for piece in pieces
    ]
    whole = chunks[0]
    for piece in chunks[1:]:
        whole = whole + piece
    return Answer(
        AIMessage(
            content=whole.content, tool_calls=whole.tool_calls, invalid_tool_calls=whole.invalid_tool_calls
        ),
        pieces=chunks,
    )


def _logprobs(plant: str) -> dict[str, Any]:
    tokens = [
        {"token": plant[at : at + 4], "logprob": -0.1, "bytes": list(plant[at : at + 4].encode())}
        for at in range(0, len(plant), 4)
    ]
    return {"logprobs": {"content": [*tokens, {"token": plant}]}}


SHAPES: dict[str, Callable[[str], Answer]] = {
    "text": lambda plant: _said(f"It is {plant}."),
    "text in pieces": lambda plant: _pieces(*f"It is {plant}, as you know. "),
    "text that begins like a data URL": lambda plant: _said(f"data:text/plain,{plant}"),
    "text that is a data URL": lambda plant: _said(f"data:text/plain;base64,{plant}"),
    "text block": lambda plant: _said([{"type": "text", "text": plant, "index": 0}]),
    "text block with id": lambda plant: _block(type="text", text="x", id=plant),
    "text block with index": lambda plant: _said([{"type": "text", "text": "x", "index": plant}]),
    "text block with annotations": lambda plant: _block(
        type="text", text="x", annotations=[{"type": "citation", "title": plant, "cited_text": plant,
            "url": f"https://x/?{plant}"}]
    ),
    "text block with extras": lambda plant: _block(type="text", text="x", extras={"status": {"detail": [plant]}}),
    "text block with log probabilities": lambda plant: _block(type="text", text="x", **_logprobs(plant)),
    "block of unknown type": lambda plant: _block(type=plant, role=plant),
    "key of a block": lambda plant: _block(type="new", value={plant: None}),
    "reasoning": lambda plant: _block(type="reasoning", reasoning=plant),
    "reasoning with signature": lambda plant: _block(type="thinking", thinking="x", signature=plant),
    "reasoning of Bedrock": lambda plant: _block(type="reasoning_content",
        reasoning_content={"text": plant, "signature": plant}),
    "reasoning of Bedrock as text": lambda plant: _block(type="reasoning_content", reasoning_content=plant),
    "redacted reasoning": lambda plant: _block(type="redacted_thinking", data=plant),
    "encrypted reasoning": lambda plant: _block(type="reasoning", encrypted_content=_b64(plant * 20)),
    "non-standard block": lambda plant: _block(type="non_standard", value={"id": plant, "data": {"format": plant}}),
    "server tool call": lambda plant: _block(type="server_tool_call", id="s1", name="web_search",
        args={"query": plant}),
    "server tool result": lambda plant: _block(type="server_tool_result", tool_call_id="s1", status="success",
        output={"id": plant}),
    "picture by a text for its data": lambda plant: _block(type="image", base64=plant, mime_type="image/png"),
    "picture by a data URL of text": lambda plant: _block(
        type="image_url", image_url={"url": f"data:image/png;base64,{_b64(plant)}", "detail": plant}
    ),
    "picture by a broken data URL": lambda plant: _block(type="image_url",
        image_url={"url": f"data:image/png;base64,{PNG} {plant}"}),
    "file of text": lambda plant: _block(type="file", base64=_b64(plant), mime_type="text/plain", filename=plant),
    "document of Bedrock": lambda plant: _block(document={"format": "txt", "name": plant,
        "source": {"bytes": plant.encode()}}),
    "tool call": lambda plant: _call(args={"reason": plant}),
    "tool call's key": lambda plant: _call(args={plant: 1}),
    "tool call's number": lambda plant: _call(args={"id": 4111111111111111, "reason": plant}),
    "tool call's name": lambda plant: _call(name=plant),
    "tool call's id": lambda plant: _call(id=plant),
    "tool call that says something else in a block": lambda plant: _said(
        [{"type": "tool_use", "id": "c1", "name": "Form", "input": {"reason": plant}}],
        tool_calls=[{"name": "Form", "args": {"reason": "x"}, "id": "c1"}],
    ),
    "tool call that says something else to the provider": lambda plant: _said(
        "",
        tool_calls=[{"name": "Form", "args": {"reason": "x"}, "id": "c1"}],
        additional_kwargs={"tool_calls": [{"id": "c1", "function": {"name": "Form",
            "arguments": f'{{"reason": "{plant}"}}'}}]},
    ),
    "tool call with a key twice": lambda plant: _said(
        [{"type": "tool_use", "id": "c1", "name": "Form", "input": f'{{"reason": "{plant}", "reason": "x"}}'}],
        tool_calls=[{"name": "Form", "args": {"reason": "x"}, "id": "c1"}],
    ),
    "tool call in pieces": lambda plant: _pieces(
        *(
            AIMessageChunk(content="", tool_call_chunks=[{"name": name, "args": args, "id": name and "c1", "index": 0}])
            for name, args in (("Form", ""), (None, '{"reason": "'), (None, plant[:9]), (None, plant[9:]), (None, '"}'))
        )
    ),
    "invalid tool call": lambda plant: _said(
        "", invalid_tool_calls=[{"name": "Form", "args": f"{{{plant}", "id": "c1", "error": plant,
            "type": "invalid_tool_call"}]
    ),
    "additional arguments": lambda plant: _said("x", additional_kwargs={"refusal": plant, "audio": {"id": plant,
        "data": plant}}),
    "parsed answer": lambda plant: _said("x", additional_kwargs={"parsed": Form(reason=plant)}),
    "metadata": lambda plant: _said("x", response_metadata={"stop_sequence": plant, "id": plant,
        plant: {"role": plant}}),
    "log probabilities": lambda plant: Answer(AIMessage("x", response_metadata=_logprobs(plant)),
        info=_logprobs(plant)),
    "generation's information": lambda plant: Answer(info={"finish_reason": plant,
        "documents": [Document(plant, id=plant)]}),
    "model's output": lambda plant: Answer(output={"system_fingerprint": plant, "headers": {plant: plant.encode()}}),
    "message's name": lambda plant: _said("x", name=plant),
    "message's id": lambda plant: _said("x", id=plant),
    "field of a subclass": lambda plant: _extra(AIMessage("x"), citations=[Document("x", metadata={plant: plant})]),
    "usage": lambda plant: _extra(
        AIMessage("x"), usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
            "input_token_details": {"note": plant}}
    ),
    "error": lambda plant: Answer(error=ValueError(plant)),
    "error's note": lambda plant: Answer(error=_noted(ValueError("x"), plant)),
    "error's cause": lambda plant: Answer(error=_caused(ValueError("x"), KeyError(plant))),
    "error's attribute": lambda plant: Answer(error=_with_attribute(ValueError("x"), {"body": plant})),
    "group of errors": lambda plant: Answer(error=ExceptionGroup("x", [OSError(2, "x", plant), ValueError(plant)])),
}  # fmt: skip


class Shaped(BaseChatModel):
    """A model that answers the same every time: first with the shape and then, in an agent, that it is done."""

    answer: Any = Field(default=None, repr=False, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "shaped"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[str(tool) for tool in tools], **kwargs)

    def _now(self, messages: list[BaseMessage]) -> Answer:
        if any(isinstance(message, AIMessage) for message in messages):
            return _said("Done.")
        if self.answer.error:
            raise self.answer.error
        return self.answer  # type: ignore[no-any-return]

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        answer = self._now(messages)
        generation = ChatGeneration(message=answer.message.model_copy(), generation_info=answer.info)
        return ChatResult(generations=[generation], llm_output=answer.output)

    def _chunks(self, messages: list[BaseMessage]) -> Iterator[ChatGenerationChunk]:
        answer = self._now(messages)
        if answer.pieces:
            yield from (ChatGenerationChunk(message=piece) for piece in answer.pieces)
            return
        message = answer.message
        fields = {**vars(message), **(message.__pydantic_extra__ or {})}
        fields.pop("type")
        fields.pop("usage_metadata")
        chunk = AIMessageChunk(**fields).model_copy(update={"usage_metadata": message.usage_metadata})
        yield ChatGenerationChunk(
            message=chunk, generation_info={**(answer.info or {}), **(answer.output or {})} or None
        )

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks(messages)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages):
            yield chunk


ASK = [HumanMessage("Well?")]
Config = dict[str, Any]
Surface = Callable[[Any, Config], Awaitable[Any]]


async def _all(stream: Any) -> list[Any]:
    return [each async for each in stream]


async def _structured(model: Any, config: Config, *, streamed: bool = False) -> Any:
    runnable = model.with_structured_output(Form, include_raw=True)
    return await (_all(runnable.astream(ASK, config)) if streamed else runnable.ainvoke(ASK, config))


async def _v3(stream: Any) -> Any:
    stream = await stream
    return [await _all(stream), await stream.output]


def _v3_sync(model: Any, config: Config) -> Any:
    stream = model.stream_events(ASK, config, version="v3")
    return [list(stream), stream.output]


async def _cached(model: Any, config: Config) -> Any:
    model.cache = InMemoryCache()
    try:
        await model.ainvoke(ASK, config)
        return [await model.ainvoke(ASK, config), model.cache._cache]
    finally:
        model.cache = None


async def _checkpoints(config: Config) -> Any:
    SAVER.storage.clear()
    SAVER.blobs.clear()
    SAVER.writes.clear()
    try:
        return await KEEPING.ainvoke({"messages": ASK}, {**config, "configurable": {"thread_id": "1"}})
    finally:
        assert not leaked(SAVER.storage, SAVER.blobs, SAVER.writes)


async def _state_only(config: Config) -> Any:
    """Return an agent with the middleware alone, which guards the state, but not callbacks and errors."""
    return None if MODEL.answer.error else await UNGUARDED.ainvoke({"messages": ASK})


ENGINE = engine(stream={"first": 8, "largest": 32})
MODEL = Shaped()
GUARDED = GuardedChatModel(model=MODEL, engine=ENGINE)
MIDDLEWARE = [GuardrailMiddleware(ENGINE)]
SAVER = InMemorySaver()
AGENT: Any = create_agent(GUARDED, [], middleware=MIDDLEWARE)
KEEPING: Any = create_agent(GUARDED, [], middleware=MIDDLEWARE, checkpointer=SAVER)
UNGUARDED: Any = create_agent(MODEL, [], middleware=MIDDLEWARE)
ANSWERING: Any = create_agent(
    GUARDED, [], middleware=MIDDLEWARE, response_format=ToolStrategy(Form, handle_errors=False)
)

SURFACES: dict[str, Surface] = {
    "invoke": lambda model, config: asyncio.to_thread(model.invoke, ASK, config),
    "ainvoke": lambda model, config: model.ainvoke(ASK, config),
    "stream": lambda model, config: asyncio.to_thread(lambda: list(model.stream(ASK, config))),
    "astream": lambda model, config: _all(model.astream(ASK, config)),
    "batch": lambda model, config: asyncio.to_thread(model.batch, [ASK, ASK], config, return_exceptions=True),
    "abatch": lambda model, config: model.abatch([ASK, ASK], config, return_exceptions=True),
    "abatch_as_completed": lambda model, config: _all(model.abatch_as_completed([ASK, ASK], config,
        return_exceptions=True)),
    "generate": lambda model, config: asyncio.to_thread(model.generate, [ASK, ASK], None, config["callbacks"]),
    "agenerate": lambda model, config: model.agenerate([ASK, ASK], None, config["callbacks"]),
    "agenerate_prompt": lambda model, config: model.agenerate_prompt(
        [StringPromptValue(text="Well?")], None, config["callbacks"]
    ),
    "astream_events v2": lambda model, config: _all(model.astream_events(ASK, config, version="v2")),
    "astream_events v3": lambda model, config: _v3(model.astream_events(ASK, config, version="v3")),
    "stream_events v3": lambda model, config: asyncio.to_thread(_v3_sync, model, config),
    "astream_log": lambda model, config: _all(model.astream_log(ASK, config)),
    "bound tools, streamed": lambda model, config: _all(model.bind_tools([Form]).astream(ASK, config)),
    "structured output": lambda model, config: _structured(model, config),
    "structured output, streamed": lambda model, config: _structured(model, config, streamed=True),
    "chain": lambda model, config: (model | RunnableLambda(lambda message: message)).ainvoke(ASK, config),
    "chain with parser, streamed": lambda model, config: _all((model | StrOutputParser()).astream(ASK, config)),
    "cache": lambda model, config: _cached(model, config),
    "agent's checkpoints": lambda model, config: _checkpoints(config),
    "agent, streamed": lambda model, config: _all(
        AGENT.astream({"messages": ASK}, config, stream_mode=["messages", "updates", "values", "debug"])
    ),
    "agent in threads": lambda model, config: asyncio.to_thread(AGENT.invoke, {"messages": ASK}, config),
    "agent's structured response": lambda model, config: ANSWERING.ainvoke({"messages": ASK}, config),
    "agent's state without the guarded model": lambda model, config: _state_only(config),
}  # fmt: skip


async def _came(surface: str, shape: str, plant: str) -> tuple[Any, list[str]]:
    """Return what came out of one cell, and what leaked."""
    MODEL.answer = SHAPES[shape](plant)
    callbacks: list[Any] = [recorder := Recorder(), tracer := Tracer()]
    try:
        came: Any = await SURFACES[surface](GUARDED, {"callbacks": callbacks, "metadata": {}})
    except Exception as error:  # noqa: BLE001 - what is raised leaves, too
        came = error
    return came, leaked(came, recorder.seen, tracer.runs)


@pytest.mark.parametrize("surface", SURFACES)
async def test_nothing_planted_in_an_answer_leaves(surface: str) -> None:
    """Check one row of the matrix for each surface: a cell for each shape, with both plants in each."""
    cells = {(shape, plant): (await _came(surface, shape, plant))[1] for shape in SHAPES for plant in PLANTS}
    assert len(cells) >= 2 * 40
    assert not {cell: found for cell, found in cells.items() if found}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "error" not in shape])
async def test_a_redacted_answer_comes_all_the_same(shape: str) -> None:
    for surface in ("ainvoke", "stream"):
        came, _ = await _came(surface, shape, CARD)
        assert isinstance(came, AIMessage | list)


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_carries_what_is_planted(shape: str) -> None:
    """Check that it does leave without guardrails, so that the matrix would see it."""
    for plant in PLANTS:
        recorder = Recorder()
        model = Shaped(answer=SHAPES[shape](plant))
        try:
            came: Any = await model.ainvoke(ASK, {"callbacks": [recorder]})
        except Exception as error:  # noqa: BLE001
            came = error
        assert leaked(came, recorder.seen)
