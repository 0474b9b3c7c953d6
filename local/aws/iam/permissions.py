"""Permissions of roles: granted, used, and granted but never used."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from local.aws.iam.evaluator import VERSIONS, Keys, Statement, evaluate, parse
from local.aws.iam.need import Need
from local.aws.iam.needs import needs
from local.aws.iam.trust import trusts
from local.aws.kernel.api import Context, Params, ServiceState

if TYPE_CHECKING:
    from local.aws.kernel.cloud import Cloud

REVIEWED = Path(__file__).with_name("unused.yaml")
QUERY_SERVICES = ("s3", "sts", "iam", "sqs", "sns", "cloudwatch")
"""Whose error is called AccessDenied, not AccessDeniedException."""
ROLE_NAME = re.compile(r"^\w+?-\w+?-(?P<stack>\w+)-(?P<construct>\w+?)(?:[0-9A-F]{8})?-[A-Z0-9]+$")


class AccessDenied(Exception):  # noqa: N818 - the service's word
    """IAM's answer to a call that the role's policies do not permit."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Denial:
    """A call that was refused."""

    role: str
    action: str
    resource: str
    reason: str
    caller: str

    def __str__(self) -> str:
        return (
            f"{self.role} is not authorized to perform {self.action} on {self.resource} {self.reason}"
            f" (called by {self.caller})"
        )


@dataclass(frozen=True, order=True)
class Grant:
    """An action that a statement of a role's policies allows."""

    role: str
    action: str
    statement: str


class Permissions(ServiceState):
    """The policies of the account's roles, and the record of what was asked of them."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.denials: dict[Denial, int] = defaultdict(int)
        self._used: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def check(self, context: Context, params: Params) -> None:
        """Raise ``AccessDenied`` unless the calling role's policies permit everything that the call needs."""
        role = context.caller.role_arn
        if role is None:
            return
        statements = self.statements(role)
        for need in needs(context, params):
            keys = {**self._keys(context, role), **need.keys}
            verdict = evaluate(statements, need.action, need.resource, keys)
            if not verdict.allowed:
                self._deny(context, role, need, verdict.reason)
            if verdict.statement:
                self._use(role, verdict.statement, need.action)

    def check_trust(self, role_arn: str, service: str, source_arn: str | None = None) -> None:
        """Raise ``AccessDenied`` unless the role lets the service act under it, for the resource that has
        this ARN.
        """
        document = json.loads(_text(self._role(role_arn).assume_role_policy_document))
        if trusts(_versioned(document), service, account=self.cloud.account, source_arn=source_arn):
            return
        source = f" for {source_arn}" if source_arn else ""
        raise AccessDenied(
            "AccessDenied",
            f"{service} is not trusted by {role_arn}: its trust policy does not let it act under it{source}",
        )

    def statements(self, role_arn: str) -> list[Statement]:
        """All statements of a role's inline and attached policies."""
        role = self._role(role_arn)
        found = [each for name, document in role.policies.items() for each in _parsed(name, _text(document))]
        for policy in role.managed_policies.values():
            found += _parsed(policy.name, _text(policy.document))
        return found

    @property
    def roles(self) -> int:
        """How many roles have made calls."""
        return len({role for role, _, _ in self._used})

    def granted(self) -> set[tuple[str, str]]:
        """Label of the role and action, of all that the templates' roles are allowed."""
        return {
            (label(role.arn), action)
            for role in self._all()
            for statement in self.statements(role.arn)
            if statement.effect == "Allow"
            for action in statement.actions
        }

    def _all(self) -> Iterable[Any]:
        from moto.iam.models import iam_backends

        roles: dict[str, Any] = iam_backends[self.cloud.account]["aws"].roles
        return roles.values()

    def unused(self) -> list[Grant]:
        """Actions that the templates' roles are allowed and never used, by role and statement."""
        grants = []
        for role in self._all():
            for statement in self.statements(role.arn):
                if statement.effect == "Allow":
                    grants += [
                        Grant(label(role.arn), action, statement.name)
                        for action in statement.actions
                        if (role.arn, statement.name, action) not in self._used
                    ]
        return sorted(set(grants))

    def _use(self, role: str, statement: Statement, action: str) -> None:
        with self._lock:
            for pattern in statement.actions:
                if Statement("", 0, "Allow", (pattern,), (), ("*",), ()).covers(action):
                    self._used.add((role, statement.name, pattern))

    def _deny(self, context: Context, role: str, need: Need, reason: str) -> None:
        with self._lock:
            self.denials[Denial(label(role), need.action, need.resource, reason, context.caller.arn)] += 1
        code = "AccessDenied" if context.service in QUERY_SERVICES else "AccessDeniedException"
        raise AccessDenied(
            code,
            f"User: {context.caller.arn} is not authorized to perform: {need.action} on resource: {need.resource} "
            f"{reason}" + (f" the {need.action} action" if reason.startswith("because") else ""),
        )

    def _keys(self, context: Context, role: str) -> Keys:
        now = datetime.now(UTC)
        return {
            "aws:currenttime": (now.strftime("%Y-%m-%dT%H:%M:%SZ"),),
            "aws:epochtime": (str(int(now.timestamp())),),
            "aws:principaltype": ("AssumedRole",),
            "aws:principalisawsservice": ("false",),
            "aws:viaawsservice": ("false",),
            "aws:principalarn": (role,),
            "aws:principalaccount": (self.cloud.account,),
            "aws:resourceaccount": (self.cloud.account,),
            "aws:requestedregion": (context.region,),
            "aws:securetransport": ("true",),
        }

    def _role(self, role_arn: str) -> Any:
        from moto.iam.models import iam_backends

        return iam_backends[self.cloud.account]["aws"].get_role(role_arn.rsplit("/", 1)[-1])


