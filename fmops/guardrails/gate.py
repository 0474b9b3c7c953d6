"""The gate for a model's stream: texts go out in checked windows, and the rest goes out at the end, also
checked.

It does not know how checks are made, so callers with and without an event loop share it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from fmops.guardrails.forms import is_token
from fmops.guardrails.messages import CALL_BLOCKS
from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.windows import Lane, Window

_TEXT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "reasoning": ("reasoning",),
    "thinking": ("thinking",),
    "reasoning_content": ("reasoning_content", "text"),
}
"""Paths to the text that grows with the stream, by type of content block."""


_FIRST_OWN_INDEX = 10_000


@dataclass
class _Calls:
    """Keep calls of a stream apart when a provider gives them the same index, or none: LangChain would merge
    them.
    """

    _open: dict[Any, tuple[Any, str | None, str | None]] = field(default_factory=dict)
    _own: int = _FIRST_OWN_INDEX

    def apart(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """Return the chunk with its call's own index.

        A name begins a call, unless the open call has an id and the chunk continues it.
        """
        given, id_, name = chunk.get("index"), chunk.get("id"), chunk.get("name")
        known = self._open.get(given)
        if known and (not name or (known[1] and id_ in (None, "", known[1]))):
            index, _, said = known
            return {**chunk, "index": index, **({"name": None} if name and name == said else {})}
        is_free = given is not None and known is None
        self._open[given] = (given if is_free else self._own, id_, name)
        self._own += not is_free
        return {**chunk, "index": self._open[given][0]}


@dataclass
class Gate:
    """Take the model's chunks, produce windows to check, and build the chunks that may be released."""

    settings: StreamSettings
    message_id: str | None = None
    _lanes: dict[Any, Lane] = field(default_factory=dict)
    _blocks: dict[Any, dict[str, Any] | None] = field(default_factory=dict)
    _current: Lane | None = None
    _kept: list[ChatGenerationChunk] = field(default_factory=list)
    _calls: _Calls = field(default_factory=_Calls)
    _call_blocks: _Calls = field(default_factory=_Calls)
    _indexes: list[Any] = field(default_factory=list)

    def feed(self, chunk: ChatGenerationChunk) -> Iterator[Window]:
        """Yield the windows that this chunk completes."""
        message = cast(AIMessageChunk, chunk.message)
        if not self.message_id and message.id and is_token(message.id):
            self.message_id = message.id
        content = message.content
        held: list[Any] = []
        block: Any
        for position, block in enumerate([content] if isinstance(content, str) else content):
            lane, text, remainder = self._lane(block, position)
            if lane is None:
                if isinstance(block, dict) and block.get("type") in CALL_BLOCKS and "index" in block:
                    block = self._call_blocks.apart(block)
                held.append(block)
                continue
            if remainder:
                held.append(remainder)
            if not text:
                continue
            if self._current is not lane:
                yield from self._closed()
                self._current = lane
            if window := lane.append(text):
                yield window
        self._keep(chunk, message, held or "")

    def finish(self) -> Iterator[Window]:
        """Yield the last windows."""
        yield from self._closed()

    def released(self, window: Window, text: str) -> ChatGenerationChunk | None:
        """Return the chunk that carries a window's text after redaction."""
        if not text:
            return None
        block = self._blocks[window.lane.key]
        content: Any = text if block is None else [_filled(block, text)]
        return ChatGenerationChunk(message=AIMessageChunk(content=content, id=self.message_id))

    def rest(self) -> ChatGeneration | None:
        """Return everything outside the windows' text, to be checked as a whole: tool calls, unknown blocks,
        metadata, usage."""
        if not self._kept:
            return None
        first, *others = self._kept
        whole = first + others if others else first
        self._indexes = _indexes(cast(AIMessageChunk, whole.message).tool_call_chunks)
        message = cast(AIMessage, message_chunk_to_message(cast(AIMessageChunk, whole.message)))
        if isinstance(message.content, list):
            message.content = [block for block in message.content if block]
        return ChatGeneration(message=message, generation_info=whole.generation_info)

    def released_rest(self, vetted: ChatGeneration) -> ChatGenerationChunk:
        """Return the last chunk, with the rest as it was vetted."""
        message = cast(AIMessage, vetted.message)
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=message.content,
                additional_kwargs=message.additional_kwargs,
                response_metadata=message.response_metadata,
                tool_call_chunks=call_chunks(message, self._indexes),
                usage_metadata=message.usage_metadata,
                name=message.name,
                id=self.message_id,
                chunk_position="last",
            ),
            generation_info=vetted.generation_info,
        )

    def _closed(self) -> Iterator[Window]:
        if self._current and (window := self._current.finish()):
            yield window
        self._current = None

    def _lane(self, block: Any, position: int) -> tuple[Lane | None, str, dict[str, Any] | None]:
        """Return the lane that the block's text belongs to, its text, and the rest of the block."""
        if isinstance(block, str):
            self._blocks.setdefault("", None)
            return self._lanes.setdefault("", Lane("", self.settings)), block, None
        kind = block.get("type") if isinstance(block, dict) else None
        path = _TEXT_FIELDS.get(str(kind))
        if path is None or kind in CALL_BLOCKS:
            return None, "", None
        if len(path) > 1 and not isinstance(block.get(path[0]), dict):
            return None, "", None
        text, template = _emptied(block, path)
        index = block.get("index")
        if not (isinstance(index, int) or (isinstance(index, str) and is_token(index))):
            template.pop("index", None)
            index = position
        extra = {key: each for key, each in template.items() if key not in ("type", "index", path[0])}
        nested = template.get(path[0]) if len(path) > 1 else None
        remainder = {**template} if extra or (isinstance(nested, dict) and len(nested) > 1) else None
        key = (kind, index)
        self._blocks.setdefault(
            key, {name: template[name] for name in ("type", "index") if name in template} | {"": path}
        )
        return self._lanes.setdefault(key, Lane(key, self.settings)), text, remainder

    def _keep(self, chunk: ChatGenerationChunk, message: AIMessageChunk, content: Any) -> None:
        kept = ChatGenerationChunk(
            message=AIMessageChunk(
                content=content,
                additional_kwargs=message.additional_kwargs,
                response_metadata=message.response_metadata,
                tool_call_chunks=cast(Any, [self._calls.apart(call) for call in message.tool_call_chunks]),
                usage_metadata=message.usage_metadata,
                name=message.name,
            ),
            generation_info=chunk.generation_info,
        )
        carries = (
            content or message.additional_kwargs or message.response_metadata or message.tool_call_chunks
        )
        if carries or message.usage_metadata or chunk.generation_info or not self._kept:
            self._kept.append(kept)


