"""Policy texts with variables and wildcards, and what they match.

Source: "IAM policy elements: Variables and tags" and "IAM ARNs" of the IAM user guide. A variable's value, and
`${*}`, `${?}` and
`${$}`, stand for their own letters: what comes from a request is never a pattern.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

Values = Sequence[str]
Keys = Mapping[str, Values]
"""Condition keys of a request, in lower case, with their values."""

VARIABLE = re.compile(r"\$\{([^}]*)\}")
COLON = re.compile(r":(?![^${}]*\})")
"""Between the parts of an ARN; a variable's name has colons too."""
ARN_PARTS = 6
WILDCARDS = {"*": ".*", "?": "."}

Part = tuple[str, bool]
"""A piece of text, and whether it is literal."""


def expand(text: str, keys: Keys, *, variables: bool = True) -> tuple[Part, ...] | None:
    """``text`` with its policy variables; None when the request does not have one of them."""
    if not variables:
        return ((text, False),)
    parts: list[Part] = []
    end = 0
    for match in VARIABLE.finditer(text):
        parts.append((text[end : match.start()], False))
        end = match.end()
        name, comma, default = match[1].partition(",")
        if name in ("*", "?", "$"):
            parts.append((name, True))
        # A key with several values is no variable.
        elif len(found := keys.get(name.strip().lower(), ())) == 1:
            parts.append((found[0], True))
        elif comma:
            parts.append((default.strip().strip("'"), True))
        else:
            return None
    return (*parts, (text[end:], False))


def plain(parts: tuple[Part, ...]) -> str:
    """The text, in which a wildcard is a letter like any other."""
    return "".join(text for text, _ in parts)


@functools.lru_cache(maxsize=8192)
def _pattern(parts: tuple[Part, ...], fold: bool) -> re.Pattern[str]:
    translated = (
        re.escape(letter) if literal else WILDCARDS.get(letter, re.escape(letter))
        for text, literal in parts
        for letter in text
    )
    return re.compile("".join(translated), re.DOTALL | (re.IGNORECASE if fold else 0))


def matches(pattern: str | tuple[Part, ...], value: str, *, fold: bool = False) -> bool:
    """Whether a value fits a pattern with wildcards."""
    parts = ((pattern, False),) if isinstance(pattern, str) else pattern
    return _pattern(parts, fold).fullmatch(value) is not None


def split_arn(text: str) -> list[str]:
    """The parts of an ARN, which may be fewer than six."""
    return COLON.split(text, ARN_PARTS - 1)


def matches_arn(pattern: str, arn: str, keys: Keys, *, variables: bool = True) -> bool:
    """Whether a resource is one that a policy names. An incomplete ARN is completed with wildcards, as IAM
    does.
    """
    if not pattern.startswith("arn:") or arn == "*":
        expanded = expand(pattern, keys, variables=variables)
        return expanded is not None and matches(expanded, arn)
    ours = split_arn(pattern)
    ours += ["*"] * (ARN_PARTS - len(ours))
    return bool(matches_parts(ours, arn.split(":", ARN_PARTS - 1), keys, variables=variables))


def matches_parts(ours: list[str], theirs: list[str], keys: Keys, *, variables: bool = True) -> bool | None:
    """Whether the parts of two ARNs fit each other; None when the request does not have a variable of ours.

    A wildcard does not reach over the colons of an ARN's first five parts.
    """
    expanded = [expand(each, keys, variables=variables) for each in ours]
    if None in expanded:
        return None
    return len(ours) == len(theirs) and all(
        part is not None and matches(part, value) for part, value in zip(expanded, theirs, strict=True)
    )