def label(role_arn: str) -> str:
    """``Assistant/AppTaskRole``: the stack and the role in it, without what CloudFormation adds to the name."""
    name = role_arn.rsplit("/", 1)[-1]
    match = ROLE_NAME.match(name)
    return f"{match['stack']}/{match['construct']}" if match else name


@dataclass(frozen=True)
class Reviewed:
    """Why roles have an action that no local run uses: some of all roles, others of one, or of those that match a
    pattern."""

    everywhere: Mapping[str, str]
    roles: Mapping[str, Mapping[str, str]]

    def reason(self, grant: Grant) -> str | None:
        if reason := self.everywhere.get(grant.action):
            return reason
        matching = (actions for role, actions in self.roles.items() if fnmatchcase(grant.role, role))
        return next((actions[grant.action] for actions in matching if grant.action in actions), None)


def reviewed(path: Path = REVIEWED) -> Reviewed:
    """The list of the repository."""
    listed: dict[str, dict[str, str]] = yaml.safe_load(path.read_text())
    return Reviewed(listed.pop("everywhere"), listed)


def compare(unused: Iterable[Grant], listed: Reviewed, granted: Collection[tuple[str, str]]) -> list[str]:
    """Return the differences between the unused grants and the reviewed ones, as sentences with a remedy.

    A line about what only another profile grants is not this one's to judge.
    """
    grants = list(unused)
    missing = [
        f"{grant.role} is granted {grant.action} ({grant.statement}) and never used it:"
        " take it away, or say in local/aws/iam/unused.yaml what needs it"
        for grant in grants
        if listed.reason(grant) is None
    ]
    found = {(grant.role, grant.action) for grant in grants}
    stale = [
        f"local/aws/iam/unused.yaml lists {action} of {role}, which was used: remove the line"
        for role, actions in listed.roles.items()
        for action in actions
        if (role, action) in granted and (role, action) not in found
    ]
    return sorted(missing) + sorted(stale)


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _versioned(document: dict[str, Any]) -> dict[str, Any]:
    """A document of an account, which is of the old version, without variables, unless it says otherwise."""
    return {"Version": VERSIONS[0], **document}


@lru_cache(maxsize=1024)
def _parsed(name: str, document: str) -> tuple[Statement, ...]:
    return tuple(parse(name, _versioned(json.loads(document))))
