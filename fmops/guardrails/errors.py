"""The texts of errors: words, arguments, attributes, notes, causes and members, vetted before they go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.tools import ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, Interrupt
from pydantic_core import ValidationError

from fmops.guardrails.content import Reading, read_with
from fmops.guardrails.forms import is_token
from fmops.guardrails.messages import ContentWalk
from fmops.guardrails.types import Direction


def read_error(error: BaseException, way: Direction) -> Reading[BaseException]:
    """Read an error with everything attached to it; if nothing changes, the same object results."""
    return read_with(error, way, _read)


def withheld_error(error: BaseException, words: str) -> BaseException:
    """Return an error of the same kind that says only ``words``; codes, which callers decide by, may stay."""
    if isinstance(error, GraphBubbleUp):
        return _twin(error, tuple(_withheld(each, words) for each in error.args), {}) or GraphBubbleUp(words)
    state = {
        name: kept
        for name, each in getattr(error, "__dict__", {}).items()
        if (kept := _codes(each)) is not None
    }
    return _twin(error, (words,), state, words) or ToolException(words)


def _read(error: BaseException, walk: ContentWalk) -> BaseException:
    new: BaseException = walk.once(error, lambda: _read_inside(error, walk))
    return new if isinstance(new, BaseException) else ToolException(str(new))


def _read_inside(error: BaseException, walk: ContentWalk) -> BaseException:
    words = walk.string(old_words := _words(error))
    details = _details(error)
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    new_members = tuple(_read(each, walk) for each in members)
    args = walk.data(error.args) if not members else (walk.string(error.message), new_members)  # type: ignore[attr-defined]
    old_state = getattr(error, "__dict__", {})
    state = {name: walk.metadata(each, name) for name, each in old_state.items() if is_token(name)}
    cause, context = (
        None if each is None else _read(each, walk) for each in (error.__cause__, error.__context__)
    )
    is_same = (
        words == old_words
        and details is not None
        and walk.string(details) == details
        and all(new is old for new, old in zip(new_members, members, strict=True))
        and (args is error.args or bool(members))
        and (not members or args[0] == error.message)  # type: ignore[attr-defined]
        and len(state) == len(old_state)
        and all(state[name] is each for name, each in old_state.items())
        and (cause, context) == (error.__cause__, error.__context__)
    )
    if is_same:
        return error
    new = _twin(error, args, state, words) or ToolException(words)
    new.__cause__, new.__context__ = cause, context
    new.__suppress_context__ = error.__suppress_context__
    return new


def _twin(
    error: BaseException, args: tuple[Any, ...], state: Mapping[str, Any], words: str | None = None
) -> BaseException | None:
    """Return an error of the same class, made without its ``__init__``; None if it would not say ``words``."""
    try:
        if isinstance(error, BaseExceptionGroup) and not (len(args) > 1 and args[1]):
            return None
        twin: BaseException = type(error).__new__(type(error), *args)
        twin.args = args
        vars(twin).update(state)
        says_so = words is None or str(twin) == words
    except Exception:  # noqa: BLE001 - a class may refuse with any error
        return None
    return twin if says_so else None


def _withheld(value: Any, words: str) -> Any:
    match value:
        case Interrupt():
            return Interrupt(words, value.id if is_token(value.id) else "withheld")
        case Command():
            return Command(graph=value.graph if value.graph == Command.PARENT else None)
        case list() | tuple():
            return [_withheld(each, words) for each in value]
        case _:
            return words


def _codes(value: Any) -> Any:
    """Return the ids, codes and small numbers in an error's data, at any depth."""
    if isinstance(value, dict):
        return {
            name: kept
            for name, each in value.items()
            if isinstance(name, str) and is_token(name) and (kept := _codes(each)) is not None
        }
    if isinstance(value, str):
        return str(value) if is_token(value) else None
    return value if isinstance(value, int) and abs(value) < 1_000_000 else None


def _details(error: BaseException) -> str | None:
    """Return the details of a validation error, which its own message cuts short; None if they cannot be
    read.
    """
    try:
        return error.json() if isinstance(error, ValidationError) else ""
    except Exception:  # noqa: BLE001 - its input may be anything
        return None


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a class may raise any error
        return ""
