"""Secrets and identifiers that carry their own proof: known key formats, check digits. Needs no network.

Key formats are detect-secrets', check digits are python-stdnum's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from stdnum import iban, luhn
from stdnum.us import itin, ssn

from fmops.guardrails.categories import Category
from fmops.guardrails.detectors.base import Clients, Context, Detector
from fmops.guardrails.types import Finding

_LEFT_OUT = frozenset({"Artifactory Credentials", "Public IP (ipv4)", "Private Key", "Twilio API Key"})
"""Plugins for source code whose patterns match words, addresses or any hash in a conversation."""

_OPENAI = re.compile(r"\bsk-[A-Za-z0-9_-]{20,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z ]*-----|[\s\S]*)"
)
_STATED = re.compile(
    r"\b(?:password|passwd|pwd|passphrase|secret|api[ _-]?key|access[ _-]?key|access[ _-]?token)\b"
    r"(?:\s+is|\s*[:=])\s*[\"']?(?=\S*[\d!@#$%^&*])(\S{6,}?)(?=[\"']?[.,;:!?]?(?:\s|$))",
    re.IGNORECASE,
)
_REST_OF_TOKEN = re.compile(r"[A-Za-z0-9_\-.=/+]*[A-Za-z0-9_\-=/+]")
_LONG_TOKEN = re.compile(r"\S{16}")

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_IBAN_PART = re.compile(r"[A-Za-z0-9](?=[ -]|$)")
_CARD = re.compile(r"(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w]|-\d)")
_CARD_PREFIX = re.compile(r"3[0-9]|4|5[0-9]|6|2[2-7]")

_Proof = Callable[[str], bool]
_NUMBERS: tuple[tuple[Category, re.Pattern[str], _Proof], ...] = (
    (Category.US_SSN, re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), ssn.is_valid),
    (Category.US_ITIN, re.compile(r"(?<![\w-])9\d{2}-\d{2}-\d{4}(?![\w-])"), itin.is_valid),
)


class Secrets(Detector):
    """Key formats, stated passwords, private keys; card numbers (Luhn), IBAN (mod 97), US SSN and ITIN.

    National numbers whose one check digit fits every tenth number of their length are left to models that read context.
    """

    categories = frozenset(
        {
            *(category for category, _, _ in _NUMBERS),
            Category.API_KEY,
            Category.AWS_ACCESS_KEY,
            Category.AWS_SECRET_KEY,
            Category.CARD_NUMBER,
            Category.IBAN,
            Category.PASSWORD,
            Category.PRIVATE_KEY,
        }
    )
    in_process = True

    def __init__(self, name: str, clients: Clients) -> None:
        super().__init__(name, clients)
        self._formats = list(_formats())

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [
            [
                Finding(category, 1.0, begin, end, self.name)
                for category, begin, end in self._places(text)
                if category in context.categories
            ]
            for text in texts
        ]

    def _places(self, text: str) -> Iterator[tuple[Category, int, int]]:
        for match in _STATED.finditer(text):
            yield Category.PASSWORD, *match.span(1)
        if _LONG_TOKEN.search(text):
            for category, pattern in self._formats:
                for match in pattern.finditer(text):
                    rest = _REST_OF_TOKEN.match(text, match.end())
                    yield category, match.start(), rest.end() if rest else match.end()
        if "PRIVATE KEY" in text:
            for match in _PRIVATE_KEY.finditer(text):
                yield Category.PRIVATE_KEY, *match.span()
        yield from _numbers(text)


def _formats() -> Iterator[tuple[Category, re.Pattern[str]]]:
    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    for secret_type, plugin in sorted(plugins.items()):
        if secret_type in _LEFT_OUT:
            continue
        for index, pattern in enumerate(getattr(plugin, "denylist", ())):
            category = Category.API_KEY
            if secret_type == "AWS Access Key":  # noqa: S105 - a plugin's name
                category = Category.AWS_SECRET_KEY if index else Category.AWS_ACCESS_KEY
            yield category, pattern
    yield Category.API_KEY, _OPENAI


def _numbers(text: str) -> Iterator[tuple[Category, int, int]]:
    for match in _IBAN.finditer(text):
        # Words may follow in the same breath: the longest prefix that proves itself is the number.
        for part in reversed(list(_IBAN_PART.finditer(text, *match.span()))):
            if iban.is_valid(text[match.start() : part.end()].upper()):
                yield Category.IBAN, match.start(), part.end()
                break
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if _CARD_PREFIX.match(digits) and luhn.is_valid(digits) and len(set(digits)) > 1:
            yield Category.CARD_NUMBER, *match.span()
    for category, pattern, proves in _NUMBERS:
        for match in pattern.finditer(text):
            if proves(match.group()):
                yield category, *match.span()
