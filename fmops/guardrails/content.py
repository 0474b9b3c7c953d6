"""The texts within messages: found wherever they stand, checked together, put back where they were.

Covers plain content, lists of content blocks (text, reasoning, tool use, what a provider invents), tool calls,
additional keyword arguments and tool artifacts. Binary data, ids and types are not text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from fmops.guardrails.seals import is_sealed
from fmops.guardrails.types import Direction, Outcome, Role

Path = tuple[str | int, ...]
MessageT = TypeVar("MessageT", bound=BaseMessage)

_NOT_TEXT = frozenset(
    {"type", "id", "index", "data", "base64", "bytes", "mime_type", "media_type", "source_type", "format", "signature",
     "thought_signature", "file_id", "tool_use_id", "tool_call_id", "call_id", "role", "status", "detail", "extras"}
)  # fmt: skip
_DATA_URL = "data:"
CALL_BLOCKS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "input_json_delta", "function_call"})
_MIRRORS = ("input", "args", "partial_json", "arguments")
_LONGEST_HARMLESS_NUMBER = 6


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text within a message: where it stands, and the key that names it there."""

    path: Path
    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The leaves of a message that go one way; they are checked as one text, so that a message costs one check."""

    direction: Direction
    role: Role
    leaves: tuple[Leaf, ...]

    @property
    def text(self) -> str:
        return "\n".join(f"{_label(leaf)}{leaf.text}" for leaf in self.leaves)

    def apply(self, outcome: Outcome) -> dict[Path, str]:
        """The texts that differ after redaction. A redaction that spans several leaves replaces in each."""
        changed: dict[Path, str] = {}
        begin = 0
        for leaf in self.leaves:
            begin += len(_label(leaf))
            end = begin + len(leaf.text)
            pieces: list[str] = []
            position = begin
            for redaction in outcome.redactions:
                if redaction.begin < end and begin < redaction.end:
                    pieces += (
                        leaf.text[position - begin : max(0, redaction.begin - begin)],
                        redaction.replacement,
                    )
                    position = min(redaction.end, end)
            if pieces:
                changed[leaf.path] = "".join([*pieces, leaf.text[position - begin :]])
            begin = end + 1
        return changed


def parts(message: BaseMessage) -> list[Part]:
    """What is to be checked of ``message``: its text by who wrote it, and the arguments of its tool calls."""
    direction, role = _speaker(message)
    names = (
        ("additional_kwargs", "artifact")
        if is_sealed(message)
        else ("content", "additional_kwargs", "artifact")
    )
    texts = [
        leaf
        for name in names
        for leaf in _leaves(getattr(message, name, None), (name,), "")
        if not _belongs_to_call(message, leaf.path)
    ]
    found = [Part(direction, role, tuple(texts))] if texts else []
    if arguments := _arguments(message):
        found.append(Part(Direction.TOOL_ARGUMENTS, "assistant", tuple(arguments)))
    return found


def replace(message: MessageT, changed: Mapping[Path, str]) -> MessageT:
    """A copy of ``message`` with these texts; everything else, its id and tool calls included, stays."""
    if not changed:
        return message
    names = {str(path[0]) for path in changed}
    update = {
        name: _rebuilt(
            getattr(message, name), {path[1:]: text for path, text in changed.items() if path[0] == name}
        )
        for name in names
    }
    message = message.model_copy(update=update)
    if "tool_calls" in update:
        message = message.model_copy(update=_mirrored(message, update["tool_calls"]))
    return message


def arguments_part(arguments: Mapping[str, Any]) -> Part:
    """The arguments of one tool call, for a check of their own."""
    return Part(Direction.TOOL_ARGUMENTS, "assistant", tuple(_leaves(dict(arguments), (), "")))


def result_part(result: Any) -> Part:
    """What a tool gave back, as far as it is text or structured data."""
    return Part(Direction.TOOL_RESULTS, "user", tuple(_leaves(result, (), "")))


def rebuilt(value: Any, changed: Mapping[Path, str]) -> Any:
    """``value`` with the texts at these paths replaced."""
    return _rebuilt(value, dict(changed)) if changed else value


def _label(leaf: Leaf) -> str:
    return f"{leaf.key}: " if leaf.key else ""


def _speaker(message: BaseMessage) -> tuple[Direction, Role]:
    match message:
        case ToolMessage():
            return Direction.TOOL_RESULTS, "user"
        case AIMessage():
            return Direction.OUTPUT, "assistant"
        case SystemMessage():
            return Direction.INPUT, "system"
        case _:
            return Direction.INPUT, "user"


def _arguments(message: BaseMessage) -> list[Leaf]:
    if not isinstance(message, AIMessage):
        return []
    calls: list[Leaf] = []
    for name in ("tool_calls", "invalid_tool_calls"):
        for index, call in enumerate(getattr(message, name)):
            calls += _leaves(call.get("args"), (name, index, "args"), "")
    known = {call.get("id") for call in message.tool_calls}
    for index, block in _call_blocks(message):
        if block.get("id") not in known:
            for key in _MIRRORS:
                calls += _leaves(block.get(key), ("content", index, key), "")
    if not known:
        for name in ("tool_calls", "function_call"):
            calls += _leaves(message.additional_kwargs.get(name), ("additional_kwargs", name), "")
    return calls


def _mirrored(message: BaseMessage, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What else of ``message`` repeats its tool calls, brought in line with ``calls``."""
    arguments = {call.get("id"): call.get("args") for call in calls}
    update: dict[str, Any] = {}
    if isinstance(message.content, list):
        content = list(message.content)
        for index, block in _call_blocks(message):
            if block.get("id") in arguments:
                content[index] = {key: _like(each, arguments[block["id"]]) if key in _MIRRORS else each
                                  for key, each in block.items()}  # fmt: skip
        update["content"] = content
    if any(name in message.additional_kwargs for name in ("tool_calls", "function_call")):
        update["additional_kwargs"] = {
            name: each
            for name, each in message.additional_kwargs.items()
            if name not in ("tool_calls", "function_call")
        }
    return update


