"""Checks of how people sign in at the pages: the issuer's discovery document, and the pages' addresses."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException

from fmops.identity.issuer_keys import discovery_url
from fmops.identity.sign_in import endpoints_of, read_document
from ops.doctor.finding import Finding, Target, check
from settings import Settings

OFF = "set identity.sign_in.enabled to false, and send ID tokens with requests"


@check("how people sign in")
def sign_in(target: Target) -> Iterator[Finding]:
    settings = target.settings
    if settings.no_sign_in:
        yield Finding("ok", f"people cannot sign in at the pages. {settings.no_sign_in}")
    elif settings.identity.oidc:
        yield from _issuer(settings.identity.oidc.issuer)
    else:
        yield _addresses(settings)


def _issuer(issuer: str) -> Iterator[Finding]:
    """Check an issuer of one's own; what only a sign-in shows is said."""
    url = discovery_url(issuer)
    try:
        document = read_document(url)
    except (OSError, ValueError, RecursionError, HTTPException) as error:
        yield Finding(
            "warning",
            f"the issuer's discovery document could not be read from here: {error}",
            f"open {url}: the assistant reads it from the network that it runs in",
        )
        return
    try:
        endpoints_of(document, issuer)
    except ValueError as error:
        yield Finding(
            "warning",
            f"people cannot sign in at the pages with the issuer's discovery document, {url}: {error}",
            f"let the issuer offer the code flow with PKCE to this public client, or {OFF}",
        )
        return
    if "code_challenge_methods_supported" not in document:
        yield Finding(
            "warning",
            "the issuer's discovery document does not say whether it has PKCE with S256",
            f"read its documentation (Entra ID has it), or {OFF}",
        )
    yield Finding(
        "ok",
        "the issuer has authorization and token endpoints: register the client as public, with <address of the "
        "pages>/signed-in to return to, and with that origin allowed to call the token endpoint (CORS)",
    )


def _addresses(settings: Settings) -> Finding:
    """Check that a sign-in can return to where people open the pages."""
    options, origins = settings.assistant, ", ".join(settings.sign_in_origins)
    has_own_address = options.compute == "lambda" or options.certificate_arn
    if has_own_address and not options.domain and not settings.identity.sign_in.origins:
        return Finding(
            "warning",
            f"sign-ins return to {origins} only, which is not where people open the pages",
            "name their address in identity.sign_in.origins: on Lambda without a domain, after the first deployment, "
            "the output AssistantUrl",
        )
    return Finding("ok", f"sign-ins return to {origins}")
