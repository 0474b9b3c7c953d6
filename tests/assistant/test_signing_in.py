"""The pages' sign-in in a real browser, at the managed login of the local AWS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from demo.browser import sign_in
from fmops.assistant.admission import Admission, SecurityHeaders
from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.sign_in_routes import add_sign_in_route
from fmops.identity.sign_in import SignIn
from fmops.identity.tokens import Principal, TokenVerifier
from local.aws.kernel.cloud import Cloud
from local.run.sign_in import allow_sign_in_at
from tests.local.conftest import cloud
from tests.local.sign_in_client import Browser, SignInPool, returned_to
from tests.pages import serious, watched
from tests.review.page import served

__all__ = ["cloud"]
pytestmark = pytest.mark.browser


class Desk:
    """The pages with an API that knows its callers, and a user pool."""

    def __init__(self, running: ExitStack, cloud: Cloud) -> None:
        self.pool = SignInPool(cloud)
        self.pool.add_user("mallory")
        issuer = f"https://cognito-idp.us-east-1.amazonaws.com/{self.pool.id}"
        published = f"{cloud.endpoint}/{self.pool.id}/.well-known"
        verifier = TokenVerifier(
            issuer=issuer, audience=self.pool.client_id, jwks_url=f"{published}/jwks.json"
        )
        sign_in = SignIn(
            issuer, self.pool.client_id, document_url=f"{published}/openid-configuration", logout="cognito"
        )
        sign_in.refresh()
        self.callers: list[str] = []

        async def admit(given: str | None) -> Principal:
            principal = await verifier.admit(given)
            self.callers.append(principal.username)
            return principal

        app = FastAPI(redirect_slashes=False)
        app.add_middleware(Admission, admit=admit)
        app.add_middleware(SecurityHeaders)
        app.add_api_route("/v1/me", lambda: {"name": "", "groups": [], "pages": ["chat"]})
        add_sign_in_route(app, sign_in)
        add_page_routes(app, Pages(sign_in.connect_origins))
        self.address = running.enter_context(served(app)).replace("127.0.0.1", "localhost")
        identity = {
            "SignInUrl": "https://",
            "UserPoolId": self.pool.id,
            "UserPoolClientId": self.pool.client_id,
        }
        allow_sign_in_at(cloud, identity, self.address)


@pytest.fixture(scope="module")
def desk(cloud: Cloud) -> Iterator[Desk]:
    with ExitStack() as running:
        yield Desk(running, cloud)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    with watched(page):
        yield page
    context.close()


def test_a_person_signs_in_reloads_and_signs_out(desk: Desk, page: Any) -> None:
    page.goto(f"{desk.address}/chat")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/login?*")
    assert serious(page) == []
    page.goto(f"{desk.address}/chat")
    sign_in(page, "Ada")
    assert urlsplit(page.url).query == "", "the code does not stay in the address"
    assert set(desk.callers) == {"ada"}
    page.reload()
    page.locator("#who", has_text="ada").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/login?*")


def test_a_return_that_the_tab_did_not_begin_signs_nobody_in(desk: Desk, page: Any) -> None:
    """Another site may send people back with a code of its own, to have them work as somebody else."""
    callback = f"{desk.address}/signed-in"
    given = returned_to(Browser(desk.pool).choose("mallory", redirect_uri=callback), callback)
    desk.callers.clear()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{callback}?code={given['code']}&state={given['state']}")
    page.get_by_text("was not begun in this tab").wait_for()
    assert desk.callers == []
    assert not [url for url in asked if url.startswith(desk.pool.cloud.endpoint)], "the code is not exchanged"
    assert urlsplit(page.url).query == ""
