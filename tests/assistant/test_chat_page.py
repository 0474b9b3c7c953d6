"""The chat page in a real browser: what it draws of a model's Markdown, what it says, and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from moto import mock_aws

from fmops.assistant.welcome import Suggestion, Welcome
from fmops.identity.tokens import Principal
from tests.assistant.test_service import Verifier
from tests.conversation.test_budgets import Metered, asks, said
from tests.pages import enter, serious, watched
from tests.served import served

pytestmark = pytest.mark.browser
MARKDOWN = """The deductible for **water damage** is `250.00`.

1. First, *report it*
2. Then send pictures

| item | covered |
|---|---|
| pipe | yes |

See [our bank](https://bank.example/login) and [this](javascript:alert(1)) ![a pixel](https://evil.example/x.png)

<img src=x onerror="document.title='run'"><script>document.title='run'</script>
"""
WELCOME = Welcome(
    greeting="Hello.", suggestions=(Suggestion(ask=("Is it fine?", "Is it good?", "Is it late?")),)
)


@pytest.fixture
def asking(browser: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    carla = Principal("subject-1", "carla", frozenset({"customers"}), False, "good", {})
    monkeypatch.setattr(Verifier, "verify", lambda *_: carla)
    monkeypatch.setattr("fmops.assistant.welcome.welcome", lambda: WELCOME)

    def opened(*script: Any, **limits: Any) -> Any:
        it = Metered({"user": limits}, *script)
        address = running.enter_context(served(it.app))
        page = running.enter_context(browser.new_context()).new_page()
        running.enter_context(watched(page))
        enter(page, f"{address}/chat", "carla", ["customers"])
        return page

    with mock_aws(), ExitStack() as running:
        yield opened


def test_markdown_is_drawn_and_no_html_of_the_model_runs(asking: Any) -> None:
    from playwright.sync_api import expect

    page = asking(said(MARKDOWN))
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.get_by_role("button", name="Is it fine?").click()
    answer = page.locator(".assistant .words")
    expect(answer.locator("strong")).to_have_text("water damage")
    expect(answer.locator("ol li")).to_have_count(2)
    expect(answer.locator("td").first).to_have_text("pipe")
    page.locator(".actions").wait_for()
    links = answer.locator("a")
    expect(links).to_have_count(1)
    expect(links).to_have_text("our bank (bank.example)")
    assert "noopener" in links.get_attribute("rel")
    expect(answer.locator("img, script")).to_have_count(0)
    expect(answer).to_contain_text("<script>document.title='run'</script>")
    assert "run" not in page.title()
    assert not [url for url in fetched if "example" in url]
    assert serious(page) == []


def test_a_failed_request_loses_no_text_and_a_new_conversation_is_empty(asking: Any) -> None:
    from playwright.sync_api import expect

    page = asking(said("It is fine."), requests_per_minute=1)
    page.get_by_role("button", name="Is it fine?").click()
    page.locator(".actions").wait_for()
    page.locator("#question").fill("And now?")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.bad")).to_contain_text("Your message is kept below.")
    expect(page.locator("#question")).to_have_value("And now?")
    expect(page.locator(".turn.user")).to_have_count(1)
    assert serious(page) == []
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_role("button", name="Is it late?")).to_be_visible()


def test_figures_are_for_engineers_and_notices_for_everybody(asking: Any) -> None:
    from playwright.sync_api import expect

    page = asking(asks("look_up"), said("It is fine."))
    page.get_by_role("button", name="Is it fine?").click()
    page.locator(".actions").wait_for()
    expect(page.locator(".engineering")).to_be_hidden()
    page.get_by_label("Engineer's view").check()
    expect(page.locator(".engineering")).to_contain_text("look_up success")
    expect(page.locator(".engineering")).to_contain_text("60 + 24 tokens")
    for size, scheme in (((1280, 900), "dark"), ((390, 844), "light"), ((390, 844), "dark")):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
