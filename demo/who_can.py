"""Who of the demo's users may do something: ``python -m demo.who_can --action get_claim --resource C-1001``.

Evaluates each user's request on the Cedar engine with the policy files and the facts of the demo: what a fresh
deployment would decide. Nothing needs to run.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy
from rich.console import Console
from rich.table import Table

from demo.accounts import load
from fmops.assistant import knowledge

POLICIES = Path(__file__).parents[1] / "policies"
NAMESPACE = "ClaimsDesk"


class UnknownError(LookupError):
    """An action or resource that is not there; the message says which there are."""


@dataclass(frozen=True)
class Answer:
    """One user's decision and the policies that made it."""

    user: str
    allowed: bool
    policies: tuple[str, ...]


def who_can(action: str, resource: str, inputs: Mapping[str, Any]) -> list[Answer]:
    """An answer for each user. ``inputs`` are the tool's arguments as the schema names them, money in minor units.

    Raises ``UnknownError`` for an action or resource that is not there or does not fit the other.
    """
    data, schema = load(), (POLICIES / "schema.json").read_text()
    entity = _resource(resource, data)
    _check(action, entity["uid"]["type"], json.loads(schema)[NAMESPACE]["actions"])
    engine = cedarpy.Schema.from_json_str(schema)
    policies = _policies(data)
    answers = []
    for user, profile in data["users"].items():
        session = {
            "mfa": profile.get("mfa", False),
            "suspended": profile.get("suspended", False),
            "channel": "chat",
            "signInAge": 0,
        }
        request = {
            "principal": _uid("User", user),
            "action": _uid("Action", action),
            "resource": entity["uid"],
            "context": {"session": session} | ({"input": dict(inputs)} if inputs else {}),
        }
        result = cedarpy.is_authorized(request, policies, [_principal(user, profile), entity], schema=engine)
        if result.diagnostics.errors:
            raise UnknownError(
                f"The request does not fit the schema: {result.diagnostics.errors[0]}."
                " Give what the action takes with AMOUNT=… (minor units) or PURPOSE=…"
            )
        names = result.diagnostics.id_annotations_by_reason
        deciding = sorted(str(names.get(each) or each) for each in result.diagnostics.reasons)
        answers.append(Answer(user, result.decision is cedarpy.Decision.Allow, tuple(deciding)))
    return answers


def table(action: str, resource: str, answers: list[Answer]) -> Table:
    """Users with their groups, the decision, and why."""
    found = Table(title=f"Who can {action} on {resource}")
    for column in ("who", "groups", "decision", "policies"):
        found.add_column(column, overflow="fold")
    users = load()["users"]
    for answer in answers:
        decision = "[green]ALLOW[/]" if answer.allowed else "[red]DENY[/]"
        because = ", ".join(answer.policies) or "no permit"
        found.add_row(answer.user, ", ".join(users[answer.user]["groups"]), decision, because)
    return found


def _policies(data: Mapping[str, Any]) -> cedarpy.PolicySet:
    """The policy files, with the demo's grants linked to their templates."""
    files = [*sorted(POLICIES.glob("*.cedar")), *sorted((POLICIES / "templates").glob("*.cedar"))]
    policies = cedarpy.PolicySet.from_str("\n".join(path.read_text() for path in files))
    for grant in data["grants"]:
        slots = {"?principal": _uid("User", grant["user"]), "?resource": _uid("Claim", grant["claim"])}
        name = f"{grant['template']}-{grant['user']}-{grant['claim']}"
        policies = policies.with_linked(grant["template"], name, slots)
    return policies


def _principal(user: str, profile: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {f"custom:{name}": profile[name] for name in ("region", "department") if name in profile}
    parents = [_uid("Group", group) for group in profile["groups"]]
    return {"uid": _uid("User", user), "attrs": attributes, "parents": parents}


def _resource(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    if name in data["claims"]:
        claim = data["claims"][name]
        attributes = {
            "policyholder": {"__entity": _uid("Customer", claim["policyholder"])},
            "claimantUser": {"__entity": _uid("User", claim["claimant"])},
            "region": claim["region"],
            "status": claim["status"],
            "openAmount": claim["open_amount"],
            "siuHold": claim.get("siu_hold", False),
        }
        return {"uid": _uid("Claim", name), "attrs": attributes, "parents": []}
    if name in data["customers"]:
        region = {"region": data["customers"][name]["region"]}
        return {"uid": _uid("Customer", name), "attrs": region, "parents": []}
    if name == "policy-documents":
        return {"uid": _uid("KnowledgeBase", name), "attrs": {}, "parents": []}
    if name == "review":
        return {"uid": _uid("ReviewQueue", name), "attrs": {}, "parents": []}
    if name == "prompts":
        return {"uid": _uid("PromptRegistry", name), "attrs": {}, "parents": []}
    documents = {document.id: document for document in knowledge.load()}
    if document := documents.get(name):
        regional = {"region": document.region} if document.region else {}
        attributes = {"classification": document.classification, **regional}
        return {"uid": _uid("Document", name), "attrs": attributes, "parents": []}
    known = [*data["claims"], *data["customers"], "policy-documents", "review", "prompts", *documents]
    raise UnknownError(f"RESOURCE={name} is not in the demo: use one of {', '.join(known)}.")


def _check(action: str, kind: str, actions: Mapping[str, Any]) -> None:
    takes = {
        name: declared["appliesTo"]["resourceTypes"]
        for name, declared in actions.items()
        if declared.get("appliesTo")
    }
    if action not in takes:
        close = difflib.get_close_matches(action, takes, 1) or sorted(takes)
        raise UnknownError(f"ACTION={action} is not in the schema: use {' or '.join(close)}.")
    if kind.removeprefix(f"{NAMESPACE}::") not in {
        each.removeprefix(f"{NAMESPACE}::") for each in takes[action]
    }:
        raise UnknownError(
            f"ACTION={action} is about a {' or '.join(takes[action])}, and RESOURCE is a {kind}."
        )


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": f"{NAMESPACE}::{kind}", "id": name}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.who_can", description=__doc__)
    parser.add_argument("--action", required=True, help="a tool, as the Cedar schema names it")
    parser.add_argument(
        "--resource", required=True, help="a claim, a customer, policy-documents, or a document of those"
    )
    parser.add_argument("--amount", type=int, help="of a payout, in minor units: 400000 for 4,000.00")
    parser.add_argument("--purpose", help="of seeing a customer's contact")
    arguments = parser.parse_args()
    inputs = {"amount": arguments.amount, "purpose": arguments.purpose}
    given = {name: value for name, value in inputs.items() if value is not None}
    try:
        answers = who_can(arguments.action, arguments.resource, given)
    except UnknownError as error:
        print(error, file=sys.stderr)
        return 2
    Console().print(table(arguments.action, arguments.resource, answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
