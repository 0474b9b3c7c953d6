"""Budgets over HTTP, with the real agent and counters in moto: refusals, messages, and what each kind
of end settles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from moto import mock_aws

from fmops.agent import NAME
from fmops.budgets import Budgets, BudgetSettings, CounterTable, Unit
from fmops.conversation.budget_answers import duration
from fmops.conversation.failures import AnswerFailedError
from fmops.conversation.spending import TurnBudgets
from fmops.conversation.turns import Turns
from fmops.conversation.wire import ChatMessage
from fmops.identity.tokens import Principal, Pseudonyms
from fmops.telemetry.model import MeasuredChatBedrock, metered
from fmops.toolkit.context import RequestContext
from tests.assistant.test_service import BAD, Model, Service, Verifier, call, events
from tests.budgets.table import NAME as TABLE
from tests.budgets.table import Clock, Table
from tests.pages import enter
from tests.served import served

DAY, MONTH, MINUTE = "2026-11-28", "2026-11", "2026-11-28T12:00"
KEY = "a key of sixteen characters"
USER = f"user#{Pseudonyms(KEY).user('subject-1')}"
LONGEST = 100
USAGE: Any = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}


@pytest.fixture(autouse=True, scope="module")
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def said(text: str) -> AIMessage:
    return AIMessage(text, usage_metadata=USAGE)


def asks(tool: str, what: str = "it") -> AIMessage:
    return call(tool, what).model_copy(update={"usage_metadata": USAGE})


class Metered(Service):
    """The service with budgets."""

    def __init__(
        self,
        settings: dict[str, Any],
        *script: Any,
        table: Table | None = None,
        model: Any = None,
        overhead: int = 0,
    ) -> None:
        super().__init__(iter(script), model=model, max_output_tokens=LONGEST)
        self.table, self.clock = table or Table(), Clock()
        parsed = BudgetSettings.model_validate(settings)
        self.budgets = Budgets(
            CounterTable(self.table, TABLE), when_unavailable=parsed.when_unavailable, clock=self.clock
        )
        self.conversation._turn_budgets = TurnBudgets(
            self.budgets,
            parsed,
            Pseudonyms(KEY),
            model_id="scripted",
            max_output_tokens=LONGEST,
            overhead=lambda: overhead,
        )
        # Each request starts and stops the application, which would stop the budgets' threads too.
        self.budgets.close = self.budgets.drain  # type: ignore[method-assign]

    def used(self, account: str = USER, period: str = DAY) -> dict[Unit, int]:
        return self.table.used(account, period)


def last(response: Any, stream: bool) -> dict[str, Any]:
    found: dict[str, Any] = events(response)[-1] if stream else response.json()
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_is_settled_to_what_its_model_calls_reported(stream: bool) -> None:
    it = Metered({"user": {"tokens_per_day": 100_000}}, asks("look_up"), said("It is fine."))
    assert it.ask(stream=stream).status_code == 200
    assert it.used()[Unit.REQUESTS] == 1
    assert it.used()[Unit.TOKENS] == 84
    assert it.used()[Unit.MONEY] == 2 * (30 * 5 + 12 * 25)
    assert it.table.holds() == 0


@pytest.mark.parametrize("stream", [False, True])
def test_requests_above_the_limit_of_a_minute_are_refused_before_the_first_byte(stream: bool) -> None:
    it = Metered({"user": {"requests_per_minute": 1}}, said("It is fine."), said("It is fine."))
    first = it.ask(stream=stream)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    it.clock.now += 12.5
    response = it.ask(stream=stream)
    assert response.status_code == 429
    assert response.headers["content-type"] == "application/json"
    body = response.json()["error"]
    assert (body["type"], body["code"], body["param"]) == ("requests", "rate_limit_exceeded", None)
    assert body["message"] == ("Your limit of 1 request a minute is used up: try again in 48 seconds.")
    assert response.headers["retry-after"] == "48"
    assert response.headers["x-ratelimit-reset-requests"] == "48s"
    assert "x-should-retry" not in response.headers
    refusal = it.sink.records[-1]
    assert (refusal.finish_reason, refusal.error_type, refusal.input) == ("budget_exceeded", "", "")
    assert response.headers["x-interaction-id"] == refusal.interaction_id == body["interaction_id"]
    it.clock.now += 47.5
    assert it.ask(stream=stream).status_code == 200


def test_a_spent_budget_of_money_is_an_insufficient_quota_that_no_client_tries_again() -> None:
    it = Metered({"user": {"usd_per_day": 0.01}}, *[said("It is fine.")] * 50)
    while (response := it.ask()).status_code == 200:
        assert int(response.headers["x-budget-used-percent"]) <= 100
        assert response.headers["x-budget-name"] == "your budget for today"
        assert response.headers["x-budget-reset"] == "12h0m0s"
    body = response.json()["error"]
    assert (body["type"], body["code"]) == ("insufficient_quota", "insufficient_quota")
    assert body["message"] == (
        "Your budget for today is used up: what is left is not enough for another answer."
        " It starts anew at 00:00 UTC on 29 November 2026."
    )
    assert response.headers["retry-after"] == str(12 * 3600)
    assert response.headers["x-should-retry"] == "false"
    assert it.used()[Unit.MONEY] <= 10_000


def test_openais_client_sends_a_spent_budget_once_and_says_so() -> None:
    it = Metered({"user": {"tokens_per_day": 150}}, said("It is fine."), said("It is fine."))
    with TestClient(it.app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1", api_key="good", http_client=http, max_retries=3
        )
        question: Any = [{"role": "user", "content": "Hello"}]
        client.chat.completions.create(model=NAME, messages=question)
        asyncio.run(it.budgets.drain())
        it.table.calls.clear()
        with pytest.raises(openai.RateLimitError) as refused_:
            client.chat.completions.create(model=NAME, messages=question)
    assert refused_.value.code == "insufficient_quota"
    assert it.table.calls["asked"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_that_is_spent_between_two_model_calls_ends_the_turn_in_a_sentence(stream: bool) -> None:
    it = Metered({"user": {"tokens_per_day": 540}}, asks("look_up"), said("never said"))
    response = it.ask(stream=stream)
    assert response.status_code == 200
    assert "Your budget for today is used up" in response.text
    assert "never said" not in response.text
    end = last(response, stream)
    assert end["choices"][0]["finish_reason"] == "length"
    assert end["budget_exceeded"] is True
    assert it.record.finish_reason == "budget_exceeded"
    assert it.record.error_type == ""
    assert [(each.name, each.status) for each in it.record.tool_calls] == [("look_up", "success")]
    assert it.used()[Unit.TOKENS] == 42
    assert it.table.holds() == 0


def test_a_request_that_needs_more_than_its_limit_says_what_to_do() -> None:
    it = Metered({"user": {"tokens_per_minute": 90}})
    response = it.ask()
    assert response.status_code == 429
    assert response.json()["error"]["message"] == (
        "This may take up to 110 tokens, and your limit is 90 tokens a minute:"
        " shorten the conversation, or ask for less with max_tokens."
    )
    assert response.headers["x-should-retry"] == "false"
    it = Metered({"user": {"tokens_per_minute": 90}}, said("It is fine."))
    assert it.ask(max_tokens=60).status_code == 200


def test_the_prompt_and_the_tools_are_reserved_too() -> None:
    it = Metered({"user": {"tokens_per_minute": 190}}, overhead=100)
    assert it.ask().status_code == 429


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_that_a_guardrail_stops_is_a_request_and_costs_no_tokens(stream: bool) -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}})
    it.ask(f"You {BAD}!", stream=stream)
    assert it.record.finish_reason == "content_filter"
    assert it.used() == {Unit.REQUESTS: 1, Unit.TOKENS: 0, Unit.MONEY: 0}
    assert it.table.holds() == 0


def test_an_answer_that_a_guardrail_stops_is_paid_all_the_same() -> None:
    it = Metered(
        {"user": {"tokens_per_day": 1_000}}, said(f"Listen to me now. You are a {BAD} and I say so.")
    )
    it.ask(stream=True)
    assert it.record.finish_reason == "content_filter"
    assert it.used()[Unit.TOKENS] >= 42
    assert it.table.holds() == 0


class Failing(Model):
    """A model that fails at its first call, or in the middle of it."""

    error: Any
    begins: bool = False

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        if self.begins:
            yield ChatGenerationChunk(message=AIMessageChunk("It is "))
        raise self.error


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "ConverseStream")


@pytest.mark.parametrize(
    ("error", "begins", "tokens"),
    [
        (client_error("ThrottlingException"), False, 0),
        (client_error("AccessDeniedException"), False, 0),
        (client_error("ModelTimeoutException"), False, 110),
        (ReadTimeoutError(endpoint_url="x"), False, 110),
        (EventStreamError({"Error": {"Code": "internalServerException"}}, "ConverseStream"), True, 110),
        (RuntimeError("a fault of ours"), True, 110),
    ],
)
def test_a_model_that_refuses_costs_nothing_and_one_that_breaks_off_what_was_reserved(
    error: Exception, begins: bool, tokens: int
) -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}}, model=Failing(script=None, error=error, begins=begins))
    assert it.ask().status_code >= 429
    assert it.used() | {Unit.MONEY: 0} == {Unit.REQUESTS: 1, Unit.TOKENS: tokens, Unit.MONEY: 0}
    assert it.table.holds() == 0


class Endless(Model):
    """A model that says sentences for ever."""

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        while True:
            yield ChatGenerationChunk(
                message=AIMessageChunk("This is a sentence of some length, said again. ")
            )
            await asyncio.sleep(0)


async def test_a_client_who_leaves_pays_what_was_reserved_since_nobody_knows_what_was_written() -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}}, model=Endless(script=None))
    carla = Principal("subject-1", "carla", frozenset(), False, "good", {})
    question = [ChatMessage(role="user", content="Hello")]
    interaction = it.conversation.begin(carla, "", streamed=True)
    admitted = await it.conversation.admit(carla, question, interaction)
    answer = it.conversation.answer(carla, question, interaction, admitted=admitted)
    await anext(answer)
    await answer.aclose()
    await asyncio.gather(it.conversation.flush_budgets(), *it.conversation.captures._under_way)
    assert it.record.finish_reason == "client_disconnect"
    assert it.used()[Unit.TOKENS] == 110
    assert it.table.holds() == 0


async def test_a_client_who_leaves_before_the_model_is_asked_pays_no_tokens() -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}})
    carla = Principal("subject-1", "carla", frozenset(), False, "good", {})
    question = [ChatMessage(role="user", content="Hello")]
    interaction = it.conversation.begin(carla, "", streamed=True)
    admitted = await it.conversation.admit(carla, question, interaction)
    await it.conversation.answer(carla, question, interaction, admitted=admitted).aclose()
    await it.conversation.flush_budgets()
    assert it.used() == {Unit.REQUESTS: 1, Unit.TOKENS: 0, Unit.MONEY: 0}


@pytest.mark.parametrize(("when", "status"), [("refuse", 503), ("allow", 200)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_setting_says_whether_it_answers_while_the_counters_are_away(
    when: str, status: int, stream: bool
) -> None:
    settings = {"user": {"tokens_per_day": 1_000}, "when_unavailable": when}
    it = Metered(settings, said("It is fine."), table=Table(away=True))
    response = it.ask(stream=stream)
    assert response.status_code == status
    if status == 503:
        assert response.json()["error"]["code"] == "budget_unavailable"
        assert response.headers["retry-after"] == "2"
        assert (it.record.finish_reason, it.record.error_type) == ("error", "BudgetUnavailable")


def test_counters_that_go_away_within_a_turn_end_it_with_an_error() -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}}, asks("look_up"), said("never said"))
    reserve, asked = it.budgets.reserve_sync, []

    def once(*arguments: Any) -> Any:
        asked.append(1)
        it.table.away = len(asked) > 1
        return reserve(*arguments)

    it.budgets.reserve_sync = once  # type: ignore[method-assign]
    response = it.ask(stream=True)
    assert events(response)[-1]["error"]["code"] == "budget_unavailable"
    assert it.record.error_type == "BudgetUnavailable"


@pytest.mark.parametrize(
    ("settings", "claims", "counted"),
    [
        ({"team": {"tokens_per_day": 1_000}}, {}, ["customers"]),
        ({"teams": {"customers": {"tokens_per_day": 9}}}, {}, ["customers"]),
        ({"teams": {"others": {"tokens_per_day": 1_000}}}, {}, []),
        ({"team": {"tokens_per_day": 1_000}, "team_claim": "cost_centre"}, {"cost_centre": "4711"}, ["4711"]),
        ({"team": {"tokens_per_day": 1_000}, "team_claim": "units"}, {"units": ["a", "b", "a"]}, ["a", "b"]),
        ({"team": {"tokens_per_day": 1_000}, "team_claim": "units"}, {"units": 4711}, ["4711"]),
        ({"team": {"tokens_per_day": 1_000}, "team_claim": "units"}, {"units": ["", None, 7]}, ["7"]),
        ({"team": {"tokens_per_day": 1_000}, "team_claim": "units"}, {}, []),
    ],
)
async def test_a_claim_of_the_token_says_which_teams_pay(
    settings: dict[str, Any], claims: dict[str, Any], counted: list[str]
) -> None:
    it = Metered(settings)
    turn_budgets = it.conversation._turn_budgets
    assert turn_budgets is not None
    spending = turn_budgets.open(Principal("s", "carla", frozenset({"customers"}), False, "t", claims))
    assert [each.name for each in spending._paying] == counted
    assert [each.key for each in spending._paying] == [
        f"team#{Pseudonyms(KEY).team(name)}" for name in counted
    ]


def test_a_teams_budget_is_told_by_its_name_and_kept_under_a_pseudonym() -> None:
    it = Metered({"teams": {"customers": {"usd_per_month": 0.001}}})
    response = it.ask()
    assert "the budget of your team customers is 0.001 USD a month" in response.json()["error"]["message"]
    it = Metered({"teams": {"customers": {"usd_per_month": 5}}}, said("It is fine."))
    assert it.ask().headers["x-budget-name"] == "the budget of your team customers for this month"
    assert "customers" not in json.dumps([*map(str, it.table.items().items())])


def test_what_the_deployment_has_left_is_not_told_to_its_users() -> None:
    it = Metered({"deployment": {"usd_per_month": 5}}, said("It is fine."))
    headers = it.ask().headers
    assert not [name for name in headers if name.startswith(("x-budget", "x-ratelimit"))]
    it.clock.now += 40 * 86_400
    it = Metered({"deployment": {"tokens_per_day": 120}}, said("It is fine."))
    it.ask()
    assert it.ask().json()["error"]["message"].startswith("The budget of this assistant for today is used up")


def test_without_limits_nothing_is_asked() -> None:
    it = Metered({}, said("It is fine."))
    assert it.ask().status_code == 200
    assert it.table.calls["asked"] == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.2, "1s"),
        (59, "59s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3_600, "1h0m0s"),
        (18_723, "5h12m3s"),
    ],
)
def test_times_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_measured_model_call_reports_its_usage_whatever_becomes_of_its_answer() -> None:
    from tests.conversation.test_finish import MODEL_ID, Bedrock

    client: Any = Bedrock("end_turn")
    model = MeasuredChatBedrock(client=client, model_id=MODEL_ID, max_tokens=9, region_name="us-east-1")
    with metered() as reported:
        list(model.stream("Hello"))
    list(model.stream("Hello"))
    assert [each["total_tokens"] for each in reported] == [7]


def test_what_an_approval_lets_run_is_paid_by_the_approver() -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}})
    approver = Principal("subject-2", "sofia", frozenset(), True, "good", {})
    context = RequestContext(approver, it.conversation.begin(approver, "", streamed=False))
    it.conversation.resume("thread", "interrupt", context, "approve")
    assert context.spending is not None
    assert [each.key for each in context.spending._paying] == [f"user#{Pseudonyms(KEY).user('subject-2')}"]


@pytest.mark.browser
def test_the_page_says_what_is_left_and_that_a_budget_is_spent(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playwright.sync_api import expect

    carla = Principal("subject-1", "carla", frozenset(), False, "good", {})
    monkeypatch.setattr(Verifier, "verify", lambda *_: carla)
    it = Metered(
        {"user": {"tokens_per_day": 600, "requests_per_minute": 2}},
        asks("look_up"),
        said("It is fine."),
        asks("look_up"),
    )
    with served(it.app) as address:
        page = browser.new_page()
        enter(page, f"{address}/chat", "carla")
        for answer, left in (
            ("It is fine.", "81 % of your budget for today is left · 1 of 2 requests are left this minute"),
            ("Your budget for today is used up", "% of your budget for today is left · 0 of 2 requests"),
            ("Your limit of 2 requests a minute is used up", "0 of 2 requests are left this minute"),
        ):
            page.locator("#question").fill("Is it fine?")
            page.keyboard.press("Enter")
            expect(page.locator(".assistant").last).to_contain_text(answer)
            expect(page.locator("#budget")).to_contain_text(left)
        expect(page.locator(".assistant").nth(1)).to_contain_text("because the budget is used up")
        expect(page.locator(".assistant").nth(2).locator(".notice.bad")).to_be_visible()
        expect(page.locator("#question")).to_have_value("Is it fine?")


async def test_a_turn_beyond_the_limit_of_turns_reserves_nothing() -> None:
    it = Metered({"user": {"tokens_per_day": 1_000}})
    it.conversation.turns = Turns(most=8, per_user=1)
    carla = Principal("subject-1", "carla", frozenset(), False, "good", {})
    question = [ChatMessage(role="user", content="Hello")]
    leave = it.conversation.turns.enter(carla.subject)
    with pytest.raises(AnswerFailedError) as refused:
        await it.conversation.admit(carla, question, it.conversation.begin(carla, "", streamed=False))
    assert refused.value.failure.status == 429
    assert it.table.holds() == 0
    leave()
    admitted = await it.conversation.admit(carla, question, it.conversation.begin(carla, "", streamed=False))
    assert it.table.holds() == 1
    admitted.leave()


async def test_a_turn_that_a_budget_refuses_is_under_way_no_more() -> None:
    it = Metered({"user": {"requests_per_minute": 1}})
    carla = Principal("subject-1", "carla", frozenset(), False, "good", {})
    question = [ChatMessage(role="user", content="Hello")]
    (await it.conversation.admit(carla, question, it.conversation.begin(carla, "", streamed=False))).leave()
    with pytest.raises(AnswerFailedError):
        await it.conversation.admit(carla, question, it.conversation.begin(carla, "", streamed=False))
    assert it.conversation.turns.under_way == 0
