"""The home page and the approvals inbox in a real browser: their states, their links, and what people can do there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.welcome import add_welcome_route
from fmops.conversation.approval_queue import WaitingCall
from fmops.interaction import timestamp
from local.aws.kernel.cloud import Cloud
from tests.assistant.test_home import There, application, cloud, there
from tests.pages import enter, serious, watched
from tests.served import served

__all__ = ["cloud", "there"]
pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}
POLICY = {"name": "adjuster-requests-payout", "description": "What is above a limit waits."}
TAKEN = {"error": {"code": "approval_decided", "message": "This has been decided, or is being decided."}}


class Inbox:
    """The API of an inbox with one call to decide and one that the person requested."""

    def __init__(self) -> None:
        self.entries = [self._entry("apr-1", "amir", mine=False), self._entry("apr-2", "sofia", mine=True)]
        self.away = self.taken = False
        self.decided: list[tuple[str, str]] = []

    def _entry(self, approval_id: str, by: str, *, mine: bool) -> dict[str, Any]:
        call = WaitingCall(
            approval_id=approval_id,
            thread_id="t",
            interrupt_id="i",
            tool_call_id="c",
            tool="approve_payout",
            arguments={},
            requested_by=f"subject of {by}",
            requested_by_name=by,
            requested_at=timestamp(),
            title=f"Pay out 6,000.00 EUR for <b>{by}</b>",
            facts={"Claim": "C-1", "Amount": "6,000.00 EUR"},
        )
        why_not = "You requested it yourself, so someone else must decide." if mine else ""
        return {
            **call.shown(),
            "policies": [POLICY],
            "mine": mine,
            "may_decide": not mine,
            "why_not": why_not,
        }

    def add_to(self, app: FastAPI) -> None:
        @app.get("/v1/approvals")
        def listed() -> Any:
            if self.away:
                return JSONResponse(
                    {"error": {"code": "x", "message": "DynamoDB did not answer: try again."}}, 503
                )
            return {"object": "list", "data": self.entries}

        @app.post("/v1/approvals/{approval_id}")
        def decide(approval_id: str, body: dict[str, str]) -> Any:
            if self.taken:
                return JSONResponse(TAKEN, 409)
            self.decided.append((approval_id, body["decision"]))
            (entry,) = (each for each in self.entries if each["id"] == approval_id)
            status = "approved" if body["decision"] == "approve" else "rejected"
            entry |= {"status": status, "decided_by": "sofia", "decided_at": timestamp()}
            entry |= {"answer": "6,000.00 was paid.", "may_decide": False}
            return entry


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def opened(browser: Any, there: There, cloud: Cloud, inbox: Inbox) -> Iterator[Any]:
    """Open one of the pages as one of the people, on a phone."""
    app = application(there)
    add_welcome_route(app)
    inbox.add_to(app)
    add_page_routes(app, Pages())
    with ExitStack() as running:
        address = running.enter_context(served(app))

        def open_page(name: str, path: str, groups: tuple[str, ...] = ("staff",)) -> Any:
            page = running.enter_context(browser.new_context(viewport=PHONE)).new_page()
            running.enter_context(watched(page))
            enter(page, f"{address}/{path}", name, groups)
            return page

        yield open_page


def test_the_home_page_shows_what_its_person_may_use_and_how_it_stands(opened: Any) -> None:
    from playwright.sync_api import expect

    page = opened("olga", "", ("staff", "operators"))
    expect(page.locator("#cards .card")).to_have_count(7)
    expect(page.locator("#as-whom")).to_have_text("Signed in as olga, of the groups staff, operators.")
    expect(page.locator("[data-card=report]")).to_contain_text("People ask about floods.")
    expect(page.locator("[data-card=report] img")).to_be_visible()
    expect(page.locator("[data-card=mlflow]")).to_contain_text("Prompt version 3 serves.")
    expect(page.locator("[data-card=dashboards]")).to_contain_text("nothing is firing")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    with page.expect_popup() as popup:
        page.get_by_role("button", name="Open the report").click()
    expect(popup.value.locator("p")).to_have_text("report")


def test_a_part_that_cannot_be_read_says_so_in_its_card(opened: Any, there: There) -> None:
    from playwright.sync_api import expect

    def away() -> dict[str, Any]:
        raise ConnectionError("secret words")

    there.alerts_say = away  # type: ignore[method-assign]
    page = opened("olga", "")
    expect(page.locator("[data-card=dashboards]")).to_contain_text("could not be read: ConnectionError.")
    expect(page.locator("[data-card=report]")).to_contain_text("People ask about floods.")


def test_an_inbox_shows_facts_and_asks_once_more_before_it_decides(opened: Any, inbox: Inbox) -> None:
    from playwright.sync_api import expect

    page = opened("sofia", "approvals")
    entry = page.locator("[data-approval=apr-1]")
    expect(entry.locator("h3")).to_have_text("Pay out 6,000.00 EUR for <b>amir</b>")
    expect(entry).to_contain_text("What is above a limit waits. (adjuster-requests-payout)")
    expect(page.locator("[data-approval=apr-2]")).to_contain_text("You requested it yourself")
    expect(page.locator("[data-approval=apr-2] button")).to_have_count(0)
    assert serious(page) == []
    entry.get_by_role("button", name="Approve").click()
    assert serious(page) == []
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Back").click()
    assert inbox.decided == []
    entry.get_by_role("button", name="Refuse").click()
    dialog.get_by_role("button", name="Back").click()
    entry.get_by_role("button", name="Approve").click()
    dialog.get_by_role("button", name="Approve").click()
    expect(page.locator("#outcome")).to_contain_text("6,000.00 was paid.")
    expect(page.locator("#outcome .notice")).to_be_focused()
    assert inbox.decided == [("apr-1", "approve")]
    expect(page.locator("#decided [data-approval=apr-1]")).to_contain_text("approved")
    expect(page.locator("#to-decide")).to_have_text("Nothing waits for your decision.")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def test_what_somebody_else_decided_first_is_told_in_the_dialog(opened: Any, inbox: Inbox) -> None:
    from playwright.sync_api import expect

    inbox.taken = True
    page = opened("sofia", "approvals")
    page.locator("[data-approval=apr-1]").get_by_role("button", name="Approve").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Approve")
    sure.click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(TAKEN["error"]["message"])
    expect(sure).to_be_disabled()


def test_an_inbox_that_cannot_be_read_offers_to_try_again(opened: Any, inbox: Inbox) -> None:
    from playwright.sync_api import expect

    inbox.away = True
    page = opened("sofia", "approvals")
    expect(page.get_by_role("alert")).to_contain_text("DynamoDB did not answer")
    inbox.away = False
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-approval]")).to_have_count(2)


def test_an_empty_inbox_says_that_nothing_waits(opened: Any, inbox: Inbox) -> None:
    from playwright.sync_api import expect

    inbox.entries = []
    page = opened("sofia", "approvals")
    expect(page.locator("#to-decide")).to_have_text("Nothing waits for your decision.")
    assert serious(page) == []
