"""The walk through messages, content blocks, tool calls and the results of LangGraph's tools.

It is a whitelist: every string is text, including keys, names, titles and long numbers. The exceptions are a
string in a protocol's field for an id or a word that has the form of one, and a file in a file's own field. See
``forms``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools.base import TOOL_MESSAGE_BLOCK_TYPES
from langgraph.types import Command, Interrupt, Send

from fmops.guardrails.forms import is_inert, is_opaque, is_token, read_file, token_for, write_file
from fmops.guardrails.seals import is_sealed
from fmops.guardrails.walk import UNREADABLE, Walk, label_of

_EMPTY = (str, dict, list)

MessageT = TypeVar("MessageT", bound=BaseMessage)

CALL_BLOCKS = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "input_json_delta", "function_call"}
)
_ARGUMENTS = frozenset({"input", "args", "partial_json", "arguments"})
_PROTOCOL = frozenset(
    {"type", "id", "index", "role", "status", "format", "detail", "mime_type", "media_type", "source_type", "file_id",
     "tool_use_id", "tool_call_id", "call_id", "toolUseId", "ttl", "encoding"}
)  # fmt: skip
"""Fields of content blocks that hold an id or a word of the protocol."""
_RESULT_IDS = frozenset({"tool_use_id", "tool_call_id", "call_id", "toolUseId"})
_CALL_IDS = _RESULT_IDS | {"id"}
"""Fields by which a call and its result find each other."""
_OPAQUE = frozenset(
    {"signature", "thought_signature", "thoughtSignature", "encrypted_content", "redacted_content", "redactedContent"}
)  # fmt: skip
_FILE_BLOCKS = frozenset(
    {"image", "image_url", "input_image", "audio", "input_audio", "video", "file", "input_file", "media", "document",
     "text-plain", "redacted_thinking"}
)  # fmt: skip
_FILE_CONTAINERS = frozenset(
    {"image", "image_url", "input_image", "audio", "input_audio", "video", "document", "inline_data", "inlineData"}
)  # fmt: skip
_FILE_FIELDS = frozenset({"base64", "data", "bytes", "url", "image_url", "file_data"})
_TEXT_FORMATS = frozenset({"txt", "md", "csv", "html", "json", "xml", "yaml"})
_DATA_FIELDS = frozenset({"input", "args", "arguments", "json", "output", "parameters"})
_KNOWN_KEYS = _PROTOCOL | _OPAQUE | _FILE_BLOCKS | _FILE_CONTAINERS | _FILE_FIELDS | _DATA_FIELDS | _ARGUMENTS
_TOKEN_BY_TOKEN = re.compile(r"log_?prob|token_ids|^tokens$", re.IGNORECASE)
"""Fields that repeat the answer token by token, where nothing can be found."""
_LONGEST_COUNT = 11
_LARGEST_MEASURE = 1_000_000


class ContentWalk(Walk):
    """A walk that knows messages, content blocks and the results of LangGraph's tools."""

    def message(
        self, message: MessageT, calls: ContentWalk | None = None, answers: frozenset[str] = frozenset()
    ) -> MessageT:
        """Return the message, with each field read according to what it holds. Tool calls are read by
        ``calls``.
        """
        calls = calls or self
        old = {**vars(message), **(message.__pydantic_extra__ or {})}
        new = {}
        for name, value in old.items():
            if (
                value is None
                or (not value and type(value) in _EMPTY)
                or (name == "content" and is_sealed(message))
            ):
                continue
            each = self._message_field(name, value, message, calls, answers)
            if each is not value:
                new[name] = each
        if bad := [name for name in message.__pydantic_extra__ or () if self.key(name) != name]:
            message = message.model_copy()
            for name in bad:
                del message.__pydantic_extra__[name]  # type: ignore[union-attr]
                new.pop(name, None)
        return message.model_copy(update=new) if new else message

    def metadata(self, value: Any, label: str = "") -> Any:
        """Return an answer's metadata: ids, words, dates and counts may stay; the rest is text, or dropped."""
        if isinstance(value, str):
            return value if type(value) is str and is_inert(value) else self.string(value, label)
        if isinstance(value, int | float) and not isinstance(value, bool):
            is_measure = isinstance(value, float) and abs(value) < _LARGEST_MEASURE
            return value if is_measure else self.number(value, label, harmless=_LONGEST_COUNT)
        if isinstance(value, Mapping):
            kept = _without_tokens(value)
            return self.once(value, lambda: self._metadata_mapping(kept))
        if isinstance(value, list | tuple):
            return self.once(value, lambda: self.sequence(value, lambda each: self.metadata(each, label)))
        return self.data(value, label)

    def result(self, value: Any) -> Any:
        """Return a tool's result, read as content if LangChain takes it for content."""
        if isinstance(value, tuple) and type(value) is tuple:
            return self.once(value, lambda: self.sequence(value, self.result))
        if (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes | bytearray)
            and _is_content(value)
        ):
            return self.once(value, lambda: self.sequence(value, self._item))
        return self.data(value)

    def key(self, name: Any) -> Any:
        return name if type(name) is str and name in _KNOWN_KEYS else super().key(name)

    def special(self, value: Any) -> Any:
        match value:
            case BaseMessage():
                return self.message(value)
            case Command():
                return self._command(value)
            case Send():
                arg = self.data(value.arg)
                node = self._word(value.node)
                return (
                    value
                    if arg is value.arg and node is value.node
                    else Send(node, arg, timeout=value.timeout)
                )
            case Interrupt():
                return self._interrupt(value)
            case {"type": str() as kind} if kind in _FILE_BLOCKS:
                return self._read_block(_without_tokens(value), is_file=True)
            case _:
                return NotImplemented

    def _message_field(
        self, name: str, value: Any, message: BaseMessage, calls: ContentWalk, answers: frozenset[str]
    ) -> Any:
        match name:
            case "content":
                return self._content(value, calls, answers)
            case "id" | "tool_call_id":
                return self._id(value)
            case "name" | "role" | "type" | "chunk_position":
                return self._word(value)
            case "tool_calls" | "invalid_tool_calls" | "tool_call_chunks" if isinstance(value, list):
                return self.sequence(value, lambda call: _by(call, self, calls, answers).call(call))
            case "additional_kwargs":
                return self._additional(value, message, calls, answers)
            case "response_metadata":
                return self.metadata(value)
            case "usage_metadata":
                return _counts(value)
            case "status":
                return value if value in ("success", "error") else "error"
            case _:
                return self.data(value, label_of(name))

    def _content(self, value: Any, calls: ContentWalk, answers: frozenset[str]) -> Any:
        if not isinstance(value, list):
            return self.data(value)

        def item(block: Any) -> Any:
            if calls is not self and isinstance(block, dict) and _is_call(block):
                return _by(block, self, calls, answers).call(block)
            return self._item(block)

        return self.sequence(value, item)

    def _item(self, block: Any) -> Any:
        if not isinstance(block, dict):
            return self.data(block)
        if _is_call(block):
            return self.call(block)
        return self._block(block, is_file=_in(block.get("type"), _FILE_BLOCKS))

    def call(self, call: Any) -> Any:
        """Return a tool call in a provider's form or in LangChain's."""
        return self.once(call, lambda: self._read_call(call)) if isinstance(call, dict) else self.data(call)

    def _read_call(self, call: dict[Any, Any]) -> Any:
        if isinstance(use := call.get("toolUse"), dict) and len(call) == 1:
            return self.mapping(call, lambda _, __: self.call(use))

        def member(name: Any, value: Any) -> Any:
            if name in _CALL_IDS:
                return self._id(value)
            if name in _PROTOCOL or name == "name":
                return self._word(value)
            if name in _ARGUMENTS:
                return self._json(value) if isinstance(value, str) else self.data(value)
            if name == "function":
                return self.call(value)
            if name in _OPAQUE or name == "extras":
                return self._field(name, value, is_file=False, is_text=False)
            return self.data(value, label_of(name))

        return self.mapping(call, member)

    def _json(self, text: str) -> str:
        """Return arguments in JSON, read by their meaning, so that a call and a repetition of it are one
        text.
        """
        try:
            said = json.loads(text, object_pairs_hook=_unambiguous)
        except (ValueError, RecursionError):
            return self.string(text)
        new = self.data(said)
        return text if new is said else json.dumps(new, ensure_ascii=False)

    def _additional(
        self, value: Any, message: BaseMessage, calls: ContentWalk, answers: frozenset[str]
    ) -> Any:
        if not isinstance(value, dict):
            return self.data(value)
        kept = _without_tokens(value)
        if isinstance(message, AIMessage) and message.tool_calls and not _repeats(kept, message):
            kept = {name: each for name, each in kept.items() if name not in ("tool_calls", "function_call")}

        def raw(call: Any) -> Any:
            return _by(
                call.get("function", call) if isinstance(call, dict) else call, self, calls, answers
            ).call(call)

        def member(name: Any, each: Any) -> Any:
            if name == "tool_calls" and isinstance(each, list):
                return self.sequence(each, raw)
            if name == "function_call":
                return raw(each)
            # LangChain's own record of ids and signatures
            if isinstance(name, str) and name.startswith("__"):
                return self._field("signature", each, is_file=False, is_text=False)
            return self._field(name, each, is_file=name in _FILE_CONTAINERS, is_text=False)

        return self.mapping(kept, member)

    def _metadata_mapping(self, value: Mapping[Any, Any]) -> Any:
        known = {name for name in value if isinstance(name, str) and is_token(name)}
        if len(known) == len(value):
            new = {name: self.metadata(each, label_of(name)) for name, each in value.items()}
            return value if all(new[name] is each for name, each in value.items()) else new
        return self.mapping(value, lambda name, each: self.metadata(each, label_of(name)))

    def _block(self, block: Mapping[Any, Any], *, is_file: bool) -> Any:
        return self.once(block, lambda: self._read_block(_without_tokens(block), is_file=is_file))

    def _read_block(self, block: Mapping[Any, Any], *, is_file: bool) -> Any:
        is_text = _is_text_file(block)
        is_plain = block.get("type") == "text"

        def member(name: Any, value: Any) -> Any:
            return self._field(
                name,
                value,
                is_file=(is_file and not is_plain) or name in _FILE_CONTAINERS,
                is_text=is_text,
            )

        return self.mapping(block, member)

    def _field(self, name: Any, value: Any, *, is_file: bool, is_text: bool) -> Any:
        match value:
            case str() | bytes() if is_file and name in _FILE_FIELDS:
                return self._file(value, is_text=is_text)
            case str() if type(value) is str and name in _PROTOCOL and is_token(value):
                return value
            case str() if name in _RESULT_IDS:
                return self._id(value)
            case str() | bytes() if name in _OPAQUE:
                is_known = type(value) is str and is_opaque(value)
                return value if is_known else self._file(value, is_text=False)
            case _ if name in _DATA_FIELDS:
                return self.data(value, label_of(name))
            case dict():
                return self._block(value, is_file=is_file or _in(value.get("type"), _FILE_BLOCKS))
            case list():
                return self.once(
                    value,
                    lambda: self.sequence(
                        value, lambda each: self._field(name, each, is_file=is_file, is_text=is_text)
                    ),
                )
            case _:
                return self.data(value, label_of(name))

    def _file(self, value: str | bytes, *, is_text: bool) -> str | bytes:
        """Return a file in its own field: its readable content is text; a picture, a sound or a PDF passes."""
        file = read_file(value, declared_text=is_text)
        if file.strings and self.string(file.strings) != file.strings:
            return write_file(value, UNREADABLE)
        if file.raw:
            return self.string(file.raw)
        new = self.string(file.text)
        return value if new == file.text else write_file(value, new)

    def _word(self, value: Any) -> Any:
        return value if type(value) is str and is_token(value) else self.data(value)

    def _id(self, value: Any) -> Any:
        return token_for(value) if type(value) is str else self.data(value)

    def _command(self, command: Command[Any]) -> Command[Any]:
        goto = command.goto
        new = {
            "graph": self._word(command.graph),
            "update": self.data(command.update),
            "resume": self.data(command.resume),
            "goto": self.sequence(goto, self._goto) if isinstance(goto, list | tuple) else self._goto(goto),
        }
        if all(each is getattr(command, name) for name, each in new.items()):
            return command
        return Command(**new)

    def _goto(self, target: Any) -> Any:
        return self._word(target) if isinstance(target, str) else self.data(target)

    def _interrupt(self, interrupt: Interrupt[Any]) -> Interrupt[Any]:
        value, schema = self.data(interrupt.value), self.data(interrupt.response_schema)
        name = self._word(interrupt.id)
        if value is interrupt.value and schema is interrupt.response_schema and name is interrupt.id:
            return interrupt
        return Interrupt(value, name, response_schema=schema if isinstance(schema, dict | type) else None)


