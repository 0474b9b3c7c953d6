"""Secrets and identifiers that prove themselves: known key formats, check digits. Needs no network.

Key formats are detect-secrets', check digits are python-stdnum's. Every pattern here examines each character a
fixed number of times, whatever the text; where one of detect-secrets' own patterns does not, a bounded one
replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from typing_extensions import override

from fmops.guardrails.categories import Category
from fmops.guardrails.detectors.base import Context, Detector
from fmops.guardrails.detectors.numbers import Place, numbers
from fmops.guardrails.text import fold
from fmops.guardrails.types import Finding

_LEFT_OUT = frozenset({"Artifactory Credentials", "Public IP (ipv4)", "Private Key", "Twilio API Key"})
"""Plugins for source code whose patterns match words, addresses or any hash in a conversation."""

_REPLACED = frozenset(
    {"Cloudant Credentials", "IBM COS HMAC Credentials", "IBM Cloud IAM Key", "JSON Web Token", "Mailchimp Access Key",
     "NPM tokens", "OpenAI Token", "SoftLayer Credentials"}
)  # fmt: skip
"""Plugins whose patterns take more than linear time on some text; ``_OWN`` and ``_assigned`` find the same."""

_OWN = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))sk-[A-Za-z0-9_-]{20,}+",
        r"-us(?<=[0-9a-z]{32}-us)[0-9]{1,2}",
        r"npm_[A-Za-z0-9]{36}",
        r":_authToken=\s{0,4}[A-Fa-f0-9-]{36}",
        r"://[\w-]{1,64}+:(?:[0-9a-f]{64}|[a-z]{24})@[\w-]{1,64}+\.cloudant\.com",
        r"api\.softlayer\.com/soap/v3(?:\.1)?/[a-z0-9]{64}",
        r"github_pat_[A-Za-z0-9_]{22,}+",
        r"AIza[A-Za-z0-9_-]{35}",
        r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
        r"(?:hf|xapp|whsec|sk_test|rk_test)[_-](?=[A-Za-z0-9-]{0,40}[0-9])[A-Za-z0-9-]{24,}+",
    )
)
_BEFORE = {r"-us(?<=[0-9a-z]{32}-us)[0-9]{1,2}": 32}
"""Characters of a key that precede what its pattern consumes, by pattern."""

_JWT = re.compile(r"(?<![A-Za-z0-9_=-])[A-Za-z0-9_=-]{4,}+\.(?=[A-Za-z0-9_=-])")
_REST_OF_TOKEN = re.compile(r"[A-Za-z0-9_\-.=/+]*[A-Za-z0-9_\-=/+]")
_LONG_TOKEN = re.compile(r"[A-Za-z0-9_=/+.-]{16}")

_ASSIGNED_VALUE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]{44}|[0-9a-f]{48}|[a-z0-9]{64}|[a-z]{24})(?![A-Za-z0-9_-])"
)
_ASSIGNED_KEY = re.compile(
    r"(?:key|pwd|pw|password|pass|token)[\"']?\]?(?: {0,4}(?:=>|:=|::|=|:) {0,4}| {1,4})[\"']?$",
    re.IGNORECASE,
)
_VENDOR = re.compile(
    r"(?:cloudant|clou|cl|softlayer|sl|secret[-_]?(?:access)?)[_-]?(?:api)?[_-]?$", re.IGNORECASE
)
_IAM_LENGTH = 44

_QUOTED_AWS = re.compile(r"[\"'][0-9A-Za-z/+]{40}[\"']")

_KEY_BEGIN = re.compile(
    r"[-\u2010-\u2015\u2212]{2,5} ?BEGIN (?:[A-Z0-9]{1,12} ){0,4}?PRIVATE KEY(?: BLOCK)? ?[-\u2010-\u2015\u2212]{1,5}"
    r"|PuTTY-User-Key-File-[0-9]:"
)
_KEY_END = re.compile(
    r"[-\u2010-\u2015\u2212]{2,5} ?END [A-Z0-9 ]{1,60}+[-\u2010-\u2015\u2212]{1,5}|Private-MAC: ?[0-9A-Fa-f]{1,128}"
)

_SUBJECT = (
    r"pass ?words?|passwd|pass ?code|pwd|pass ?phrase|passwort|kennwort|wachtwoord|contrase\xf1a|mot de passe|senha"
    r"|has\u0142o|\u043f\u0430\u0440\u043e\u043b\u044c|\u5bc6\u7801|\u5bc6\u78bc|\u53e3\u4ee4"
    r"|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638|\uc554\ud638"
    r"|\u0e23\u0e2b\u0e31\u0e2a\u0e1c\u0e48\u0e32\u0e19"
    r"|\u0643\u0644\u0645\u0629 (?:\u0627\u0644\u0633\u0631|\u0627\u0644\u0645\u0631\u0648\u0631)"
    r"|\u05e1\u05d9\u05e1\u05de\u05d4"
    r"|\u092a\u093e\u0938\u0935\u0930\u094d\u0921"
    r"|secret(?:[ _-]?(?:access[ _-]?)?key)?|api[ _-]?key|(?:access|auth|bearer|refresh)[ _-]?(?:key|token)"
)
_STATED = re.compile(
    rf"(?<![A-Za-z])(?:{_SUBJECT})(?![A-Za-z])[\\\"'`*_\])]{{0,4}}"
    r"(?P<said>\s{1,8}(?:is|was|ist|lautet|es|est|\xe9|\u2014)(?=[\s:])|\s{0,4}(?:\u662f|\u4e3a|\u70ba|\u306f|\uc740|\ub294))?+"
    r"(?P<set>[\s*_]{0,8}+(?:=>|->|\u2192|:=|[:=|\u2236\ufe55\ufe13\uff1a\uff1d]){1,2}+)?+"
    r"[\s*_\\]{0,8}+(?P<quote>[\"'`\u201c\u201e\u2018\xab\u300c\u300e])?+"
)
_VALUE = re.compile(
    r"[^\s\u3001\u3002\u300a-\u3011\uff01\uff0c\uff1b\uff1f\u201d\u2019\xbb\u060c\u061b\u061f\u06d4\u0964"
    r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+"
)
_WORD = re.compile(r"\S+")
_CLOSING = {
    '"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019", "\xab": "\xbb",
    "\u300c": "\u300d", "\u300e": "\u300f",
}  # fmt: skip
_LONGEST_QUOTED = 64
_TELLING = re.compile(r"[\d!@#$%^&*]")
_LEAST_VALUE = 6


class Secrets(Detector):
    """Key formats, stated passwords, private keys; card numbers (Luhn), IBAN (mod 97), US SSN and ITIN.

    Other national numbers, whose single check digit fits every tenth number of their length, are left to models
    that read context.
    """

    categories = frozenset(
        {
            Category.API_KEY,
            Category.AWS_ACCESS_KEY,
            Category.AWS_SECRET_KEY,
            Category.CARD_NUMBER,
            Category.IBAN,
            Category.PASSWORD,
            Category.PRIVATE_KEY,
            Category.US_ITIN,
            Category.US_SSN,
        }
    )
    in_process = True

    @override
    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [
            [finding for finding in find(text, self.name) if finding.category in context.categories]
            for text in texts
        ]


def find(text: str, detector: str = "secrets") -> list[Finding]:
    """Return every secret and identifier in ``text``, folded or not."""
    folded = fold(text)
    return [
        folded.unfold(Finding(category, 1.0, begin, end, detector))
        for category, begin, end in _places(folded.text)
    ]


def opened(text: str) -> list[tuple[int, int]]:
    """Return the spans of ``text`` that must be seen as a whole, including words that announce a password."""
    folded = fold(text)
    spans = []
    for category, begin, end in _places(folded.text, announced=True):
        finding = folded.unfold(Finding(category, 1.0, begin, end))
        spans.append((finding.begin, finding.end))
    return spans


def announces(text: str) -> bool:
    """Return whether a password may follow."""
    return any(match["set"] or match["said"] for match in _STATED.finditer(fold(text).text.lower()))


def _places(text: str, *, announced: bool = False) -> Iterator[Place]:
    yield from _stated(text, announced=announced)
    if _LONG_TOKEN.search(text):
        for category, pattern in _formats():
            yield from _tokens(text, category, pattern)
        yield from _web_tokens(text)
        yield from _assigned(text)
    yield from _private_keys(text)
    yield from numbers(text)


@cache
def _formats() -> Sequence[tuple[Category, re.Pattern[str]]]:
    """Return the patterns of single tokens. Letters of other scripts do not belong to a token."""
    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    formats = []
    for secret_type, plugin in sorted(plugins.items()):
        if secret_type in _LEFT_OUT | _REPLACED:
            continue
        category = Category.AWS_ACCESS_KEY if secret_type == "AWS Access Key" else Category.API_KEY  # noqa: S105
        for index, pattern in enumerate(getattr(plugin, "denylist", ())):
            if index and category is Category.AWS_ACCESS_KEY:
                continue  # examines too much before each quote: ``_assigned`` applies it to a part
            flags = pattern.flags & ~re.UNICODE | re.ASCII
            formats.append((category, re.compile(pattern.pattern, flags)))
    return (*formats, *((Category.API_KEY, pattern) for pattern in _OWN))


@cache
def _aws_secret() -> re.Pattern[str]:
    plugin: Any = get_mapping_from_secret_type_to_class()["AWS Access Key"]
    pattern: re.Pattern[str] = list(plugin.denylist)[1]
    return pattern


def _tokens(text: str, category: Category, pattern: re.Pattern[str]) -> Iterator[Place]:
    """Yield matches, extended to the end of their token; the next match is searched for only behind it."""
    before = _BEFORE.get(pattern.pattern, 0)
    position = 0
    while match := pattern.search(text, position):
        rest = _REST_OF_TOKEN.match(text, match.end())
        position = rest.end() if rest else match.end()
        yield category, match.start() - before, position


def _web_tokens(text: str) -> Iterator[Place]:
    position = 0
    while match := _JWT.search(text, position):
        begin = text.find("eyJ", match.start(), match.end())
        position = match.end()
        if begin >= 0 and (rest := _REST_OF_TOKEN.match(text, position)):
            position = rest.end()
            yield Category.API_KEY, begin, position


def _assigned(text: str) -> Iterator[Place]:
    """Yield values with the length of certain vendors' keys, if the text before says that they are one."""
    for match in _ASSIGNED_VALUE.finditer(text):
        before = text[max(0, match.start() - 48) : match.start()]
        if (key := _ASSIGNED_KEY.search(before)) and (
            len(match[0]) == _IAM_LENGTH or _VENDOR.search(before[: key.start()])
        ):
            yield Category.API_KEY, *match.span()
    for match in _QUOTED_AWS.finditer(text):
        if _aws_secret().search(text, max(0, match.start() - 56), match.end()):
            yield Category.AWS_SECRET_KEY, match.start() + 1, match.end() - 1


