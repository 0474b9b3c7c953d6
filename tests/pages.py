"""The pages in a real browser, for tests: signed in with a token, watched for what their policy refuses, and
checked for accessibility."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from checks.people.eyes import serious

__all__ = ["enter", "serious", "token", "use_token", "watched"]

NEVER = 4_000_000_000
"""End of validity, in seconds since 1970, of a token that does not run out during a test."""


def token(name: str, groups: Sequence[str] = ()) -> str:
    """Return a token as the pages read it: claims in the middle. Its last part is the name."""
    claims = {"sub": name, "exp": NEVER, "cognito:username": name, "cognito:groups": list(groups)}
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"x.{part}.{name}"


def enter(page: Any, address: str, name: str, groups: Sequence[str] = ()) -> None:
    """Open an address and use a token there, as people do where nobody can sign in."""
    page.goto(address)
    use_token(page, name, groups)


def use_token(page: Any, name: str, groups: Sequence[str] = ()) -> None:
    """Use a token on the page that is open."""
    page.locator("#other-way summary").click()
    page.locator("#token").fill(token(name, groups))
    page.get_by_role("button", name="Use the token").click()
    page.locator("#who", has_text=name).wait_for()


@contextmanager
def watched(page: Any) -> Iterator[list[str]]:
    """Collect what the browser complains about: refusals by the content security policy, and errors in scripts."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield complaints
    found = [each for each in complaints if "Failed to load resource" not in each]
    assert found == [], found
