"""Settings of the users and how they sign in."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    model_validator,
)

from settings.kinds import Pattern, Section

RESERVED = ("aws", "amazon", "cognito")
"""Words that Cognito refuses in a domain prefix."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts for which Cognito allows plain http, and browsers the cryptography that a sign-in needs."""
CALLBACK = "signed-in"
"""Path below an origin to which a sign-in returns; the pages know it too."""
DEFAULT_PORTS = {"https": 443, "http": 80}


class Oidc(Section):
    """An OpenID Connect issuer of your own, whose users sign in elsewhere."""

    issuer: Annotated[str, Pattern(pattern=r"^https://[^\s?#/@]+(/[^\s?#]*)?$")]
    """Issuer, exactly as `issuer` in its discovery document, `<issuer>/.well-known/openid-configuration`: with
    the slash at its end if it has one there, as Auth0's and Entra ID's (v1) do."""
    audience: Annotated[str, Pattern(pattern=r"^\S+$")]
    """Client id that the ID tokens are issued to."""
    group_claim: Annotated[str, Pattern(pattern=r"^\S+$")] = "groups"
    """Claim that lists a user's groups, by the names that `policies/` uses."""


class SignIn(Section):
    """Sign-in of people at the pages, with an authorization code and PKCE (docs/sign-in.md)."""

    enabled: bool | None = None
    """Whether people can sign in at the pages. By default they can wherever it is possible."""
    domain_prefix: Annotated[str, Pattern(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] | None = None
    """Beginning of the address of Cognito's sign-in page, unique in the region across all accounts. By default
    it is made of the environment's name and the stack's id. A change ends everyone's sign-in."""
    origins: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """Addresses at which people open the pages, such as `https://desk.example.com`, or with an API's stage
    behind: only to these a sign-in returns. By default `https://` and `assistant.domain`, or else
    `http://localhost:8080`, which a port forwarding to the internal load balancer gives."""

    @property
    def asked_for(self) -> bool:
        """Return whether the profile says anything about sign-in but that it is off."""
        return bool(self.enabled or self.domain_prefix or self.origins)

    @model_validator(mode="after")
    def _check(self) -> SignIn:
        if self.enabled is False and self.asked_for:
            raise ValueError(
                "enabled is false, but domain_prefix or origins is set: leave them out, or enabled"
            )
        reserved = [word for word in RESERVED if word in (self.domain_prefix or "")]
        if reserved:
            raise ValueError(
                f"domain_prefix is {self.domain_prefix}, but Cognito refuses a prefix with {reserved[0]} in it: "
                "choose another"
            )
        for origin in self.origins:
            _check_origin(origin)
        return self


def _check_origin(origin: str) -> None:
    """Raise ValueError unless a browser would write the address this way and Cognito return to it."""
    fault = f"origins has '{origin}', but"
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{fault} that is no address ({error})") from None
    host = parts.hostname or ""
    if parts.scheme not in DEFAULT_PORTS or not host or not origin.isascii() or not origin.isprintable():
        raise ValueError(f"{fault} an address such as https://desk.example.com is needed")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError(
            f"{fault} over plain http a sign-in works on localhost only: use https, with assistant.domain or "
            "assistant.certificate_arn, or http://localhost:8080 with a port forwarding (docs/sign-in.md)"
        )
    path = parts.path.removeprefix("/").removesuffix("/")
    steps = path.split("/") if path else []
    if set(origin) & set("?#@*\\ ") or set(steps) & {"", ".", ".."} or port == 0:
        raise ValueError(
            f"{fault} it must be a plain address, without user, query, fragment, wildcards or empty steps"
        )
    if steps[-1:] == [CALLBACK]:
        raise ValueError(f"{fault} it is the pages' address without /{CALLBACK} that is needed")
    shown = f"[{host}]" if ":" in host else host
    port_shown = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    canonical = f"{parts.scheme}://{shown}{port_shown}{parts.path}"
    if origin != canonical:
        raise ValueError(f"{fault} browsers write it {canonical}, and addresses are compared exactly")


class Identity(Section):
    """Users, and how they sign in."""

    oidc: Oidc | None = None
    """OpenID Connect issuer in place of a Cognito user pool, which is created when this is not set. `mfa` and
    `admin_password_sign_in` apply to that pool."""
    sign_in: SignIn = SignIn()
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
        if self.oidc and (self.sign_in.domain_prefix or self.sign_in.origins):
            raise ValueError(
                "sign_in.domain_prefix and sign_in.origins apply to a user pool, but with oidc there is none: leave "
                "them out, and register the pages' addresses at the issuer (docs/sign-in.md)"
            )
        return self
