"""A policy store's list of policies: the names that people know them by, and the principals and actions in
their scopes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

MAX_AGE = 60.0
"""Seconds until policies are listed again. A store is only eventually consistent, within seconds, anyway."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PolicySummary:
    """A policy as ``ListPolicies`` shows it, without its conditions."""

    name: str
    effect: str
    principal: str | None
    """Id of the user or group that its scope names; None when it applies to everyone."""
    actions: frozenset[str]
    """Ids of the actions, or groups of actions, that its scope names; empty when it applies to all."""
    description: str = ""
    """The sentence that explains it: the comment at the top of its file, if the store has it."""


class PolicyCatalog:
    """A store's policies by id, listed at most once a minute and never by a request that can do without."""

    def __init__(self, client: Any, policy_store_id: str, *, max_age: float = MAX_AGE) -> None:
        self._client = client
        self._policy_store_id = policy_store_id
        self._max_age = max_age
        self._lock = threading.Lock()
        self._policies: Mapping[str, PolicySummary] | None = None
        self._groups: Mapping[str, set[str]] = {}
        self._permitted: Mapping[str | None, set[str | None]] = {}
        self._listed_at = float("-inf")

    @property
    def stale(self) -> bool:
        """Return whether the next question would list the policies again."""
        return time.monotonic() - self._listed_at > self._max_age

    def refresh(self) -> None:
        """List the policies again if it is time. If that fails, the last known list stays.

        While another thread lists them, a thread waits only if no list is known yet.
        """
        if not self.stale or not self._lock.acquire(blocking=self._policies is None):
            return
        try:
            if self.stale:
                self._list()
        finally:
            self._lock.release()

    def name(self, policy_id: str) -> str:
        """Return the policy's name as its file has it, or its id if the store does not give one."""
        if self._policies is None or policy_id not in self._policies:
            self.refresh()
        policy = (self._policies or {}).get(policy_id)
        return policy.name if policy else policy_id

    def description(self, name: str) -> str:
        """Return the sentence that explains the policy of this name; empty if the store gives none."""
        known = (self._policies or {}).values()
        return next((policy.description for policy in known if policy.name == name), "")

    def may_allow(self, actions: Collection[str], principals: Collection[str]) -> bool:
        """Return whether a permit's scope covers one of these actions for one of these ids of a user and their
        groups.

        When in doubt, the answer is yes: conditions are ignored, and while the policies are unknown everything
        may be allowed. A no is certain as of the last listing, since nothing is allowed without a permit.
        """
        if self._policies is None:
            return True
        covering = {None}.union(*(self._groups.get(action, {action}) for action in actions))
        holders = {None, *principals}
        return any(not holders.isdisjoint(self._permitted.get(action, ())) for action in covering)

    def _list(self) -> None:
        try:
            pages = self._client.get_paginator("list_policies").paginate(policyStoreId=self._policy_store_id)
            policies = {item["policyId"]: _summary(item) for page in pages for item in page["policies"]}
            schema = self._client.get_schema(policyStoreId=self._policy_store_id)["schema"]
            self._groups = _action_groups(json.loads(schema))
            self._permitted = _permitted(policies.values())
            self._policies = policies
        except (
            BotoCoreError,
            ClientError,
            ResponseParserError,
            KeyError,
            TypeError,
            ValueError,
            OSError,
        ) as error:
            _log.warning("policies could not be listed: %s", type(error).__name__)
        finally:
            self._listed_at = time.monotonic()


def _permitted(policies: Iterable[PolicySummary]) -> dict[str | None, set[str | None]]:
    """Return the principals that permits name, by action; None stands for all actions, and for everyone."""
    permitted: dict[str | None, set[str | None]] = {}
    for policy in policies:
        if policy.effect == "Permit":
            for action in policy.actions or {None}:
                permitted.setdefault(action, set()).add(policy.principal)
    return permitted


def _action_groups(schema: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return each action with itself and all groups of actions that contain it."""
    parents = {
        action: {group["id"] for group in declared.get("memberOf") or ()}
        for namespace in schema.values()
        for action, declared in namespace.get("actions", {}).items()
    }
    groups = {action: {action} for action in parents}
    for action, found in groups.items():
        while more := {group for each in found for group in parents.get(each, ())} - found:
            groups[action] = found = found | more
    return groups


def _summary(item: Mapping[str, Any]) -> PolicySummary:
    principal = item.get("principal")
    return PolicySummary(
        # The file's name is followed by a suffix that distinguishes its scope from an earlier one's.
        name=str(item.get("name") or item["policyId"]).removeprefix("name/").partition("/")[0],
        effect=item.get("effect", "Permit"),
        principal=principal["entityId"] if principal else None,
        actions=frozenset(action["actionId"] for action in item.get("actions", ())),
        description=item.get("definition", {}).get("static", {}).get("description") or "",
    )
