"""The condition operators of IAM's policies.

Source: "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued context keys" of the IAM
user guide.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from local.aws.iam.patterns import (
    ARN_PARTS,
    Keys,
    Part,
    Values,
    expand,
    matches,
    matches_parts,
    plain,
    split_arn,
)

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


class PolicyError(ValueError):
    """A policy has something that this evaluator does not know; the message names it and where it stands."""


class MalformedError(ValueError):
    """A value is none that its operator can compare: the condition is neither true nor false."""


class UnresolvedError(ValueError):
    """A value has a variable that the request does not have: the condition does not hold, negated or not."""


Test = Callable[[str, str, Keys, bool], bool]
"""Whether a request's value fits an expected one, with the request's keys, and whether the policy knows
variables.
"""


def _text(compare: Callable[[str, str], bool]) -> Test:
    def test(value: str, expected: str, keys: Keys, variables: bool) -> bool:
        return compare(value, plain(_resolved(expected, keys, variables)))

    return test


def _resolved(text: str, keys: Keys, variables: bool) -> tuple[Part, ...]:
    expanded = expand(text, keys, variables=variables)
    if expanded is None:
        raise UnresolvedError(text)
    return expanded


def _like(value: str, expected: str, keys: Keys, variables: bool) -> bool:
    return matches(_resolved(expected, keys, variables), value)


def _arn_like(value: str, expected: str, keys: Keys, variables: bool) -> bool:
    ours, theirs = split_arn(expected), value.split(":", ARN_PARTS - 1)
    if any(len(each) != ARN_PARTS or each[0] != "arn" for each in (ours, theirs)):
        raise MalformedError(f"{expected} or {value} is no whole ARN")
    result = matches_parts(ours, theirs, keys, variables=variables)
    if result is None:
        raise UnresolvedError(expected)
    return result


def _of(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Test:
    """Compare what is read from both; these operators know no variables."""

    def test(value: str, expected: str, keys: Keys, variables: bool) -> bool:  # noqa: ARG001 - as the others
        try:
            return compare(read(value), read(expected))
        except (ValueError, OverflowError, OSError, TypeError) as error:
            raise MalformedError(f"{expected} or {value} cannot be compared") from error

    return test


def _number(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _moment(text: str) -> datetime:
    if re.fullmatch(r"\d+", text):
        return datetime.fromtimestamp(int(text), UTC)
    parsed = datetime.fromisoformat(f"{text}-01" if re.fullmatch(r"\d{4}-\d\d", text) else text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _truth(value: str, expected: str, keys: Keys, variables: bool) -> bool:
    texts = (value.lower(), plain(_resolved(expected, keys, variables)).lower())
    if not {*texts} <= {"true", "false"}:
        raise MalformedError(f"{expected} or {value} is neither true nor false")
    return texts[0] == texts[1]


def _in_network(value: str, expected: str, keys: Keys, variables: bool) -> bool:  # noqa: ARG001 - as the others
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(expected, strict=False)
    except ValueError as error:
        raise MalformedError(f"{expected} or {value} is no address") from error


def _same_bytes(value: str, expected: str, keys: Keys, variables: bool) -> bool:  # noqa: ARG001 - as the others
    """The policy has base64; a request's value is text here, and may be base64 of what is no text."""
    try:
        wanted = base64.b64decode(expected, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"{expected} is not base64") from error
    return value == expected or value.encode() == wanted


OPERATORS: dict[str, Test] = {
    "StringEquals": _text(lambda value, expected: value == expected),
    "StringEqualsIgnoreCase": _text(lambda value, expected: value.lower() == expected.lower()),
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _truth,
    "BinaryEquals": _same_bytes,
    "IpAddress": _in_network,
    "NumericEquals": _of(_number, lambda value, expected: value == expected),
    "NumericLessThan": _of(_number, lambda value, expected: value < expected),
    "NumericLessThanEquals": _of(_number, lambda value, expected: value <= expected),
    "NumericGreaterThan": _of(_number, lambda value, expected: value > expected),
    "NumericGreaterThanEquals": _of(_number, lambda value, expected: value >= expected),
    "DateEquals": _of(_moment, lambda value, expected: value == expected),
    "DateLessThan": _of(_moment, lambda value, expected: value < expected),
    "DateLessThanEquals": _of(_moment, lambda value, expected: value <= expected),
    "DateGreaterThan": _of(_moment, lambda value, expected: value > expected),
    "DateGreaterThanEquals": _of(_moment, lambda value, expected: value >= expected),
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
class Operator:
    """A condition operator, taken apart."""

    test: Test | None  # None: Null
    negated: bool
    if_exists: bool
    each: Literal["", "ForAllValues", "ForAnyValue"]


@functools.cache
def operator(name: str) -> Operator:
    """The operator of this name. Raises ``PolicyError`` when there is none."""
    quantifier, colon, rest = name.rpartition(":")
    bare = rest.removesuffix("IfExists")
    if quantifier not in ("", "ForAllValues", "ForAnyValue") or (colon and not quantifier):
        raise PolicyError(f"the condition operator {name} is not known here")
    if rest == "Null":
        return Operator(None, False, False, "")
    base = NEGATED.get(bare, bare)
    if base not in OPERATORS:
        raise PolicyError(f"the condition operator {name} is not known here")
    each: Any = quantifier
    return Operator(OPERATORS[base], bare in NEGATED, rest != bare, each)


def outcome(name: str, key: str, expected: Values, keys: Keys, *, variables: bool = True) -> bool | None:
    """Whether one condition holds, None when malformed values leave it open.

    Its values are alternatives; of a negated operator's, none may fit.
    """
    found, how = keys.get(key.lower()), operator(name)
    if how.test is None:
        return _is_null(expected, found)
    if how.each:
        # An empty text is no value to the operators on sets.
        found = [each for each in found or () if each]
    if not found:
        if how.if_exists or how.each == "ForAllValues":
            return True
        return how.negated and how.each != "ForAnyValue"
    results = [_fits(how, value, expected, keys, variables) for value in found]
    wanted = how.each != "ForAnyValue"
    # One value decides: the first that does not fit all, or the first that fits any.
    if (not wanted) in results:
        return not wanted
    return None if None in results else wanted


def holds(name: str, key: str, expected: Values, keys: Keys) -> bool:
    """Whether one condition holds; it does not when its values are malformed."""
    return outcome(name, key, expected, keys) is True


def _is_null(expected: Values, found: Values | None) -> bool | None:
    wanted = {each.lower() for each in expected}
    if not wanted or not wanted <= {"true", "false"}:
        return None
    return ("false" if found else "true") in wanted


def _fits(how: Operator, value: str, expected: Values, keys: Keys, variables: bool) -> bool | None:
    assert how.test is not None  # noqa: S101 - Null was answered before
    malformed = unresolved = False
    for each in expected:
        try:
            if how.test(value, each, keys, variables):
                return not how.negated
        except MalformedError:
            malformed = True
        except UnresolvedError:
            unresolved = True
    if unresolved:
        return False
    return None if malformed else how.negated
