"""IAM's evaluation of identity policies: an explicit deny wins, then an allow, else it is denied implicitly.

Source: "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide. What this does not know (an operator, an
element) is an error: ignoring it could permit what IAM denies.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Values = Sequence[str]
Keys = Mapping[str, Values]
"""Condition keys of a request, in lower case, with their values."""

ELEMENTS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal",
}  # fmt: skip
VARIABLE = re.compile(r"\$\{([^}]*)\}")


class PolicyError(ValueError):
    """A policy has something that this evaluator does not know; the message names it and where it stands."""


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, by the name of the policy it stands in."""

    policy: str
    number: int
    effect: Literal["Allow", "Deny"]
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    sid: str = ""

    @property
    def name(self) -> str:
        return f"{self.policy}/{self.sid or self.number}"

    def covers(self, action: str) -> bool:
        """Whether the action is among the statement's."""
        if self.not_actions:
            return not any(_matches(pattern, action, fold=True) for pattern in self.not_actions)
        return any(_matches(pattern, action, fold=True) for pattern in self.actions)

    def applies(self, action: str, resource: str, keys: Keys) -> bool:
        """Whether the statement says something about this request."""
        return self.covers(action) and self._is_about(resource, keys) and self._holds(keys)

    def _is_about(self, resource: str, keys: Keys) -> bool:
        if self.not_resources:
            # A pattern with a variable that the request does not have matches nothing.
            return not any(_matches_arn(pattern, resource, keys) for pattern in self.not_resources)
        return any(_matches_arn(pattern, resource, keys) for pattern in self.resources)

    def _holds(self, keys: Keys) -> bool:
        return all(holds(operator, key, expected, keys) for operator, key, expected in self.conditions)


@dataclass(frozen=True)
class Verdict:
    """What the policies say of a request, and the statement that decided it; none for an implicit denial."""

    allowed: bool
    statement: Statement | None = None

    @property
    def reason(self) -> str:
        """As the services say it in their messages."""
        return (
            "with an explicit deny"
            if self.statement and not self.allowed
            else "because no identity-based policy allows"
        )


def evaluate(statements: Iterable[Statement], action: str, resource: str, keys: Keys) -> Verdict:
    """The verdict on one action upon one resource."""
    allow: Statement | None = None
    for statement in statements:
        if statement.applies(action, resource, keys):
            if statement.effect == "Deny":
                return Verdict(False, statement)
            allow = allow or statement
    return Verdict(allow is not None, allow)


def parse(name: str, document: Mapping[str, Any]) -> list[Statement]:
    """The statements of a policy document. Raises ``PolicyError``."""
    return [
        _statement(name, number, each) for number, each in enumerate(_many(document.get("Statement", ())))
    ]


def _statement(policy: str, number: int, given: Mapping[str, Any]) -> Statement:
    where = f"{policy}/{given.get('Sid') or number}"
    if unknown := given.keys() - ELEMENTS:
        raise PolicyError(f"{where}: {', '.join(sorted(unknown))} is not known here")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is {given.get('Effect')!r}, not Allow or Deny")
    conditions = tuple(
        (operator, key, tuple(str(value) for value in _many(expected)))
        for operator, pairs in given.get("Condition", {}).items()
        for key, expected in pairs.items()
    )
    for operator, _, _ in conditions:
        try:
            _operator(operator)
        except PolicyError as error:
            raise PolicyError(f"{where}: {error}") from None
    return Statement(
        policy=policy,
        number=number,
        effect=given["Effect"],
        actions=tuple(_many(given.get("Action", ()))),
        not_actions=tuple(_many(given.get("NotAction", ()))),
        resources=tuple(_many(given.get("Resource", ()))),
        not_resources=tuple(_many(given.get("NotResource", ()))),
        conditions=conditions,
        sid=given.get("Sid", ""),
    )


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


@functools.lru_cache(maxsize=8192)
def _pattern(pattern: str, fold: bool) -> re.Pattern[str]:
    translated = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.compile(translated, re.DOTALL | (re.IGNORECASE if fold else 0))


def _matches(pattern: str, value: str, *, fold: bool = False) -> bool:
    return _pattern(pattern, fold).fullmatch(value) is not None


