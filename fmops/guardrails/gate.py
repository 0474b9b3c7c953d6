"""A model's stream, taken apart into texts that go out in checked windows, and the rest that goes out checked at the end.

Knows nothing of how checks are made: the same for callers with and without an event loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from fmops.guardrails.content import CALL_BLOCKS
from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.windows import Lane, Window

_TEXT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "reasoning": ("reasoning",),
    "thinking": ("thinking",),
    "reasoning_content": ("reasoning_content", "text"),
}
"""Where a content block of this type holds text that grows with the stream."""


@dataclass
class Gate:
    """Takes the model's chunks, gives windows to be checked, and builds the chunks that may be released."""

    settings: StreamSettings
    message_id: str | None = None
    _lanes: dict[Any, Lane] = field(default_factory=dict)
    _blocks: dict[Any, dict[str, Any] | None] = field(default_factory=dict)
    _current: Lane | None = None
    _rest: ChatGenerationChunk | None = None

    def feed(self, chunk: ChatGenerationChunk) -> Iterator[Window]:
        """The windows that this chunk completes."""
        message = cast(AIMessageChunk, chunk.message)
        self.message_id = self.message_id or message.id
        content = message.content
        held: list[Any] = []
        for position, block in enumerate([content] if isinstance(content, str) else content):
            lane, text, remainder = self._lane(block, position)
            if lane is None:
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
        """The last windows."""
        yield from self._closed()

    def released(self, window: Window, text: str) -> ChatGenerationChunk | None:
        """The chunk that carries a window's text after redaction."""
        if not text:
            return None
        block = self._blocks[window.lane.key]
        content: Any = text if block is None else [_filled(block, text)]
        return ChatGenerationChunk(message=AIMessageChunk(content=content, id=self.message_id))

    def rest(self) -> AIMessage | None:
        """Everything that is not text of a window: tool calls, unknown blocks, metadata, usage. To be checked whole."""
        if self._rest is None:
            return None
        message = cast(AIMessage, message_chunk_to_message(cast(AIMessageChunk, self._rest.message)))
        if isinstance(message.content, list):
            message.content = [block for block in message.content if block]
        return message

    def released_rest(self, vetted: AIMessage) -> ChatGenerationChunk:
        """The last chunk, with the rest as it was vetted."""
        raw = self._rest
        raw_calls = cast(AIMessageChunk, raw.message).tool_call_chunks if raw else []
        indexes = {call["id"]: call["index"] for call in raw_calls}
        calls = [*vetted.tool_calls, *vetted.invalid_tool_calls]
        chunks = [
            {
                "name": call["name"],
                "args": call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
                "id": call["id"],
                "index": indexes.get(call["id"], position),
                "type": "tool_call_chunk",
            }
            for position, call in enumerate(calls)
        ]
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=vetted.content,
                additional_kwargs=vetted.additional_kwargs,
                response_metadata=vetted.response_metadata,
                tool_call_chunks=cast(Any, chunks),
                usage_metadata=vetted.usage_metadata,
                name=vetted.name,
                id=self.message_id,
                chunk_position="last",
            ),
            generation_info=raw.generation_info if raw else None,
        )

    def _closed(self) -> Iterator[Window]:
        if self._current and (window := self._current.finish()):
            yield window
        self._current = None

    def _lane(self, block: Any, position: int) -> tuple[Lane | None, str, dict[str, Any] | None]:
        """The lane that the block's text belongs to, its text, and what else is in the block."""
        if isinstance(block, str):
            self._blocks.setdefault("", None)
            return self._lanes.setdefault("", Lane("", self.settings)), block, None
        kind = block.get("type") if isinstance(block, dict) else None
        path = _TEXT_FIELDS.get(str(kind))
        if path is None or kind in CALL_BLOCKS:
            return None, "", None
        text, template = _emptied(block, path)
        extra = {key: each for key, each in template.items() if key not in ("type", "index", path[0])}
        nested = template.get(path[0]) if len(path) > 1 else None
        remainder = {**template} if extra or (isinstance(nested, dict) and len(nested) > 1) else None
        key = (kind, block.get("index", position))
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
                tool_call_chunks=message.tool_call_chunks,
                usage_metadata=message.usage_metadata,
                name=message.name,
                id=message.id,
            ),
            generation_info=chunk.generation_info,
        )
        carries = (
            content or message.additional_kwargs or message.response_metadata or message.tool_call_chunks
        )
        if carries or message.usage_metadata or chunk.generation_info or self._rest is None:
            self._rest = kept if self._rest is None else self._rest + kept


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
