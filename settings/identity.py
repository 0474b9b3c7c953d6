"""Settings of the users and how they sign in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    model_validator,
)

from settings.kinds import Pattern, Section


class Oidc(Section):
    """An OpenID Connect issuer of yours, whose users sign in elsewhere."""

    issuer: Annotated[str, Pattern(pattern=r"^https://[^\s?#/@]+(/[^\s?#]*)?$")]
    """To the letter as `issuer` stands in its discovery document, `<issuer>/.well-known/openid-configuration`: with
    the slash at its end if it has one there, as Auth0's and Entra ID's (v1) have."""
    audience: Annotated[str, Pattern(pattern=r"^\S+$")]
    """The client id that the ID tokens are issued to."""
    group_claim: Annotated[str, Pattern(pattern=r"^\S+$")] = "groups"
    """The claim that lists a user's groups, by the names that `policies/` have."""


class Identity(Section):
    """Who may sign in, and how."""

    oidc: Oidc | None = None
    """Instead of a Cognito user pool, which is made when this is not set; the two settings below are that pool's."""
    mfa: Literal["optional", "required"] = "required"
    """Whether users of the Cognito pool may or must have a TOTP authenticator."""
    admin_password_sign_in: bool = False
    """Allows `ADMIN_USER_PASSWORD_AUTH`, which the demo's tour signs in with."""

    @model_validator(mode="after")
    def _check(self) -> Identity:
        if self.oidc and self.admin_password_sign_in:
            raise ValueError(
                "admin_password_sign_in is true, but with oidc there is no user pool to sign in to: leave one of them out"
            )
        return self
