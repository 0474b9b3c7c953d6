"""Nothing planted in a tool's result is read or stored, in any way that LangChain and LangGraph know."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import enum
import operator
from collections import ChainMap, OrderedDict, UserDict, UserList, deque, namedtuple
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any

import pytest
from langchain.agents import AgentState, create_agent
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel, ConfigDict, PrivateAttr

from fmops.guardrails import GuardedChatModel, GuardrailMiddleware
from fmops.guardrails.tools import guarded
from fmops.guardrails.vetting import Vetting
from tests.guardrails.fakes import Scripted
from tests.guardrails.planted import PLANTS, Recorder, Tracer, engine, leaked

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGINE = engine()
SPECULATIVE = engine(speculative=True)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@dataclasses.dataclass
class Record:
    name: str = ""
    rest: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sealed:
    name: str


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = ""
    _note: Any = PrivateAttr(default=None)


class Opaque:
    """An object that shows what it holds only in its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return f"opaque {self.text}"


class Silent:
    """An object whose text shows nothing of what it holds."""

    def __init__(self, text: str) -> None:
        self.text = text


class Spoken(BaseModel):
    """An object whose text shows what none of its fields holds."""

    name: str = "x"

    def __str__(self) -> str:
        return SPOKEN[0]


SPOKEN = [""]


class Text(str):
    """A text that holds another."""

    other: Any = None


Row = namedtuple("Row", "name")


def _text(plant: str) -> Text:
    text = Text("x")
    text.other = plant
    return text


def _model(plant: str) -> Model:
    model = Model(name="x", extra=plant)
    model._note = {"id": plant}
    return model


def _spoken(plant: str) -> Spoken:
    SPOKEN[0] = plant
    return Spoken()


def _cycle(plant: str) -> list[Any]:
    cycle: list[Any] = [plant]
    cycle += [cycle, cycle]
    return cycle


def _deep(plant: str) -> Any:
    deep: Any = plant
    for _ in range(400):
        deep = [deep]
    return deep


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SHAPES: dict[str, Callable[[str], Any]] = {
    "text": lambda plant: f"It is {plant}.",
    "text like a data URL": lambda plant: f"data:image/png;base64,{plant}",
    "number": lambda plant: 4111111111111111 if plant == PLANTS[0] else plant,
    "id": lambda plant: {"id": plant},
    "protocol's words": lambda plant: dict.fromkeys(("type", "data", "detail", "status", "role", "format",
        "index", "signature"), plant),
    "deep within": lambda plant: {"a": [{"b": {"id": [[{"status": plant}]]}}]},
    "key": lambda plant: {plant: None},
    "key that is a tuple": lambda plant: {("x", plant): 1},
    "keys alike": lambda plant: {plant: 1, f"{plant}": 2, f"{plant} ": 3},
    "list": lambda plant: ["x", plant],
    "tuple": lambda plant: ("x", plant, 3),
    "set": lambda plant: {"x", plant},
    "frozen set": lambda plant: frozenset({plant}),
    "deque": lambda plant: deque([plant]),
    "ordered dictionary": lambda plant: OrderedDict(a=plant),
    "mappings that are no dictionary": lambda plant: [MappingProxyType({"a": plant}), ChainMap({"a": plant}),
        UserDict(a=plant)],
    "list that is none": lambda plant: UserList([plant]),
    "row": lambda plant: Row(plant),
    "bytes": lambda plant: plant.encode(),
    "bytes that are no text": lambda plant: b"\xff\x00" + plant.encode() + b"\x00",
    "bytes that begin like a picture": lambda plant: PNG + plant.encode(),
    "bytes one can change": lambda plant: bytearray(plant.encode()),
    "memory": lambda plant: memoryview(plant.encode()),
    "dataclass": lambda plant: Record(plant, {"id": plant}),
    "frozen dataclass": lambda plant: Sealed(plant),
    "pydantic model": lambda plant: Model(name=plant),
    "pydantic model's extra and private": _model,
    "pydantic model's own words": _spoken,
    "document": lambda plant: Document("x", id=plant, metadata={"source": plant, plant: 1}),
    "documents": lambda plant: [Document(plant), Document("x")],
    "blob": lambda plant: Blob.from_data(plant.encode(), metadata={"id": plant}),
    "text with an attribute": _text,
    "enumeration": lambda plant: enum.Enum("Kind", {"A": plant}).A,  # type: ignore[attr-defined]
    "path": lambda plant: PurePosixPath(f"/home/{plant}"),
    "decimal": lambda plant: Decimal(4111111111111111) if plant == PLANTS[0] else plant,
    "object with words": Opaque,
    "object without words": Silent,
    "name space": lambda plant: SimpleNamespace(name=plant),
    "function": lambda plant: lambda: plant,
    "method of an object": lambda plant: Silent(plant).__init__,
    "generator": lambda plant: (each for each in [plant]),
    "error": lambda plant: KeyError(plant),
    "group of errors": lambda plant: ExceptionGroup("x", [ValueError(plant)]),
    "content blocks": lambda plant: [{"type": "text", "text": "x", "id": plant},
        {"type": "json", "json": {"id": plant}}],
    "content blocks with files": lambda plant: [
        {"type": "image", "base64": _b64(plant), "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:text/plain;base64,{_b64(plant)}"}},
        {"type": "file", "file": {"filename": plant, "file_data": plant}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": plant}, "title": plant},
    ],
    "search results": lambda plant: [{"type": "search_result", "source": plant, "title": plant,
        "content": [{"type": "text", "text": plant}]}],
    "message": lambda plant: [AIMessage("x", name=plant, id=plant, additional_kwargs={"id": plant})],
    "cycle": _cycle,
    "too deep": _deep,
}  # fmt: skip