def call_chunks(message: AIMessage, indexes: Sequence[Any] | None = None) -> list[ToolCallChunk]:
    """Return the tool calls of a whole message as pieces of a stream, each with its own index so that they do
    not merge."""
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return [
        {
            "name": call["name"],
            "args": args if (args := call["args"]) is None or isinstance(args, str) else json.dumps(args),
            "id": call["id"],
            "index": index,
            "type": "tool_call_chunk",
        }
        for index, call in zip(indexes or range(len(calls)), calls, strict=True)
    ]


def _indexes(chunks: list[ToolCallChunk]) -> list[Any]:
    """Return the indexes of the calls that can be parsed, then of the others: the order in which a message
    holds them."""
    is_valid = [bool(AIMessageChunk(content="", tool_call_chunks=[chunk]).tool_calls) for chunk in chunks]
    return [
        chunk["index"]
        for wanted in (True, False)
        for chunk, valid in zip(chunks, is_valid, strict=True)
        if valid is wanted
    ]


def _emptied(block: dict[str, Any], path: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    if len(path) == 1:
        return str(block.get(path[0]) or ""), {key: each for key, each in block.items() if key != path[0]}
    nested = block.get(path[0])
    if not isinstance(nested, dict):
        return "", dict(block)
    text, inner = _emptied(nested, path[1:])
    return text, {**block, path[0]: inner}


def _filled(block: dict[str, Any], text: str) -> dict[str, Any]:
    path = block[""]
    value: Any = text
    for key in reversed(path):
        value = {key: value}
    filled = {key: each for key, each in block.items() if key}
    return {**filled, **value}
