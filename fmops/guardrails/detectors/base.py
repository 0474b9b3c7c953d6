"""The base of detectors: a detector finds, and decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from fmops.guardrails.categories import Category
from fmops.guardrails.chunking import Limits
from fmops.guardrails.types import DetectorError, Direction, Finding, Role


@dataclass(frozen=True, slots=True)
class Context:
    """Facts about the texts that a detector may need: direction, speaker, language, and the categories to look
    for."""

    direction: Direction
    role: Role
    language: str
    categories: frozenset[Category]


class Clients:
    """boto3 clients that give up before the detectors' deadline, with a connection for each worker."""

    def __init__(
        self, session: boto3.Session, *, timeout: float, connections: int, attempts: int = 2
    ) -> None:
        self._session = session
        self._config = Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    @property
    def partition(self) -> str:
        return str(self._session.get_partition_for_region(self.region))

    def get(self, service: str) -> Any:
        """Return the one client for ``service``. Call it when a detector is created: creating clients is not
        thread-safe."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=self._config)
        return self._clients[service]


class Detector(ABC):
    """Find categories in texts. A subclass says what it looks for and implements ``detect``.

    Attributes:
        categories: what it can find.
        languages: ISO 639-1 codes that it knows; any when empty.
        limits: what one call of ``detect`` may be given; longer text is cut, and offsets are mapped back.
        in_process: whether it needs no network and answers a short text within a millisecond; it is then asked
            without a thread.
    """

    categories: frozenset[Category]
    languages: tuple[str, ...] = ()
    limits: Limits = Limits()
    in_process: bool = False

    def __init__(self, name: str, clients: Clients) -> None:
        self.name = name
        self.clients = clients

    @abstractmethod
    def detect(self, texts: Sequence[str], context: Context) -> Sequence[Iterable[Finding]]:
        """Return the findings in each of ``texts``; offsets are code points within that text.

        Anything raised counts as no answer. Called from several threads at once.
        """


def span(text: str, category: Category, score: object, begin: object, end: object, detector: str) -> Finding:
    """Return a finding at a service's offsets. Raises ``DetectorError`` when they do not fit the text."""
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin < end <= len(text)):
        raise DetectorError(f"{detector} gave offsets that do not fit the text", "offsets")
    return Finding(category, number(score, detector), begin, end, detector)


def number(score: object, detector: str) -> float:
    """Return a service's score. Raises ``DetectorError`` when it is not a number from 0 to 1."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1.000001:
        raise DetectorError(f"{detector} gave a score that is not a number from 0 to 1")
    return float(score)


def member(answer: object, key: str, kind: type | tuple[type, ...], detector: str) -> Any:
    """Return ``answer[key]``. Raises ``DetectorError`` when it is missing or of another kind."""
    value = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind):
        raise DetectorError(f"{detector} answered without {key}")
    return value


def known(names: Mapping[str, Category], name: object, fallback: Category) -> Category:
    """Return our category for a service's name; a name that this list does not know yet counts as ``fallback``,
    not as nothing."""
    return names.get(str(name), fallback)
