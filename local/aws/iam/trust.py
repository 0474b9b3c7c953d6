"""Trust policies: the principals that may act under a role, and the conditions on them.

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
    given = document.get("Statement", [])
    statements = given if isinstance(given, list) else [given]
    about = [
        {name: value for name, value in each.items() if not name.endswith("Principal")} | {"Resource": "*"}
        for each in statements
        if is_about(each, service)
    ]
    return parse("trust", {**document, "Statement": about})


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