def _private_keys(text: str) -> Iterator[Place]:
    """Yield each private key from its first line to its last, or to the end of the text if it has none."""
    position = 0
    while match := _KEY_BEGIN.search(text, position):
        last = _KEY_END.search(text, match.end())
        position = last.end() if last else len(text)
        yield Category.PRIVATE_KEY, match.start(), position


def _stated(text: str, *, announced: bool) -> Iterator[Place]:
    """Yield stated passwords: a word that no sentence would hold in that place, or a text in quotes."""
    position = 0
    folded = text.lower()
    searched = folded if len(folded) == len(text) else text
    while match := _STATED.search(searched, position):
        position = match.end()
        if not (match["set"] or match["said"]) or not _TELLING.search(
            text, position, position + _LONGEST_QUOTED
        ):
            continue
        begin, end = _value(text, match.end(), match["quote"] or "")
        value = text[begin:end]
        if not match["set"]:
            value = value.rstrip("!?")
        if len(value) >= _LEAST_VALUE and _TELLING.search(value, 0, _LONGEST_QUOTED):
            yield Category.PASSWORD, match.start() if announced else begin, end
            position = end


def _value(text: str, begin: int, quote: str) -> tuple[int, int]:
    if quote:
        for closing in _CLOSING[quote]:
            end = text.find(closing, begin, begin + _LONGEST_QUOTED)
            if end >= 0 and "\n" not in text[begin:end]:
                return begin, end - (text[end - 1] == "\\")
    word = _VALUE.match(text, begin) or _WORD.match(text, begin)
    if not word:
        return begin, begin
    end = word.end()
    while end > begin and text[end - 1] in ".,;:\"'`)\\]}|*":
        end -= 1
    return begin, end
