"""IAM's evaluation of identity policies: an explicit deny wins, then an allow, else it is denied implicitly.

Source: "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide. What this does not know (an
operator, an
element) is an error: ignoring it could permit what IAM denies. What is malformed denies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local.aws.iam.conditions import PolicyError, holds, operator, outcome
from local.aws.iam.patterns import Keys, Values, matches, matches_arn

__all__ = ["Keys", "PolicyError", "Statement", "Values", "Verdict", "evaluate", "holds", "parse"]

ELEMENTS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal",
}  # fmt: skip
VERSIONS = ("2008-10-17", "2012-10-17")


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
    variables: bool = True

    @property
    def name(self) -> str:
        return f"{self.policy}/{self.sid or self.number}"

    def covers(self, action: str) -> bool:
        """Whether the action is among the statement's."""
        if self.not_actions:
            return not any(matches(pattern, action, fold=True) for pattern in self.not_actions)
        return any(matches(pattern, action, fold=True) for pattern in self.actions)

    def applies(self, action: str, resource: str, keys: Keys) -> bool:
        """Whether the statement says something about this request."""
        return self.covers(action) and self._is_about(resource, keys) and self._holds(keys)

    def _is_about(self, resource: str, keys: Keys) -> bool:
        # A pattern with a variable that the request does not have matches nothing.
        named = any(
            matches_arn(pattern, resource, keys, variables=self.variables)
            for pattern in self.not_resources or self.resources
        )
        return named != bool(self.not_resources)

    def _holds(self, keys: Keys) -> bool:
        """Whether the conditions hold. What malformed values leave open is taken for whatever denies."""
        results = [
            outcome(name, key, expected, keys, variables=self.variables)
            for name, key, expected in self.conditions
        ]
        return all(result if result is not None else self.effect == "Deny" for result in results)


@dataclass(frozen=True)
class Verdict:
    """Decision of the policies about a request, and the statement that decided it; none for an implicit denial."""

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
    """The statements of a policy document; one without a version is taken for the current one. Raises
    ``PolicyError``.
    """
    version = document.get("Version", VERSIONS[-1])
    if version not in VERSIONS:
        raise PolicyError(f"{name}: the version is {version!r}, not {' or '.join(VERSIONS)}")
    return [
        _statement(name, number, each, variables=version == VERSIONS[-1])
        for number, each in enumerate(_many(document.get("Statement", ())))
    ]


def _statement(policy: str, number: int, given: Mapping[str, Any], *, variables: bool) -> Statement:
    where = f"{policy}/{given.get('Sid') or number}"
    if unknown := given.keys() - ELEMENTS:
        raise PolicyError(f"{where}: {', '.join(sorted(unknown))} is not known here")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is {given.get('Effect')!r}, not Allow or Deny")
    for pair in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        if given.keys() >= {*pair}:
            raise PolicyError(f"{where}: {' and '.join(pair)} exclude each other")
    conditions = tuple(
        (name, key, tuple(_value(value) for value in _many(expected)))
        for name, pairs in given.get("Condition", {}).items()
        for key, expected in pairs.items()
    )
    for name, _, _ in conditions:
        try:
            operator(name)
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
        variables=variables,
    )


def _value(value: Any) -> str:
    """A condition's value as text: JSON's booleans and numbers as JSON writes them."""
    return value if isinstance(value, str) else json.dumps(value)


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
