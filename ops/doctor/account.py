"""Checks of the account: who you are, and its bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from ops.doctor.finding import Finding, Target, check

BOOTSTRAP = 6
"""Minimum bootstrap version, which the templates' rule requires."""


@check("who you are")
def identity(target: Target) -> Iterator[Finding]:
    account = target.client("sts").get_caller_identity()["Account"]
    wanted = target.settings.account
    if wanted and wanted != account:
        yield Finding(
            "stop",
            f"your credentials are of account {account}, the profile's account is {wanted}",
            "use that account's credentials, or change account in cdk.json",
        )
    else:
        yield Finding("ok", f"account {account}")


@check("the CDK's bootstrap")
def bootstrap(target: Target) -> Iterator[Finding]:
    name = f"/cdk-bootstrap/{target.settings.bootstrap_qualifier}/version"
    try:
        version = int(target.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        yield Finding(
            "stop", f"the account is not bootstrapped in {target.region} ({name})", "make bootstrap"
        )
        return
    if version < BOOTSTRAP:
        yield Finding(
            "stop", f"the bootstrap is of version {version}, {BOOTSTRAP} is needed", "make bootstrap"
        )
    else:
        yield Finding("ok", f"CDK bootstrap of version {version}")
