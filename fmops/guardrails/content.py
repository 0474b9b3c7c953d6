"""The texts of a value to be checked: found wherever they are, checked together, and put back in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from fmops.guardrails.messages import ContentWalk, MessageT
from fmops.guardrails.types import Direction, Outcome, Redaction, Role
from fmops.guardrails.walk import UNREADABLE

T = TypeVar("T")

Key = tuple[Direction, str, str]
"""A text's identity: its direction, the key that names it, and the text."""

_CLIENT = "fmops_client"


@dataclass(frozen=True, slots=True)
class Part:
    """The texts of a value in one direction; they are checked as one, so that a message costs one check."""

    direction: Direction
    role: Role
    leaves: tuple[tuple[str, str], ...]
    """Keys and texts, in order."""

    @property
    def text(self) -> str:
        return "\n".join(f"{label}: {text}" if label else text for label, text in self.leaves)

    def apply(self, outcome: Outcome) -> dict[Key, str]:
        """Return the texts that differ after redaction. In a redaction that spans several texts, each is
        changed.
        """
        changed: dict[Key, str] = {}
        redactions = outcome.redactions
        begin, first = 0, 0
        for label, text in self.leaves:
            begin += len(label) + 2 if label else 0
            end = begin + len(text)
            while first < len(redactions) and redactions[first].end <= begin:
                first += 1
            if first < len(redactions) and redactions[first].begin < end:
                changed[self.direction, label, text] = _redacted(text, begin, redactions, first)
            begin = end + 1
        return changed


@dataclass
class Reading(Generic[T]):
    """The texts to check in a value, and the value itself, reduced to parts that are known."""

    value: T
    parts: list[Part]
    _read: Callable[[T, _Pass], T] = field(repr=False)
    _found: Mapping[Key, None] = field(repr=False)

    def replaced(self, changed: Mapping[Key, str]) -> T:
        """Return the value with these texts changed; parts without changes remain the same objects."""
        if not changed:
            return self.value
        kept = {**{key: key[2] for key in self._found}, **changed}
        # A text that was not checked is missing here, so it does not go on.
        return self._read(self.value, _Pass(lambda key: kept.get(key, UNREADABLE)))


class _Pass:
    """One pass over a value, with a walk for each direction of its texts."""

    def __init__(self, text: Callable[[Key], str], role: Role | None = None) -> None:
        self._text = text
        self._walks: dict[Direction, ContentWalk] = {}
        self.role = role

    def way(self, direction: Direction) -> ContentWalk:
        if direction not in self._walks:
            self._walks[direction] = ContentWalk(lambda text, label: self._text((direction, label, text)))
        return self._walks[direction]


def read_message(
    message: MessageT,
    *,
    answers: frozenset[str] = frozenset(),
    way: Direction | None = None,
    with_info: dict[str, Any] | None = None,
) -> Reading[tuple[MessageT, dict[str, Any] | None]]:
    """Read a message, and the information that comes with a model's answer. All of it has the direction
    ``way``, if given.

    Calls of the tools in ``answers`` count as answers, not as calls: the user reads their arguments.
    """
    direction, role = _speaker(message)

    def read(value: tuple[MessageT, Any], one: _Pass) -> tuple[MessageT, Any]:
        speaker = one.way(way or direction)
        calls = one.way(Direction.TOOL_ARGUMENTS) if direction is Direction.OUTPUT and not way else speaker
        given, info = value
        return speaker.message(given, calls, answers), None if info is None else speaker.metadata(info)

    return _reading((message, with_info), read, way.role if way else role)


def read_metadata(value: dict[str, Any] | None) -> Reading[dict[str, Any] | None]:
    """Read the metadata of a model's answers."""
    return _reading(value, lambda each, one: one.way(Direction.OUTPUT).metadata(each))


def read_arguments(arguments: Mapping[str, Any]) -> Reading[dict[str, Any]]:
    """Read the arguments of one tool call."""
    return _reading(dict(arguments), lambda each, one: one.way(Direction.TOOL_ARGUMENTS).data(each))


def read_data(value: Any, way: Direction) -> Reading[Any]:
    """Read any value in this direction."""
    return _reading(value, lambda each, one: one.way(way).data(each))


def read_result(value: Any) -> Reading[Any]:
    """Read a tool's result: content blocks or data, either with an artifact."""
    return _reading(value, lambda each, one: one.way(Direction.TOOL_RESULTS).result(each))


def read_with(value: T, way: Direction, read: Callable[[T, ContentWalk], T]) -> Reading[T]:
    """Read a value that ``read`` knows how to walk."""
    return _reading(value, lambda each, one: read(each, one.way(way)))


def from_client(message: MessageT) -> MessageT:
    """Return ``message`` marked as sent by a client, whoever it says spoke: it is checked as input, like a
    user's.
    """
    return message.model_copy(update={"response_metadata": {**message.response_metadata, _CLIENT: True}})


def _reading(value: T, read: Callable[[T, _Pass], T], role: Role | None = None) -> Reading[T]:
    found: dict[Key, None] = {}

    def keep(key: Key) -> str:
        found.setdefault(key)
        return key[2]

    known = read(value, _Pass(keep))
    ways: dict[Direction, list[tuple[str, str]]] = {}
    for direction, label, text in found:
        ways.setdefault(direction, []).append((label, text))
    parts = [
        Part(
            direction,
            direction.role if direction is Direction.TOOL_ARGUMENTS else role or direction.role,
            tuple(leaves),
        )
        for direction, leaves in ways.items()
    ]
    return Reading(known, parts, read, found)


def _redacted(text: str, begin: int, redactions: Sequence[Redaction], first: int) -> str:
    pieces: list[str] = []
    position, end = begin, begin + len(text)
    for index in range(first, len(redactions)):
        redaction = redactions[index]
        if redaction.begin >= end:
            break
        pieces += (text[position - begin : max(0, redaction.begin - begin)], redaction.replacement)
        position = min(redaction.end, end)
    return "".join([*pieces, text[position - begin :]])


def _speaker(message: BaseMessage) -> tuple[Direction, Role]:
    match message:
        case ToolMessage():
            return Direction.TOOL_RESULTS, "user"
        case _ if message.response_metadata.get(_CLIENT):
            return Direction.INPUT, "user"
        case AIMessage():
            return Direction.OUTPUT, "assistant"
        case SystemMessage():
            return Direction.INPUT, "system"
        case _:
            return Direction.INPUT, "user"
