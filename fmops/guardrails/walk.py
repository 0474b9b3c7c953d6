"""One walk over any value: every text in it is passed to a function, and the function's result replaces it.

Anything unknown becomes text, or a notice that it cannot be read: nothing passes unread.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from fmops.guardrails.forms import is_plain_key, is_token, read_bytes

Text = Callable[[str, str], str]
"""A function from a text and the key that names it to the text that replaces it."""

UNREADABLE = "[withheld: cannot be checked]"
DEEPEST = 50
"""Levels of nesting below which nothing is read, so nothing passes."""

_LONGEST_HARMLESS_NUMBER = 6
_LONGEST_LABEL = 40
_HARMLESS = (datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)
_SCALARS = (
    Decimal, Fraction, complex, UUID, PurePath, Enum, IPv4Address, IPv6Address, IPv4Network, IPv6Network,
)  # fmt: skip
_PLAIN = (dict, OrderedDict, defaultdict, Counter, list, deque, tuple, set, frozenset)
_OWN_WORDS = ("__str__", "__repr__", "__format__")
_LIBRARIES = ("pydantic.", "langchain_core.", "langchain.", "langgraph.")


class Walk:
    """Read values in order. Each object is read once, however often it occurs."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._seen: dict[int, tuple[Any, Any]] = {}
        self._depth = 0

    def data(self, value: Any, label: str = "") -> Any:
        """Return ``value`` in vetted form; the same object if all of it may pass."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.string(value, label)
        if isinstance(value, int | float):
            return self.number(value, label)
        if isinstance(value, _HARMLESS) or (isinstance(value, type) and is_token(value.__name__)):
            return value
        if isinstance(value, _SCALARS):
            text = str(value.value if isinstance(value, Enum) else value)
            new = self._text(text, label)
            return value if new == text else new
        return self.once(value, lambda: self._inside(value, label))

    def string(self, value: str, label: str = "") -> str:
        """Return the text in vetted form. Additional data of a subclass of ``str`` is dropped."""
        text = str.__str__(value)
        new = self._text(text, label) if text and not text.isspace() else text
        return value if new == text and (type(value) is str or isinstance(value, Enum)) else new

    def number(self, value: float, label: str = "", harmless: int = _LONGEST_HARMLESS_NUMBER) -> Any:
        """Return the number, or the text that replaces it: an account number need not be a string."""
        try:
            text = int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
        except ValueError:  # too many digits to format
            return UNREADABLE
        if len(text) <= harmless:
            return value
        new = self._text(text, label)
        return value if new == text else new

    def key(self, name: Any) -> Any:
        """Return a mapping's key in vetted form."""
        if type(name) is str:
            return name if is_plain_key(name) else self.string(name)
        new = self.data(name)
        return new if isinstance(new, Hashable) else str(new)

    def once(self, value: Any, read: Callable[[], Any]) -> Any:
        """Return ``read()``, unless ``value`` was read before, contains itself or is nested too deeply."""
        if known := self._seen.get(id(value)):
            return known[1]
        if self._depth >= DEEPEST:
            return UNREADABLE
        self._seen[id(value)] = (value, UNREADABLE)
        self._depth += 1
        try:
            result = read()
        finally:
            self._depth -= 1
        if isinstance(result, str):  # a text is named by its place
            del self._seen[id(value)]
        else:
            self._seen[id(value)] = (value, result)
        return result

    def mapping(self, value: Mapping[Any, Any], member: Callable[[Any, Any], Any]) -> Any:
        """Return the mapping with its keys read, and each value replaced by ``member`` of key and value."""
        result: dict[Any, Any] = {}
        taken: Counter[Any] = Counter()
        changed = not _is_plain(value)
        for name, each in value.items():
            key, new = self.key(name), member(name, each)
            changed = changed or key is not name or new is not each
            if key in result:
                taken[key] += 1
                key = f"{key} ({taken[key] + 1})"
            result[key] = new
        return result if changed else value

    def sequence(self, value: Iterable[Any], member: Callable[[Any], Any]) -> Any:
        """Return the list, tuple or set with each member replaced by ``member`` of it."""
        old = list(value)
        new = [member(each) for each in old]
        if _is_plain(value) and all(a is b for a, b in zip(old, new, strict=True)):
            return value
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)._make(new) if any(a is not b for a, b in zip(old, new, strict=True)) else value  # type: ignore[attr-defined]
        for kind in (tuple, set, frozenset):
            if isinstance(value, kind):
                return kind(new)
        return new

    def attributes(self, state: Mapping[str, Any], declared: Iterable[str]) -> dict[str, Any]:
        """Return the attributes in vetted form. Names that the class did not declare are read too; bad ones are
        dropped."""
        known = frozenset(declared)
        return {
            name: self.data(each, label_of(name))
            for name, each in state.items()
            if name in known or self.key(name) == name
        }

    def special(self, value: Any) -> Any:  # noqa: ARG002 - for subclasses
        """Return a value that is more than data; ``NotImplemented`` if it is not."""
        return NotImplemented

    def _inside(self, value: Any, label: str) -> Any:
        if (new := self.special(value)) is not NotImplemented:
            return new
        if isinstance(value, Mapping):
            return self.mapping(value, lambda name, each: self.data(each, label_of(name)))
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(value, label)
        if isinstance(value, Sequence | Set | deque) and not isinstance(value, range):
            return self.sequence(value, lambda each: self.data(each, label))
        if isinstance(value, BaseModel):
            return self._object(value, self._model, label)
        if dataclasses.is_dataclass(value):
            return self._object(value, self._dataclass, label)
        return self._unknown(value, label)

    def _bytes(self, value: bytes | bytearray | memoryview, label: str) -> Any:
        text = read_bytes(bytes(value))
        new = self.string(text, label)
        return value if new == text and not isinstance(value, memoryview) else new.encode()

    def _object(self, value: Any, read: Callable[[Any], Any], label: str) -> Any:
        """Return an object vetted by its attributes, and by its text form if its class defines one."""
        if _has_own_words(type(value)):
            words = _words(value)
            if (new := self.string(words, label)) != words:
                return new
        try:
            return read(value)
        except Exception:  # noqa: BLE001 - a class may refuse a copy with any error
            return self._unknown(value, label)

    def _model(self, value: BaseModel) -> BaseModel:
        fields = type(value).model_fields
        state = self.attributes(vars(value), fields)
        extra = self.attributes(value.__pydantic_extra__ or {}, ())
        private = self.attributes(value.__pydantic_private__ or {}, type(value).__private_attributes__)
        if all(
            _same(old, new)
            for old, new in (
                (vars(value), state),
                (value.__pydantic_extra__ or {}, extra),
                (value.__pydantic_private__ or {}, private),
            )
        ):
            return value
        twin = copy.copy(value)
        object.__setattr__(twin, "__dict__", state)
        object.__setattr__(
            twin, "__pydantic_extra__", extra if value.__pydantic_extra__ is not None else None
        )
        object.__setattr__(
            twin, "__pydantic_private__", private if value.__pydantic_private__ is not None else None
        )
        object.__setattr__(twin, "__pydantic_fields_set__", value.model_fields_set & {*state, *extra})
        return twin

    def _dataclass(self, value: Any) -> Any:
        fields = [each.name for each in dataclasses.fields(value) if hasattr(value, each.name)]
        old = {name: getattr(value, name) for name in fields} | getattr(value, "__dict__", {})
        new = self.attributes(old, fields)
        if _same(old, new):
            return value
        twin = copy.copy(value)
        for name in old:
            if name in new:
                object.__setattr__(twin, name, new[name])
            else:
                object.__delattr__(twin, name)
        return twin

    def _unknown(self, value: Any, label: str) -> str:
        if isinstance(value, Iterator | AsyncIterable | Awaitable):
            if hasattr(value, "close") and isinstance(value, Awaitable):
                value.close()  # it will never be awaited
            return UNREADABLE
        return self.string(_words(value), label)


def label_of(name: Any) -> str:
    """Return a text's label, from its key. A content block's own "text" says nothing about its content."""
    if not isinstance(name, str) or name in ("text", "content", "page_content"):
        return ""
    return name if len(name) <= _LONGEST_LABEL and "\n" not in name else ""


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN and not getattr(value, "__dict__", None)


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return len(old) == len(new) and all(new[name] is each for name, each in old.items())


def _words(value: Any) -> str:
    try:
        return str(str(value))
    except Exception:  # noqa: BLE001 - a class may raise any error
        return UNREADABLE


def _has_own_words(kind: type) -> bool:
    """Return whether someone wrote the text form of the class's objects; a generated one only shows the
    attributes."""
    return any(
        name in vars(base) and not hasattr(vars(base)[name], "__wrapped__")
        for base in kind.__mro__
        if base is not object and not f"{base.__module__}.".startswith(_LIBRARIES)
        for name in _OWN_WORDS
    )