def _like(old: Any, new: Any) -> Any:
    return json.dumps(new) if isinstance(old, str) else new


def _call_blocks(message: BaseMessage) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, block in enumerate(message.content if isinstance(message.content, list) else ()):
        if isinstance(block, dict) and block.get("type") in CALL_BLOCKS:
            yield index, block


def _belongs_to_call(message: BaseMessage, path: Path) -> bool:
    """Whether the leaf is part of a tool call, which is checked with the arguments."""
    if path[:1] == ("additional_kwargs",):
        return path[1] in ("tool_calls", "function_call")
    if path[:1] == ("content",) and len(path) > 1 and isinstance(message.content, list):
        block = message.content[int(path[1])]
        return isinstance(block, dict) and block.get("type") in CALL_BLOCKS
    return False


def _leaves(value: Any, path: Path, key: str) -> Iterator[Leaf]:
    if isinstance(value, str):
        if value.strip() and not value.startswith(_DATA_URL):
            yield Leaf(path, value, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if len(str(value)) > _LONGEST_HARMLESS_NUMBER:  # an account number need not be a string
            yield Leaf(path, str(value), key)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _NOT_TEXT or _within_call(path):
                # A content block's own "text" says nothing about what stands there; an argument's name does.
                yield from _leaves(each, (*path, name), "" if name in ("text", "content") else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index), key)


def _within_call(path: Path) -> bool:
    """Names of a tool's parameters are the application's: there, ``id`` or ``data`` may well be text."""
    return not path or path[0] in ("tool_calls", "invalid_tool_calls", "artifact")


def _rebuilt(value: Any, changed: dict[Path, str]) -> Any:
    if () in changed:
        return changed[()]
    if isinstance(value, Mapping):
        return {name: _below(each, name, changed, _rebuilt) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_below(each, index, changed, _rebuilt) for index, each in enumerate(value)]
    return value


def _below(
    value: Any, step: str | int, changed: dict[Path, str], rebuild: Callable[[Any, dict[Path, str]], Any]
) -> Any:
    below = {path[1:]: text for path, text in changed.items() if path and path[0] == step}
    return rebuild(value, below) if below else value
