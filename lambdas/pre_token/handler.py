"""Cognito pre-token-generation trigger (V2_0): it records in the ID token whether the sign-in was challenged
for MFA."""

from typing import Any

import boto3

cognito = boto3.client("cognito-idp")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Add the claim `mfa`: a user who has an MFA method is challenged at every sign-in."""
    user = cognito.admin_get_user(UserPoolId=event["userPoolId"], Username=event["userName"])
    mfa = "true" if user.get("UserMFASettingList") else "false"
    event["response"]["claimsAndScopeOverrideDetails"] = {
        "idTokenGeneration": {"claimsToAddOrOverride": {"mfa": mfa}}
    }
    return event
