"""Seals: stand-ins for text that is still being checked, wherever state, checkpoints and callbacks may see it.

Only ``GuardedChatModel`` opens a seal, to begin the model call while the check is in progress;
``GuardrailMiddleware`` replaces it with the vetted text after the verdict. A seal that is no longer known stays
closed.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from typing import TypeVar

from langchain_core.messages import BaseMessage

MessageT = TypeVar("MessageT", bound=BaseMessage)

_SEAL = re.compile(r"\[unvetted [0-9a-f]{32}\]")
_KEPT = 10_000


def is_sealed(message: BaseMessage) -> bool:
    """Return whether the message's content is a seal."""
    return isinstance(message.content, str) and _SEAL.fullmatch(message.content) is not None


class Seals:
    """The texts behind the seals, the oldest dropped first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._raw: OrderedDict[str, str] = OrderedDict()
        self._vetted: OrderedDict[str, BaseMessage] = OrderedDict()
        self._lock = threading.Lock()

    def seal(self, text: str) -> str:
        """Return a seal that stands for ``text``."""
        name = f"[unvetted {secrets.token_hex(16)}]"
        with self._lock:
            self._raw[name] = text
            while len(self._raw) > _KEPT:
                self._raw.popitem(last=False)
        return name

    def open(self, message: MessageT) -> MessageT:
        """Return the message with the text behind its seal: unvetted before the verdict, vetted after it."""
        if not is_sealed(message):
            return message
        name = str(message.content)
        with self._lock:
            raw, vetted = self._raw.get(name), self._vetted.get(name)
        if vetted is not None:
            return _as(message, vetted)
        return message if raw is None else message.model_copy(update={"content": raw})

    def settle(self, sealed: BaseMessage, vetted: BaseMessage) -> None:
        """Store the vetted message, and drop the raw text."""
        if not is_sealed(sealed) or vetted is sealed:
            return
        with self._lock:
            self._raw.pop(str(sealed.content), None)
            self._vetted[str(sealed.content)] = vetted
            while len(self._vetted) > _KEPT:
                self._vetted.popitem(last=False)

    def vetted(self, message: MessageT) -> MessageT:
        """Return the vetted message in place of its seal, or the message itself if it has no seal or there is
        no verdict yet."""
        if not is_sealed(message):
            return message
        with self._lock:
            vetted = self._vetted.pop(str(message.content), None)
        return message if vetted is None else _as(message, vetted)


def _as(message: MessageT, vetted: BaseMessage) -> MessageT:
    update = {"content": vetted.content}
    if status := getattr(vetted, "status", None):
        update["status"] = status
    return message.model_copy(update=update)
