"""Show which of the demo's users may do something: ``python -m demo.who_can --help``.

Evaluates each user's request on the Cedar engine with the policy files and the facts of the demo, as a fresh
deployment would. Nothing needs to run.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy
from rich.console import Console
from rich.table import Table

from demo.accounts import load, person
from demo.seed import with_users
from fmops.agent import KNOWLEDGE, NAMESPACE
from fmops.agent.resources import Resolver
from fmops.agent.sandbox import SandboxRecords
from fmops.agent.tools import DATA_SOURCE
from fmops.authorization import Entity, EntityUid
from fmops.toolkit import knowledge

POLICIES = Path(__file__).parents[1] / "policies"


class UnknownError(LookupError):
    """An unknown action or resource; the message lists the known ones."""


@dataclass(frozen=True)
class Answer:
    """One user's decision and the policies that determined it."""

    user: str
    allowed: bool
    policies: tuple[str, ...]


def who_can(action: str, resource: str, inputs: Mapping[str, Any]) -> list[Answer]:
    """Return an answer for each user. ``inputs`` are the tool's arguments as the schema names them.

    Raises ``UnknownError`` if an action or resource does not exist, or if they do not fit each other.
    """
    data, schema = load(), (POLICIES / "schema.json").read_text()
    resolver = Resolver(
        SandboxRecords(with_users(data["records"], {name: name for name in data["users"]})), "demo"
    )
    kinds = _kinds(action, json.loads(schema)[NAMESPACE]["actions"])
    entity = _found(resource, kinds, data, resolver)
    engine, policies = cedarpy.Schema.from_json_str(schema), _policies(data, resolver)
    answers = []
    for user, profile in data["users"].items():
        who = person(user, profile)
        session = {"mfa": who.mfa, "suspended": who.suspended, "channel": "chat", "signInAge": 0}
        request = {
            "principal": _uid(resolver.user(user)),
            "action": _uid(resolver.uid("Action", action)),
            "resource": _uid(entity.uid),
            "context": {"session": session} | ({"input": dict(inputs)} if inputs else {}),
        }
        principal = Entity(
            resolver.user(user),
            {f"custom:{name}": value for name, value in who.attributes.items()},
            [resolver.uid("Group", group) for group in who.groups],
        )
        result = cedarpy.is_authorized(request, policies, [_cedar(principal), _cedar(entity)], schema=engine)
        if result.diagnostics.errors:
            raise UnknownError(
                f"The request does not fit the schema: {result.diagnostics.errors[0]}."
                ' Give the inputs of the action, such as INPUT="amount=400000".'
            )
        names = result.diagnostics.id_annotations_by_reason
        deciding = sorted(str(names.get(each) or each) for each in result.diagnostics.reasons)
        answers.append(Answer(user, result.decision is cedarpy.Decision.Allow, tuple(deciding)))
    return answers


def table(action: str, resource: str, answers: list[Answer]) -> Table:
    """Return a table of the users with their groups, the decision, and the reason."""
    found = Table(title=f"Who can {action} on {resource}")
    for column in ("who", "groups", "decision", "policies"):
        found.add_column(column, overflow="fold")
    users = load()["users"]
    for answer in answers:
        decision = "[green]ALLOW[/]" if answer.allowed else "[red]DENY[/]"
        because = ", ".join(answer.policies) or "no permit"
        found.add_row(answer.user, ", ".join(users[answer.user]["groups"]), decision, because)
    return found


def _policies(data: Mapping[str, Any], resolver: Resolver) -> cedarpy.PolicySet:
    """Return the policy files, with the demo's grants linked to their templates."""
    files = [*sorted(POLICIES.glob("*.cedar")), *sorted((POLICIES / "templates").glob("*.cedar"))]
    policies = cedarpy.PolicySet.from_str("\n".join(path.read_text() for path in files))
    for grant in data["grants"]:
        granted = resolver.uid(grant["kind"], grant["id"])
        slots = {"?principal": _uid(resolver.user(grant["user"])), "?resource": _uid(granted)}
        name = f"{grant['template']}-{grant['user']}-{granted.id}"
        policies = policies.with_linked(grant["template"], name, slots)
    return policies


def _kinds(action: str, actions: Mapping[str, Any]) -> list[str]:
    """Return the kinds of resources that an action is about, according to the schema."""
    takes = {
        name: declared["appliesTo"]["resourceTypes"]
        for name, declared in actions.items()
        if declared.get("appliesTo")
    }
    if action not in takes:
        close = difflib.get_close_matches(action, takes, 1) or sorted(takes)
        raise UnknownError(f"ACTION={action} is not in the schema: use {' or '.join(close)}.")
    return [each.removeprefix(f"{NAMESPACE}::") for each in takes[action]]


def _found(name: str, kinds: Sequence[str], data: Mapping[str, Any], resolver: Resolver) -> Entity:
    """Return the demo's resource with that name, if it is of one of the kinds."""
    entities = resolver.documents(knowledge.load(KNOWLEDGE))
    documents = {entity.uid.id: entity for entity in entities}
    single = {
        "review": "ReviewQueue",
        "prompts": "PromptRegistry",
        "traces": "TraceStore",
        DATA_SOURCE: "KnowledgeBase",
    }
    known = {
        **{
            key: "".join(map(str.capitalize, kind.split("_")))
            for kind, of_kind in data["records"].items()
            for key in of_kind
        },
        **single,
        **dict.fromkeys(documents, "Document"),
    }
    if name not in known:
        fitting = [each for each, kind in known.items() if kind in kinds]
        raise UnknownError(f"RESOURCE={name} is not in the demo: use one of {', '.join(fitting)}.")
    if known[name] not in kinds:
        wanted, kind = " or ".join(f"{NAMESPACE}::{each}" for each in kinds), f"{NAMESPACE}::{known[name]}"
        raise UnknownError(f"This ACTION is about a {wanted}, and RESOURCE is a {kind}.")
    if name in documents:
        return documents[name]
    return Entity(resolver.uid(known[name], name)) if name in single else resolver.resource(known[name], name)


def _cedar(entity: Entity) -> dict[str, Any]:
    """Return an entity in Cedar's JSON form."""
    attributes = {
        name: {"__entity": _uid(value)} if isinstance(value, EntityUid) else value
        for name, value in entity.attributes.items()
    }
    return {"uid": _uid(entity.uid), "attrs": attributes, "parents": [_uid(each) for each in entity.parents]}


def _uid(of: EntityUid) -> dict[str, str]:
    return {"type": of.type, "id": of.id}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.who_can", description=__doc__)
    parser.add_argument("--action", required=True, help="a tool, as the Cedar schema names it")
    parser.add_argument(
        "--resource", required=True, help="a record of the demo, the knowledge base, or a document of it"
    )
    parser.add_argument(
        "--input",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="inputs of the action, as the schema names them",
    )
    arguments = parser.parse_args()
    # Inputs may come as one word or as many: a value may contain spaces, since the next name ends it.
    pairs = (pair.partition("=") for each in arguments.input for pair in re.split(r"\s+(?=\w+=)", each))
    given = {name: int(value) if value.lstrip("-").isdigit() else value for name, _, value in pairs}
    try:
        answers = who_can(arguments.action, arguments.resource, given)
    except UnknownError as error:
        print(error, file=sys.stderr)
        return 2
    Console().print(table(arguments.action, arguments.resource, answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
