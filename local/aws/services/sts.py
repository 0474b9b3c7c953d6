"""STS for the roles of the templates: the front must know the role behind every access key."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params, operation


@operation("sts", "GetCallerIdentity")
def get_caller_identity(_: Params, context: Context) -> Params:
    return {"UserId": context.caller.access_key, "Account": context.account, "Arn": context.caller.arn}


@operation("sts", "AssumeRole")
def assume_role(params: Params, context: Context) -> Params:
    issued = context.cloud.credentials.issue(params["RoleArn"], params["RoleSessionName"])
    return {
        "Credentials": {
            "AccessKeyId": issued.access_key,
            "SecretAccessKey": issued.secret_key,
            "SessionToken": issued.token,
            "Expiration": issued.expiration,
        },
        "AssumedRoleUser": {"AssumedRoleId": issued.access_key, "Arn": issued.caller.arn},
    }