def _matches_arn(pattern: str, arn: str, keys: Keys) -> bool:
    expanded = _expand(pattern, keys)
    if expanded is None:
        return False
    if arn == "*" or not expanded.startswith("arn:"):
        return _matches(expanded, arn)
    ours, theirs = expanded.split(":", 5), arn.split(":", 5)
    # A wildcard does not reach over the colons of an ARN's first five parts.
    return len(ours) == len(theirs) and all(map(_matches, ours, theirs))


def _expand(text: str, keys: Keys) -> str | None:
    """``text`` with its policy variables; None when the request does not have one of them."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match[1].partition(",")
        if name in ("*", "?", "$"):
            return name
        found = keys.get(name.strip().lower())
        if found:
            return found[0]
        missing = missing or not default
        return default.strip().strip("'")

    expanded = VARIABLE.sub(value, text)
    return None if missing else expanded


Test = Callable[[str, str], bool]
"""Whether a request's value fits an expected one."""


def _number(compare: Callable[[float, float], bool]) -> Test:
    return lambda value, expected: compare(float(value), float(expected))


def _moment(compare: Callable[[datetime, datetime], bool]) -> Test:
    return lambda value, expected: compare(_time(value), _time(expected))


def _time(text: str) -> datetime:
    if re.fullmatch(r"\d+", text):
        return datetime.fromtimestamp(int(text), UTC)
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _in_network(value: str, expected: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(expected, strict=False)


def _arn_like(value: str, expected: str) -> bool:
    ours, theirs = expected.split(":", 5), value.split(":", 5)
    return len(ours) == len(theirs) and all(map(_matches, ours, theirs))


OPERATORS: dict[str, Test] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringEqualsIgnoreCase": lambda value, expected: value.lower() == expected.lower(),
    "StringLike": lambda value, expected: _matches(expected, value),
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": lambda value, expected: value.lower() == expected.lower(),
    "IpAddress": _in_network,
    "NumericEquals": _number(lambda value, expected: value == expected),
    "NumericLessThan": _number(lambda value, expected: value < expected),
    "NumericLessThanEquals": _number(lambda value, expected: value <= expected),
    "NumericGreaterThan": _number(lambda value, expected: value > expected),
    "NumericGreaterThanEquals": _number(lambda value, expected: value >= expected),
    "DateEquals": _moment(lambda value, expected: value == expected),
    "DateLessThan": _moment(lambda value, expected: value < expected),
    "DateLessThanEquals": _moment(lambda value, expected: value <= expected),
    "DateGreaterThan": _moment(lambda value, expected: value > expected),
    "DateGreaterThanEquals": _moment(lambda value, expected: value >= expected),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


@dataclass(frozen=True)
class _Operator:
    test: Test | None  # None: Null
    negated: bool
    if_exists: bool
    each: Literal["", "ForAllValues", "ForAnyValue"]


@functools.cache
def _operator(name: str) -> _Operator:
    quantifier, colon, rest = name.rpartition(":")
    if quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise PolicyError(f"the condition operator {name} is not known here")
    bare = rest.removesuffix("IfExists")
    if bare == "Null":
        return _Operator(None, False, False, "")
    base = NEGATED.get(bare, bare)
    if base not in OPERATORS:
        raise PolicyError(f"the condition operator {name} is not known here")
    each: Any = quantifier if colon else ""
    return _Operator(OPERATORS[base], bare in NEGATED, rest != bare, each)


def holds(name: str, key: str, expected: Values, keys: Keys) -> bool:
    """Whether one condition holds: its values are alternatives, negated ones must all differ."""
    operator, found = _operator(name), keys.get(key.lower())
    if operator.test is None:
        return (expected[0].lower() == "true") == (not found)
    if not found:
        return operator.if_exists or operator.negated or operator.each == "ForAllValues"
    wanted = [text for text in (_expand(each, keys) for each in expected) if text is not None]

    def fits(value: str) -> bool:
        assert operator.test is not None  # noqa: S101 - Null was answered above
        return any(operator.test(value, each) for each in wanted) != operator.negated

    return (
        all(map(fits, found))
        if operator.each == "ForAllValues" or not operator.each
        else any(map(fits, found))
    )
