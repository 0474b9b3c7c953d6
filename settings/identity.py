"""Settings of the users and how they sign in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    model_validator,
)

from settings.kinds import Pattern, Section


class Oidc(Section):
    """An OpenID Connect issuer of your own, whose users sign in elsewhere."""

    issuer: Annotated[str, Pattern(pattern=r"^https://[^\s?#/@]+(/[^\s?#]*)?$")]
    """Issuer, exactly as `issuer` in its discovery document, `<issuer>/.well-known/openid-configuration`: with
    the slash at its end if it has one there, as Auth0's and Entra ID's (v1) do."""
    audience: Annotated[str, Pattern(pattern=r"^\S+$")]
    """Client id that the ID tokens are issued to."""
    group_claim: Annotated[str, Pattern(pattern=r"^\S+$")] = "groups"
    """Claim that lists a user's groups, by the names that `policies/` uses."""


class Identity(Section):
    """Users, and how they sign in."""

    oidc: Oidc | None = None
    """OpenID Connect issuer in place of a Cognito user pool, which is created when this is not set. The two
    settings below apply to that pool."""
    mfa: Literal["optional", "required"] = "required"
    """Whether users of the Cognito pool may or must have a TOTP authenticator."""
    admin_password_sign_in: bool = False
    """Whether `ADMIN_USER_PASSWORD_AUTH`, with which the demo's tour signs in, is allowed."""

    @model_validator(mode="after")
    def _check(self) -> Identity:
        if self.oidc and self.admin_password_sign_in:
            raise ValueError(
                "admin_password_sign_in is true, but with oidc there is no user pool to sign in to: "
                "leave one of them out"
            )
        return self
