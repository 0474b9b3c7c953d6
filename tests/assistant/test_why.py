"""Traces over HTTP, from the local X-Ray: to whom they are shown, and what everyone else is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fmops.agent.resources import Resolver
from fmops.assistant.service import _add_error_handlers
from fmops.assistant.why import Why
from fmops.assistant.why_routes import TRACES_PER_MINUTE, add_why_routes
from fmops.identity.tokens import Pseudonyms
from fmops.traces import TraceReader
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from tests.review.page import PEOPLE, PSEUDONYMS, Desk, Rules, Verifier
from tests.traces.traces import new_id, now, put, request

READERS = ("rita", "otto", "petra", "sofia")
OTHERS = ("ben", "sam")
"""A customer, and a suspended reviewer."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory) as running:
        yield running


@pytest.fixture
def client(cloud: Cloud) -> TestClient:
    return TestClient(make_app(TraceReader(cloud.client("xray"), transaction_search=False)))


def make_app(reader: TraceReader, pseudonyms: Pseudonyms = PSEUDONYMS) -> FastAPI:
    app = FastAPI()
    app.state.verifier = Verifier()
    _add_error_handlers(app)
    add_why_routes(
        app,
        Why(
            reader,
            authorizer=Rules(),
            resolver=Resolver(Desk(), "pool"),  # type: ignore[arg-type]
            pseudonyms=pseudonyms,
            region="eu-central-1",
        ),
    )
    return app


def ask(client: TestClient, trace_id: str, name: str, query: str = "") -> Any:
    return client.get(f"/v1/traces/{trace_id}{query}", headers={"authorization": f"Bearer {name}"})


@pytest.fixture
def carlas(cloud: Cloud) -> str:
    trace_id = new_id()
    put(cloud, *request(trace_id, PSEUDONYMS.user("carla")))
    return trace_id


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_everyone_sees_the_trace_of_their_own_request(client: TestClient, carlas: str) -> None:
    answer = ask(client, carlas, "carla")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["trace_id"], shown["complete"], shown["console_url"]) == (carlas, True, "")
    assert shown["interaction_id"] == f"int-{carlas}"
    assert len(shown["spans"]) == 7
    assert PSEUDONYMS.user("carla") not in answer.text


@pytest.mark.parametrize("name", READERS)
def test_those_who_may_read_traces_see_anyones(client: TestClient, carlas: str, name: str) -> None:
    shown = ask(client, carlas, name).json()
    assert len(shown["spans"]) == 7
    assert shown["console_url"].endswith(f"1-{carlas[:8]}-{carlas[8:]}")


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_not_told_that_it_exists(client: TestClient, carlas: str, name: str) -> None:
    assert code(ask(client, carlas, name)) == (404, "trace_not_found")


def test_nobody_sees_it_without_a_token(client: TestClient, carlas: str) -> None:
    assert client.get(f"/v1/traces/{carlas}").status_code == 401


@pytest.mark.parametrize("name", ["carla", "rita"])
def test_a_trace_that_has_not_arrived_is_worth_another_try(client: TestClient, name: str) -> None:
    answer = ask(client, new_id(), name)
    assert code(answer) == (404, "trace_not_arrived")
    assert int(answer.headers["retry-after"]) > 0


def test_before_the_request_itself_arrived_only_readers_see_its_parts(
    cloud: Cloud, client: TestClient
) -> None:
    trace_id = new_id()
    put(cloud, *request(trace_id, PSEUDONYMS.user("carla"))[1:])
    for name in ("carla", "ben"):
        assert code(ask(client, trace_id, name)) == (404, "trace_not_arrived")
    assert ask(client, trace_id, "rita").json()["complete"] is False


def test_older_than_the_retention_is_gone(client: TestClient, carlas: str) -> None:
    at = (now() - timedelta(days=31)).isoformat().replace("+00:00", "Z")
    for name in ("carla", "rita", "ben"):
        assert code(ask(client, carlas, name, f"?at={at}")) == (410, "trace_expired")


@pytest.mark.parametrize("trace_id", ["x", "A" * 32, "1" * 31, "1" * 33, f"1-{'a' * 8}-{'b' * 24}"])
def test_an_id_that_is_none_is_not_looked_for(client: TestClient, trace_id: str) -> None:
    assert code(ask(client, trace_id, "rita")) == (404, "trace_not_found")


@pytest.mark.parametrize("query", ["?at=yesterday", "?days=0", "?days=31", "?days=many"])
def test_a_bad_time_is_refused(client: TestClient, carlas: str, query: str) -> None:
    answer = ask(client, carlas, "carla", query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in ("query.at", "query.days")


@pytest.mark.parametrize(
    "at", ["2026-01-01", "2026-01-01T10:00:00", "2026-01-01T10:00:00+02:00", "0001-01-01T00:00:00+02:00"]
)
def test_times_are_read_with_and_without_a_zone(client: TestClient, carlas: str, at: str) -> None:
    assert code(ask(client, carlas, "carla", f"?at={at.replace('+', '%2B')}")) == (410, "trace_expired")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-02:00"])
def test_a_time_to_come_is_read_as_now(client: TestClient, carlas: str, at: str) -> None:
    assert ask(client, carlas, "carla", f"?at={at}").status_code == 200


def test_an_x_ray_that_does_not_answer_says_so(cloud: Cloud) -> None:
    # The local X-Ray refuses retrievals while Transaction Search is off.
    client = TestClient(make_app(TraceReader(cloud.client("xray"), transaction_search=True)))
    answer = ask(client, new_id(), "rita")
    assert code(answer) == (503, "traces_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_nobody_may_ask_for_ever(client: TestClient) -> None:
    answers = [ask(client, new_id(), "carla").status_code for _ in range(TRACES_PER_MINUTE + 2)]
    assert answers[-1] == 429
    assert ask(client, new_id(), "rita").status_code == 404


def test_the_people_of_these_tests_are_those_of_the_policies() -> None:
    assert {*READERS, *OTHERS} <= set(PEOPLE)
