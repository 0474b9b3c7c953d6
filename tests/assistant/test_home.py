"""The home page's cards: each person sees what the policies permit, and a part that fails breaks no other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fmops.agent.resources import Resolver
from fmops.assistant.elsewhere import REPORT, Elsewhere, Places
from fmops.assistant.home import Home
from fmops.assistant.home_routes import add_home_routes
from fmops.assistant.http_errors import add_error_handlers
from fmops.assistant.readings import Readings
from fmops.identity.tokens import Principal
from fmops.threads import Threads
from local.aws.kernel.cloud import Cloud
from tests.local.conftest import cloud
from tests.review.page import Desk, Rules, Verifier

__all__ = ["cloud"]

LAKE = "lake"
APP = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-1"
OUTCOME = {"verdict": "drift", "alert": True, "sentence": "People ask about floods.", "window": "2026-11-27"}
STANDING = {"serving": "3", "move": None, "gate": {"decision": "refuse", "candidate": "careless"}}
QUIET = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})


class Inbox:
    """An inbox that concerns staff, with two calls for supervisors."""

    def concern(self, principal: Principal) -> bool:
        return "staff" in principal.groups

    def waiting_for(self, principal: Principal) -> int:
        return 2 if "supervisors" in principal.groups else 0


class Registry:
    def standing(self, name: str) -> dict[str, Any]:
        return STANDING


class There(Elsewhere):
    """The real readers and addresses over the local AWS, with alerts as the test says."""

    alerts_say: Callable[[], dict[str, Any]] = staticmethod(lambda: {"firing": []})
    presigned: list[str] = []

    def alerts(self) -> dict[str, Any]:
        return self.alerts_say()


@pytest.fixture
def there(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> There:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    places = Places(lake=LAKE, prometheus="https://p/", grafana=True, table="db.records")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=LAKE)
    for kind, body in (("json", json.dumps(OUTCOME)), ("svg", "<svg/>"), ("html", "<p>report</p>")):
        s3.put_object(Bucket=LAKE, Key=f"{REPORT}.{kind}", Body=body, ContentType=f"text/{kind}")
    return There(cloud.session(), places, tracking_uri=APP, config=QUIET)


@pytest.fixture
def client(there: There) -> TestClient:
    return TestClient(application(there))


def application(
    there: Elsewhere, readings: Readings | None = None, registry: Any = Registry, drafting: Any = None
) -> FastAPI:
    home = Home(
        approvals=Inbox(),  # type: ignore[arg-type]
        review=None,
        drafting=drafting,
        registry=registry,
        elsewhere=there,
        authorizer=Rules(),
        resolver=Resolver(Desk(), "pool"),  # type: ignore[arg-type]
        readings=readings,
    )
    app = FastAPI()
    app.state.verifier = Verifier()
    add_error_handlers(app)
    add_home_routes(app, home)
    return app


def ask(client: TestClient, name: str, path: str = "", *, method: str = "GET") -> Any:
    return client.request(method, f"/v1/home{path}", headers={"authorization": f"Bearer {name}"})


def cards(client: TestClient, name: str) -> dict[str, dict[str, Any]]:
    return {card["name"]: card for card in ask(client, name).json()["cards"]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("carla", ["chat"]),
        ("amir", ["chat", "approvals"]),
        ("rita", ["chat", "approvals", "report", "traces", "records"]),
        ("petra", ["chat", "approvals", "playground", "traces"]),
        ("olga", ["chat", "approvals", "mlflow", "dashboards", "report", "traces", "records"]),
    ],
)
def test_each_person_sees_the_cards_that_the_policies_permit(
    client: TestClient, name: str, expected: list[str]
) -> None:
    assert list(cards(client, name)) == expected


def test_whoever_may_edit_documents_sees_how_the_gaps_stand(there: There) -> None:
    class Drafting:
        def standing(self) -> dict[str, Any]:
            return {"gaps": 2, "untouched": 1, "drafts": 1}

    client = TestClient(application(there, drafting=Drafting()))
    assert cards(client, "rita")["gaps"]["state"] == {"gaps": 2, "untouched": 1, "drafts": 1}
    assert not any("gaps" in cards(client, name) for name in ("carla", "amir", "petra", "olga"))


def test_the_cards_tell_their_states(client: TestClient) -> None:
    shown = cards(client, "olga")
    assert shown["approvals"]["state"] == {"waiting": 0}
    assert shown["mlflow"]["state"] == STANDING
    assert shown["dashboards"] == {
        "name": "dashboards",
        "state": {"firing": []},
        "link": "https://us-east-1.console.aws.amazon.com/grafana/home?region=us-east-1#/workspaces",
    }
    assert shown["report"]["state"] == OUTCOME
    assert shown["records"]["table"] == "db.records"
    assert shown["traces"]["link"] == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#xray:traces/query"
    )
    assert cards(client, "petra")["playground"]["state"] == STANDING
    assert cards(client, "petra")["traces"]["link"] == "", "AWS's console is for operators"


def test_nobody_without_a_token_sees_any(client: TestClient) -> None:
    assert client.get("/v1/home").status_code == 401


def test_a_part_that_fails_says_so_without_a_word_of_what_it_read(there: There) -> None:
    def refused() -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "secret words"}}, "ListAlerts")

    there.alerts_say = refused  # type: ignore[method-assign]
    shown = cards(TestClient(application(there)), "olga")
    assert shown["dashboards"]["state"] == {"unread": "ListAlerts answered Throttling"}
    assert shown["report"]["state"] == OUTCOME


def test_a_part_that_hangs_is_given_up_and_not_asked_again(there: There) -> None:
    release, asked = threading.Event(), []

    def hangs() -> dict[str, Any]:
        asked.append("")
        release.wait()
        return {"firing": []}

    there.alerts_say = hangs  # type: ignore[method-assign]
    readings = Readings(Threads(8, "home"), deadline=0.05)
    client = TestClient(application(there, readings))
    try:
        for _ in range(3):
            assert cards(client, "olga")["dashboards"]["state"] == {
                "unread": "there was no answer within 0.05 seconds"
            }
        assert len(asked) == 1
    finally:
        release.set()


def test_what_is_shared_is_read_once_for_all(there: There) -> None:
    asked: list[str] = []

    def standing() -> Any:
        class Counting:
            def standing(self, name: str) -> dict[str, Any]:
                asked.append(name)
                return STANDING

        return Counting()

    client = TestClient(application(there, registry=standing))
    cards(client, "olga")
    cards(client, "petra")
    assert len(asked) == 1


def test_before_the_first_report_there_is_none(cloud: Cloud, there: There) -> None:
    for kind in ("json", "svg", "html"):
        cloud.client("s3").delete_object(Bucket=LAKE, Key=f"{REPORT}.{kind}")
    client = TestClient(application(there))
    assert cards(client, "rita")["report"]["state"] == {"verdict": None}
    assert ask(client, "rita", "/plot").status_code == 404


def test_the_report_opens_by_an_address_of_its_own(client: TestClient) -> None:
    from urllib.request import urlopen

    url = ask(client, "rita", "/report", method="POST").json()["url"]
    assert "X-Amz-Expires=300" in url
    with urlopen(url) as answer:
        assert answer.read() == b"<p>report</p>"


def test_the_plot_is_an_image(client: TestClient) -> None:
    answer = ask(client, "rita", "/plot")
    assert (answer.content, answer.headers["content-type"]) == (b"<svg/>", "image/svg+xml")


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("carla", "GET", "/plot"),
        ("amir", "POST", "/report"),
        ("rita", "POST", "/mlflow"),
        ("petra", "POST", "/mlflow"),
    ],
)
def test_who_sees_no_card_gets_no_address(client: TestClient, name: str, method: str, path: str) -> None:
    answer = ask(client, name, path, method=method)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "home_not_permitted")
