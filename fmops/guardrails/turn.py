"""What the layers of one request share: of which texts the observers were told, and what the caller may see."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

_NATIONAL_NUMBER = 7
"""Digits of a telephone number that stand for the whole when its prefix is left out."""


@dataclass
class Turn:
    """One request. Tasks and threads that it starts share it by their context."""

    told: set[bytes] = field(default_factory=set)
    disclosed: set[str] = field(default_factory=set)

    def discloses(self, text: str) -> bool:
        """Whether a tool has disclosed this, however it is spaced or punctuated, with or without a country's prefix."""
        plain = _plain(text)
        is_number = plain.isdecimal() and len(plain) >= _NATIONAL_NUMBER
        return plain in self.disclosed or (
            is_number and any(each.endswith(plain) for each in self.disclosed if each.isdecimal())
        )


_current: ContextVar[Turn | None] = ContextVar("guardrail_turn", default=None)


def begin_turn() -> Turn:
    """Begin a request in this context: observers are told of each text once, and nothing is disclosed yet."""
    turn = Turn()
    _current.set(turn)
    return turn


def current_turn() -> Turn | None:
    """The request under way in this context."""
    return _current.get()


def disclose(*texts: str) -> None:
    """Let these, and no others like them, pass the rules that are ``disclosable``, until the request's end.

    For a tool whose very purpose is to give an authorized caller something that is redacted otherwise. Does nothing
    outside of a turn.
    """
    if turn := _current.get():
        turn.disclosed.update(plain for text in texts if (plain := _plain(text)))


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