Way = Callable[[dict[str, Any]], Awaitable[Any]]
SAVER = InMemorySaver()


class State(AgentState[Any]):
    note: Annotated[list[Any], operator.add]


CALL = AIMessage("", tool_calls=[{"name": "give", "args": {}, "id": "c1", "type": "tool_call"}])
ASK = {"messages": [HumanMessage("Well?")]}
SHAPE: list[Any] = [None]
"""The value that the tools below return."""


def _tool(give: Callable[[Any], Any], **options: Any) -> BaseTool:
    return StructuredTool.from_function(lambda: give(SHAPE[0]), name="give", description="Give.", **options)


async def _give_async() -> Any:
    """Give."""
    return SHAPE[0]


def _raise(value: Any) -> Any:
    """Raise an error with the value in every place that an error has."""
    error = RuntimeError("x", value)
    error.add_note(str(value))
    error.response = value  # type: ignore[attr-defined]
    error.__cause__ = ExceptionGroup("x", [KeyError(value), ToolException(value)])
    raise error


def _raise_within(value: Any) -> Any:
    try:
        raise KeyError(value)
    except KeyError:
        raise OSError(2, "x", str(value)) from None


def _refuse(value: Any) -> Any:
    raise ToolException(value)


def _yield(value: Any) -> Iterator[Any]:
    yield value


def _message(value: Any) -> ToolMessage:
    """Return a message with everything that LangChain does not look at."""
    message = ToolMessage([{"type": "json", "json": {"id": str(value)}}], tool_call_id="c1", artifact=value)
    return message.model_copy(
        update={"extra": value, "additional_kwargs": {"x": value}, "response_metadata": {"x": value}}
    )


def _command(value: Any, **options: Any) -> Command[Any]:
    done = ToolMessage("Done.", tool_call_id="c1")
    return Command(update={"messages": [done], "note": [value]}, **options)


TOOLS: dict[str, BaseTool] = {
    "result": _tool(lambda value: value),
    "async result": StructuredTool.from_function(coroutine=_give_async, name="give"),
    "content with artifact": _tool(lambda value: (value, "x"), response_format="content_and_artifact"),
    "artifact": _tool(lambda value: ("x", value), response_format="content_and_artifact"),
    "command's state": _tool(_command),
    "command's message": _tool(lambda value: Command(update={"messages": [_message(value)]})),
    "command to a parent": _tool(lambda value: _command(value, graph=Command.PARENT, goto=[Send("x", value)])),
    "message": _tool(_message),
    "list of messages": _tool(lambda value: [_message(value), _command(value)]),
    "handled error": _tool(_refuse, handle_tool_error=True),
    "raised error": _tool(_raise),
    "error with a context": _tool(_raise_within),
    "interrupt": _tool(interrupt),
    "generator": _tool(_yield),
}  # fmt: skip