def _by(call: Any, speaker: ContentWalk, calls: ContentWalk, answers: frozenset[str]) -> ContentWalk:
    """Return the walk that reads the call: a call that is the answer itself is read as an answer."""
    return speaker if answers and isinstance(call, dict) and _in(call.get("name"), answers) else calls


def _is_call(block: Mapping[Any, Any]) -> bool:
    return _in(block.get("type"), CALL_BLOCKS) or isinstance(block.get("toolUse"), dict)


def _in(value: Any, words: Iterable[str]) -> bool:
    return isinstance(value, str) and value in words


def _is_content(value: Sequence[Any]) -> bool:
    return all(
        isinstance(each, str) or (isinstance(each, dict) and _in(each.get("type"), TOOL_MESSAGE_BLOCK_TYPES))
        for each in value
    )


def _is_text_file(block: Mapping[Any, Any]) -> bool:
    """Return whether the block says that its file is text."""
    said = [block.get(name) for name in ("mime_type", "media_type", "format", "type")]
    return any(isinstance(each, str) and (each.startswith("text/") or each in _TEXT_FORMATS) for each in said)


def _without_tokens(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if not any(isinstance(name, str) and _TOKEN_BY_TOKEN.search(name) for name in value):
        return value
    return {
        name: each
        for name, each in value.items()
        if not (isinstance(name, str) and _TOKEN_BY_TOKEN.search(name))
    }


def _counts(value: Any) -> Any:
    """Return numbers of tokens, and nothing else."""
    if isinstance(value, Mapping):
        new = {
            name: count
            for name, each in value.items()
            if isinstance(name, str) and is_token(name) and (count := _counts(each)) is not None
        }
        is_same = (
            type(value) is dict and len(new) == len(value) and all(new[name] is value[name] for name in new)
        )
        return value if is_same else new
    is_count = isinstance(value, int | float) and abs(value) < 10**_LONGEST_COUNT
    return value if is_count else None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object if each of its keys occurs once: of two values, one would go unread."""
    if len(result := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _repeats(kept: Mapping[str, Any], message: AIMessage) -> bool:
    """Return whether the provider's own form of the tool calls repeats ``message.tool_calls``."""
    raw = [*(kept.get("tool_calls") or ()), *([kept["function_call"]] if kept.get("function_call") else ())]
    said = [(call["name"], call["args"]) for call in message.tool_calls]
    try:
        functions = [call.get("function", call) for call in raw]
        return all((each["name"], json.loads(each["arguments"])) in said for each in functions)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
