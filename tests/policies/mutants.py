"""Wrong versions of the policies: each differs from the correct one in one place, as if its author had
slipped.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cedarpy

Json = dict[str, Any]

COMPARISONS = {
    "==": ("!=",),
    "!=": ("==",),
    "<=": ("<", ">=", ">"),
    "<": ("<=",),
    ">": (">=", "<"),
    ">=": (">",),
}
GROUPS = (
    "customers",
    "adjusters",
    "supervisors",
    "handlers",
    "siu",
    "auditors",
    "staff",
    "reviewers",
    "prompt-engineers",
    "operators",
)


@dataclass(frozen=True)
class Mutant:
    """A policy's text with one thing wrong; empty when the policy is gone."""

    policy: str
    change: str
    text: str


def mutants(name: str, text: str) -> Iterator[Mutant]:
    """Yield every mutant of a policy or template."""
    yield Mutant(name, "policy deleted", "")
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    kind = "templates" if parsed["templates"] else "staticPolicies"
    (policy,) = parsed[kind].values()
    for change, other in [*_effects(policy), *_scopes(policy), *_conditions(policy)]:
        whole = {"staticPolicies": {}, "templates": {}, "templateLinks": []} | {kind: {"policy0": other}}
        yield Mutant(name, change, cedarpy.policies_from_json_str(json.dumps(whole)))


def _effects(policy: Json) -> Iterator[tuple[str, Json]]:
    effect = "forbid" if policy["effect"] == "permit" else "permit"
    yield f"effect becomes {effect}", {**policy, "effect": effect}


def _scopes(policy: Json) -> Iterator[tuple[str, Json]]:
    everything = {"op": "All"}
    for part in ("principal", "action", "resource"):
        if policy[part]["op"] != "All":
            yield f"{part} becomes any", {**policy, part: everything}
    principal = policy["principal"]
    if principal["op"] == "in" and "entity" in principal:
        for group in GROUPS:
            if group != principal["entity"]["id"]:
                entity = {**principal["entity"], "id": group}
                yield f"principal becomes {group}", {**policy, "principal": {"op": "in", "entity": entity}}
    action = policy["action"]
    for index, entity in enumerate(action.get("entities", ())):
        rest = [*action["entities"][:index], *action["entities"][index + 1 :]]
        yield f"action without {entity['id']}", {**policy, "action": {"op": "in", "entities": rest}}
    if action["op"] == "in" and "entity" in action:
        for group in ("CallTool", "MoveMoney"):
            if group != action["entity"]["id"]:
                entity = {**action["entity"], "id": group}
                yield f"action becomes {group}", {**policy, "action": {"op": "in", "entity": entity}}


def _conditions(policy: Json) -> Iterator[tuple[str, Json]]:
    for index, condition in enumerate(policy["conditions"]):
        others = [*policy["conditions"][:index], *policy["conditions"][index + 1 :]]
        yield f"{condition['kind']} dropped", {**policy, "conditions": others}
        kind = "unless" if condition["kind"] == "when" else "when"
        yield f"{condition['kind']} becomes {kind}", _with(policy, index, {**condition, "kind": kind})
        for change, body in _expressions(condition["body"]):
            yield change, _with(policy, index, {**condition, "body": body})


def _with(policy: Json, index: int, condition: Json) -> Json:
    conditions = copy.copy(policy["conditions"])
    conditions[index] = condition
    return {**policy, "conditions": conditions}


def _expressions(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield the expression with one node changed, at any depth."""
    ((operator, content),) = body.items()
    yield from _here(operator, content)
    if isinstance(content, dict):
        for key, part in content.items():
            if isinstance(part, dict) and len(part) == 1 and key != "attr":
                for change, inner in _expressions(part):
                    yield change, {operator: {**content, key: inner}}
    elif operator == "Set":
        for index in range(len(content)):
            rest = [*content[:index], *content[index + 1 :]]
            yield f"set without {json.dumps(content[index])}", {operator: rest}


def _here(operator: str, content: Any) -> Iterator[tuple[str, Json]]:
    shown = json.dumps({operator: content})[:120]
    match operator:
        case "&&" | "||":
            other = "||" if operator == "&&" else "&&"
            yield f"left of {operator} dropped: {shown}", content["right"]
            yield f"right of {operator} dropped: {shown}", content["left"]
            yield f"{operator} becomes {other}: {shown}", {other: content}
        case "if-then-else":
            yield "if becomes its then", content["then"]
            yield "if becomes its else", content["else"]
            yield (
                "then and else swapped",
                {operator: {**content, "then": content["else"], "else": content["then"]}},
            )
        case "!":
            yield f"negation dropped: {shown}", content["arg"]
        case "Value" if isinstance(content, bool):
            yield f"{content} becomes {not content}", {"Value": not content}
        case "Value" if isinstance(content, int):
            for step in (-1, 1):
                yield f"{content} becomes {content + step}", {"Value": content + step}
        case "Value" if isinstance(content, str):
            yield f"{content} becomes other", {"Value": f"{content}-other"}
        case "." if content["attr"] in ("siuHold", "mfa", "suspended"):
            yield f"{content['attr']} negated", {"!": {"arg": {operator: content}}}
        case _ if operator in COMPARISONS:
            for other in COMPARISONS[operator]:
                yield f"{operator} becomes {other}: {shown}", {other: content}
