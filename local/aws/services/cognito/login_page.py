"""The local sign-in page and its errors: plain HTML, without scripts."""

from __future__ import annotations

import secrets
from html import escape
from typing import Any
from urllib.parse import urlsplit

from local.aws.kernel.http import Response
from local.aws.services.cognito.authorization import SignInRequest

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 30%, Canvas);
  --soft: color-mix(in srgb, CanvasText 6%, Canvas); --muted: color-mix(in srgb, CanvasText 72%, Canvas); }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
.note { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; background: var(--soft); }
form { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
button { font: inherit; color: inherit; text-align: left; padding: .7rem .9rem; background: Canvas; cursor: pointer;
  border: 1px solid var(--line); border-radius: .6rem; overflow-wrap: anywhere; display: grid; align-content: start; }
button:hover { background: var(--soft); }
button:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
.name { font-weight: 600; }
.groups { font-size: .875rem; color: var(--muted); }
"""


def login_page(request: SignInRequest, csrf: str) -> Response:
    """Return the page on which one click signs in as one of the pool's users."""
    buttons = "\n".join(_button(user) for user in request.pool.users.values() if user.enabled)
    body = f"""<h1>Sign in</h1>
<p>Choose who you are. No password is asked for here.</p>
<p class="note">This page stands in for Amazon Cognito's sign-in page, which asks for a password and, where the user
has one, a code of an authenticator. It belongs to the local AWS, and only lists users of the local run.</p>
<form method="post"><input type="hidden" name="_csrf" value="{escape(csrf)}">
{buttons or "<p>The user pool has no users yet.</p>"}
</form>"""
    redirect = urlsplit(request.redirect_uri)
    # Browsers apply form-action to the redirect that follows the form, too.
    return _page(200, "Sign in", body, f"'self' {redirect.scheme}://{redirect.netloc}")


def error_page(error: str, sentence: str) -> Response:
    body = f"""<h1>You cannot sign in here</h1>
<p>{escape(sentence)}</p>
<p class="note">error: <code>{escape(error)}</code></p>"""
    return _page(404 if error == "not_found" else 400, "Error", body, "'none'")


def _button(user: Any) -> str:
    attributes = {each["Name"]: each["Value"] for each in user.attributes}
    groups = ", ".join(sorted(group.group_name for group in user.groups)) or "no group"
    factor = " · second factor" if user.software_token_mfa_enabled else ""
    about = attributes.get("profile", "")
    told = f'<span class="about">{escape(about)}</span>' if about else ""
    return (
        f'<button name="username" value="{escape(user.username)}">'
        f'<span class="name">{escape(attributes.get("name") or user.username)}</span>'
        f'<span class="groups">{escape(groups)}{factor}</span>{told}</button>'
    )


def _page(status: int, title: str, body: str, form_action: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - local AWS</title>
<link rel="icon" href="data:,">
<style nonce="{nonce}">{STYLE}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action {form_action};"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    return Response(
        status,
        html,
        "text/html; charset=utf-8",
        Content_Security_Policy=policy,
        Cache_Control="no-store",
        Referrer_Policy="no-referrer",
        X_Content_Type_Options="nosniff",
        X_Frame_Options="DENY",
    )
