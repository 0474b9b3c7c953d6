"""State shared by the layers of one request: the texts that observers were told of, and what the caller may
see.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

_NATIONAL_NUMBER = 7
"""Digits at the end of a telephone number that identify it when its prefix is left out."""


@dataclass
class Turn:
    """One request. Tasks and threads that it starts share it through their context."""

    told: set[tuple[str, str, str]] = field(default_factory=set)
    """Direction, speaker and text of each check that observers know."""
    disclosed: set[str] = field(default_factory=set)

    def discloses(self, text: str) -> bool:
        """Return whether a tool has disclosed this, however it is spaced or punctuated, with or without a
        country's prefix."""
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
    """Return the request in progress in this context."""
    return _current.get()


def disclose(*texts: str) -> None:
    """Let these texts, and no similar ones, pass the rules that are ``disclosable``, until the request's end.

    It is for a tool whose purpose is to give an authorized caller something that is otherwise redacted. It does
    nothing outside a turn.
    """
    if turn := _current.get():
        turn.disclosed.update(plain for text in texts if (plain := _plain(text)))


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
