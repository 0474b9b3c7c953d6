"""The audiences that are searched for a person hold every document that the policies of their agent permit them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmops.agent import NAMESPACE
from fmops.agent.resources import Resolver
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeDocument

ROOT = Path(__file__).parents[2]
DESKS = {NAMESPACE: ROOT, "ServiceDesk": ROOT / "examples" / "service_desk"}
"""Folder of each agent: the one that serves, and the example."""
SESSION = {"mfa": True, "suspended": False, "channel": "chat", "signInAge": 60}


class Records:
    """Records in which the documents named "withdrawn" are."""

    def withdrawn(self, document_ids: list[str]) -> set[str]:
        return {each for each in document_ids if each == "withdrawn"}


class Desk:
    """An agent's resolver, with its policies and schema."""

    def __init__(self, namespace: str) -> None:
        folder = DESKS[namespace]
        self.namespace = namespace
        # The example is a copy of the agent's package, so it has no name to be imported by.
        spec = importlib.util.spec_from_file_location(namespace, folder / "fmops/agent/resources.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.resolver: Resolver = module.Resolver(Records(), "pool")
        self.resolver.namespace = namespace
        policies = "\n".join(path.read_text() for path in sorted((folder / "policies").glob("*.cedar")))
        self.policies = cedarpy.PolicySet.from_str(policies)
        self.schema = cedarpy.Schema.from_json_str((folder / "policies/schema.json").read_text())
        self.groups: list[str] = json.loads((folder / "policies/groups.json").read_text())

    def permits(self, groups: list[str], claims: Mapping[str, str], document: KnowledgeDocument) -> bool:
        (entity,) = self.resolver.documents([document])
        known = json.loads((DESKS[self.namespace] / "policies/schema.json").read_text())
        attributes = known[self.namespace]["entityTypes"]["User"]["shape"]["attributes"]
        me = {"type": f"{self.namespace}::User", "id": "me"}
        entities = [
            {
                "uid": me,
                "attrs": {name: value for name, value in claims.items() if name in attributes},
                "parents": [{"type": f"{self.namespace}::Group", "id": group} for group in groups],
            },
            {
                "uid": {"type": entity.uid.type, "id": entity.uid.id},
                "attrs": dict(entity.attributes),
                "parents": [],
            },
        ]
        request: dict[str, Any] = {
            "principal": me,
            "action": {"type": f"{self.namespace}::Action", "id": "read_document"},
            "resource": entities[1]["uid"],
            "context": {"session": SESSION},
        }
        result = cedarpy.is_authorized(request, self.policies, entities, schema=self.schema)
        assert not result.diagnostics.errors
        return result.decision is cedarpy.Decision.Allow


REGIONS = st.sampled_from(["", "north", "south"])


@pytest.mark.parametrize("namespace", DESKS)
@given(data=st.data())
def test_what_the_policies_permit_is_found(namespace: str, data: st.DataObject) -> None:
    desk = Desk(namespace)
    groups = data.draw(st.lists(st.sampled_from(desk.groups), unique=True))
    claims = {f"custom:{name}": value for name in ("region", "team") if (value := data.draw(REGIONS))}
    classification = data.draw(st.sampled_from(["public", "internal", "secret"]))
    document = KnowledgeDocument(
        data.draw(st.sampled_from(["d", "withdrawn"])), "T", "t", classification, data.draw(REGIONS)
    )
    context = RequestContext(Principal("me", "me", frozenset(groups), True, "t", claims), Interaction())
    if desk.permits(groups, claims, document):
        assert document.audience in desk.resolver.audiences(context)
        assert document.id != "withdrawn"
