"""Trust policies and resources' policies: what services may do, and the conditions on them.

Source: "IAM JSON policy elements: Principal" and "NotPrincipal", and the services' pages on the confused deputy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.aws.iam.evaluator import Statement, evaluate, parse
from local.aws.iam.patterns import Keys

ASSUME = "sts:AssumeRole"


def trusts(document: Mapping[str, Any], service: str, *, account: str, source_arn: str | None) -> bool:
    """Whether a trust policy lets a service act under its role, for the resource ``source_arn`` of the
    account.
    """
    keys = _keys(service, account, source_arn)
    return evaluate(_about(document, service), ASSUME, "*", keys).allowed


def permits(
    document: Mapping[str, Any],
    service: str,
    action: str,
    resource: str,
    *,
    account: str,
    source_arn: str | None,
) -> bool:
    """Whether a resource's own policy lets a service act upon it, for the resource ``source_arn`` of the account."""
    statements = parse("policy", {**document, "Statement": _without_principals(document, service)})
    return evaluate(statements, action, resource, _keys(service, account, source_arn)).allowed


def _keys(service: str, account: str, source_arn: str | None) -> Keys:
    keys: dict[str, tuple[str, ...]] = {
        "aws:sourceaccount": (account,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (service,),
        "aws:securetransport": ("true",),
    }
    if source_arn:
        keys["aws:sourcearn"] = (source_arn,)
    if service == "firehose.amazonaws.com":
        keys["sts:externalid"] = (account,)
    return keys


def _about(document: Mapping[str, Any], service: str) -> list[Statement]:
    """The statements about a service, with its role as their resource, which a trust policy does not name."""
    about = [each | {"Resource": "*"} for each in _without_principals(document, service)]
    return parse("trust", {**document, "Statement": about})


def _without_principals(document: Mapping[str, Any], service: str) -> list[dict[str, Any]]:
    """The statements about a service, without the principals."""
    return [
        {name: value for name, value in each.items() if not name.endswith("Principal")}
        for each in _many(document.get("Statement", []))
        if is_about(each, service)
    ]


def is_about(statement: Mapping[str, Any], service: str) -> bool:
    """Whether the principals of a trust policy's statement hold a service, or leave it in by not naming it."""
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], service)
    return _names(statement.get("Principal"), service)


def _names(principal: Any, service: str) -> bool:
    """Whether this principal is the service, or everyone."""
    if not isinstance(principal, Mapping):
        return bool(principal == "*")
    return service in _many(principal.get("Service")) or "*" in _many(principal.get("AWS"))


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