def _agent(name: str, guard: Any = ENGINE) -> Any:
    model = GuardedChatModel(model=Scripted(answers=[CALL, ["Done."]]), engine=guard)
    middleware = [GuardrailMiddleware(guard)]
    return create_agent(model, [TOOLS[name]], middleware=middleware, state_schema=State, checkpointer=SAVER)


def _of_agent(name: str, guard: Any = ENGINE) -> Way:
    agent = _agent(name, guard)

    async def run(config: dict[str, Any]) -> Any:
        stream = agent.astream(ASK, config, stream_mode=["messages", "updates", "values"])
        return [each async for each in stream]

    return run


def _of_threads(name: str) -> Way:
    agent = _agent(name)
    return lambda config: asyncio.to_thread(agent.invoke, ASK, config)


def _of_node(name: str) -> Way:
    """Return LangGraph's own node of tools, with the middleware as its wrapper."""
    middleware = GuardrailMiddleware(ENGINE)
    node = ToolNode(
        [TOOLS[name]],
        wrap_tool_call=middleware.wrap_tool_call,
        awrap_tool_call=middleware.awrap_tool_call,
        handle_tool_errors="error" in name,
    )
    graph = StateGraph(State).add_node("tools", node).add_edge(START, "tools").add_edge("tools", END)
    compiled: Any = graph.compile(checkpointer=SAVER)
    return lambda config: compiled.ainvoke({"messages": [CALL]}, config)


def _of_tool(name: str) -> Way:
    vetted = guarded(TOOLS[name], Vetting(ENGINE))
    return lambda config: vetted.ainvoke(CALL.tool_calls[0], config)


MODES: dict[str, Way] = {
    **{f"node: {name}": _of_node(name) for name in TOOLS},
    "agent: interrupt": _of_agent("interrupt"),
    "agent in threads: raised error": _of_threads("raised error"),
    "speculative agent: result": _of_agent("result", SPECULATIVE),
    "tool alone: raised error": _of_tool("raised error"),
}
UNSEEN = (
    "generator",
    "function",
    "method of an object",
    "memory",
    "too deep",
    "list that is none",
    "mappings that are no dictionary",
)
"""Shapes into which the search does not look, although it would see what LangChain makes of them."""


async def _came(mode: str, shape: str, plant: str) -> tuple[Any, list[str]]:
    """Return what came out of one cell, and what leaked."""
    SHAPE[0] = SHAPES[shape](plant)
    for kept in (SAVER.storage, SAVER.blobs, SAVER.writes):
        kept.clear()
    callbacks: list[Any] = [recorder := Recorder(), tracer := Tracer()]
    config = {"callbacks": callbacks, "metadata": {}, "configurable": {"thread_id": "1"}}
    try:
        came: Any = await MODES[mode](config)
    except Exception as error:  # noqa: BLE001 - what is raised leaves, too
        came = error
    return came, leaked(came, recorder.seen, tracer.runs, SAVER.storage, SAVER.blobs, SAVER.writes)


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_planted_in_a_result_is_read_or_kept(mode: str) -> None:
    """Check one row of the matrix for each mode: a cell for each shape, with both plants in each."""
    cells = {(shape, plant): (await _came(mode, shape, plant))[1] for shape in SHAPES for plant in PLANTS}
    assert len(cells) >= 2 * 40
    assert not {cell: found for cell, found in cells.items() if found}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_result_comes_all_the_same(shape: str) -> None:
    """Check that the call is answered, with a redacted result or a notice in its place."""
    for mode in ("node: result", "node: artifact", "node: command's state"):
        for plant in PLANTS:
            came, _ = await _came(mode, shape, plant)
            assert isinstance(came["messages"][-1], ToolMessage)


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_carries_what_is_planted(shape: str) -> None:
    """Check that the search would see it, or LangChain's own text of it."""
    for plant in PLANTS:
        assert leaked(SHAPES[shape](plant)) or shape in UNSEEN
