"""Sign-in as the pages do it, in a real browser, at the local AWS's sign-in page: what they check, renew and forget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.sign_in_routes import add_sign_in_route
from fmops.identity.sign_in import SignIn
from local.aws.server import LocalAws
from tests.local.sign_in_client import Browser, SignInPool
from tests.pages import serious, watched
from tests.served import served

pytestmark = pytest.mark.browser


class Site:
    """The pages at an address that a pool's client returns to, with a document that anybody may read."""

    def __init__(self, cloud: LocalAws, running: ExitStack) -> None:
        self.tokens: list[str] = []
        app = FastAPI()
        self.address = running.enter_context(served(app))
        self.pool = pool = SignInPool(
            cloud,
            CallbackURLs=[f"{self.address}/signed-in"],
            LogoutURLs=[f"{self.address}/"],
            IdTokenValidity=1,
        )
        pool.add_user("ben")
        sign_in = SignIn(
            f"https://cognito-idp.{cloud.region}.amazonaws.com/{pool.id}",
            pool.client_id,
            document_url=f"{cloud.endpoint}/{pool.id}/.well-known/openid-configuration",
            logout="cognito",
        )
        sign_in.refresh()
        add_sign_in_route(app, sign_in)
        add_page_routes(app, Pages(sign_in.connect_origins))

        @app.get("/v1/me")
        def me() -> dict[str, Any]:
            return {"pages": ["chat"], "waiting": 0}

        @app.get("/v1/documents/{name}")
        def document(name: str, request: Request) -> dict[str, Any]:
            self.tokens.append(request.headers["authorization"])
            passages = [{"page": None, "text": "Words."}]
            return {"id": name, "title": f"Document {name}", "text": "Words.", "passages": passages}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with ExitStack() as running:
        yield Site(running.enter_context(LocalAws(port=0, enforce=False, directory=directory)), running)


@pytest.fixture
def opened(browser: Any, site: Site) -> Iterator[Callable[[str], Any]]:
    with ExitStack() as running:
        context = running.enter_context(browser.new_context())

        def open_(path: str) -> Any:
            page = context.new_page()
            page.clock.install()
            running.enter_context(watched(page))
            page.goto(site.address + path)
            return page

        yield open_


def sign_in(page: Any, name: str = "ada") -> None:
    page.get_by_role("button", name="Sign in").click()
    page.locator("button", has_text=name).first.click()


def test_a_person_signs_in_and_comes_back_to_where_they_were(
    opened: Callable[[str], Any], site: Site
) -> None:
    from playwright.sync_api import expect

    page = opened("/document?id=first")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/login?*")
    assert serious(page) == []
    page.locator("button", has_text="ada").first.click()
    expect(page.get_by_role("heading", name="Document first")).to_be_visible()
    expect(page.locator("#who")).to_have_text("ada")
    expect(page).to_have_url(f"{site.address}/document?id=first")
    kept = page.evaluate("() => JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    assert "eyJ" not in kept, "a token is kept outside of memory"
    # A reload forgets the tokens, and the issuer's session signs in again without a word.
    page.reload()
    expect(page.get_by_role("heading", name="Document first")).to_be_visible()
    assert len({*site.tokens}) > 1


def test_a_token_that_has_run_out_is_renewed_once_for_all_calls(
    opened: Callable[[str], Any], site: Site
) -> None:
    from playwright.sync_api import expect

    page = opened("/document?id=first")
    sign_in(page)
    expect(page.get_by_role("heading", name="Document first")).to_be_visible()
    renewals: list[str] = []
    page.on("request", lambda each: renewals.append(each.url) if "/oauth2/token" in each.url else None)
    before = site.tokens[-1]
    page.clock.fast_forward("01:30:00")
    page.evaluate(
        "() => { history.pushState(null, '', 'document?id=second'); dispatchEvent(new PopStateEvent('popstate')); }"
    )
    expect(page.get_by_role("heading", name="Document second")).to_be_visible()
    assert site.tokens[-1] != before
    assert len(renewals) == 1


@pytest.mark.parametrize(
    "query", ["code=stolen&state=of-somebody-else", "code=stolen", "error=access_denied&state=x", ""]
)
def test_a_return_that_this_tab_did_not_ask_for_signs_nobody_in(
    opened: Callable[[str], Any], site: Site, query: str
) -> None:
    from playwright.sync_api import expect

    page = opened("/chat")
    exchanged: list[str] = []
    page.on("request", lambda each: exchanged.append(each.url) if "/oauth2/token" in each.url else None)
    page.goto(f"{site.address}/signed-in?{query}")
    expect(page.locator("#problem")).to_contain_text("sign in" if "error" not in query else "did not succeed")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.locator("#person")).to_be_hidden()
    assert "stolen" not in page.url
    assert exchanged == []


def test_a_code_of_another_sign_in_is_refused_even_with_the_right_state(
    opened: Callable[[str], Any], site: Site
) -> None:
    """Put the code of an attacker's own sign-in into somebody's exchange: its verifier is another one."""
    from playwright.sync_api import expect

    callback = f"{site.address}/signed-in"
    returned = Browser(site.pool).choose("ben", redirect_uri=callback).headers["location"]
    code = re.findall(r"code=([^&]+)", returned)[0]
    victim = opened("/")

    def exchanged(route: Any) -> None:
        route.continue_(post_data=re.sub(r"code=[^&]+", f"code={code}", route.request.post_data, count=1))

    victim.route("**/oauth2/token", exchanged)
    sign_in(victim)
    expect(victim.locator("#problem")).to_contain_text("did not succeed")
    expect(victim.locator("#person")).to_be_hidden()


def test_who_signs_out_is_gone_here_and_at_the_issuer(opened: Callable[[str], Any], site: Site) -> None:
    from playwright.sync_api import expect

    page = opened("/document?id=first")
    sign_in(page)
    expect(page.locator("#who")).to_have_text("ada")
    revoked: list[str] = []
    page.on("request", lambda each: revoked.append(each.url) if "/oauth2/revoke" in each.url else None)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{site.address}/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert revoked
    assert page.evaluate("() => sessionStorage.length") == 0
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("button", has_text="ada").first).to_be_visible()
