"""After the tour, a deployment is as it was: every suggested question gets a good answer, and a request that waits
can be made and decided by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import httpx
import pytest

from demo import leftovers, metrics, seed
from demo.accounts import load
from demo.deployed import deployed
from demo.home import ALERTS, PATIENCE, read
from demo.tour import Tour
from demo.visit import Visit
from fmops.agent import NAME
from local.aws.server import LocalAws
from local.run.options import Options
from local.run.report import Section
from local.run.runner import Runner
from tests.demo.conftest import quiet

pytestmark = pytest.mark.rehearsal

PORTS = 23800
USERS = {name: user for name, user in load()["users"].items() if not user.get("suspended")}
UNKNOWN = ("do not know", "cannot", "not permitted", "no such", "could not")


@dataclass
class Desk:
    """A running deployment, after the tour."""

    visit: Visit
    before: dict[str, Any]
    after: dict[str, Any]
    tour: Tour
    tokens: dict[str, str] = field(default_factory=dict)

    def id_token(self, username: str) -> str:
        # A second sign-in with a second factor would wait for the next code.
        if username not in self.tokens:
            self.tokens[username] = self.visit.directory.id_token(username)
        return self.tokens[username]

    def call(self, user: str, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.visit.base_url}/v1/{path}",
            json=body,
            headers={"authorization": f"Bearer {self.id_token(user)}"},
            timeout=60,
        )

    def ask(self, user: str, question: str) -> dict[str, Any]:
        body = {"model": NAME, "messages": [{"role": "user", "content": question}]}
        answer = self.call(user, "POST", "chat/completions", body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    directory = tmp_path_factory.mktemp("after")
    options = Options(port_base=PORTS, directory=directory)
    cloud = LocalAws(
        port=options.port("aws"),
        directory=directory,
        run_servers=True,
        mlflow_port=options.port("mlflow"),
        prometheus_port=options.port("prometheus"),
    )
    runner = Runner(cloud, api_port=options.port("api"))
    with deployed(options, cloud, runner) as (deployment, users):
        visit = Visit(runner.base_url(), deployment.outputs, users, quiet())
        table = deployment.outputs["Assistant"]["RecordsTableName"]
        before = records(table)
        tour = Tour(visit.base_url, users)
        with seed.copied(table, load()["tour"]):
            tour.run()
        yield Desk(visit, before, records(table), tour)


def records(table: str) -> dict[str, Any]:
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    return {f"{item['kind']['S']} {item['id']['S']}": item for item in items}


def test_the_tour_holds_and_leaves_no_trace_in_the_records(desk: Desk) -> None:
    assert desk.tour.held, [(step.ask, step.problems) for step in desk.tour.steps if step.problems]
    assert desk.after == desk.before


@pytest.mark.parametrize("user", USERS)
def test_each_users_suggested_questions_get_a_good_answer(desk: Desk, user: str) -> None:
    questions = desk.call(user, "GET", "welcome").json()["questions"]
    assert len(set(questions)) == 3
    for question in questions:
        answer = desk.ask(user, question)
        (choice,) = answer["choices"]
        text = choice["message"]["content"]
        assert choice["finish_reason"] == "stop", (question, text)
        assert {tool["status"] for tool in answer["tools"]} <= {"success", "waiting"}, (
            question,
            answer["tools"],
        )
        assert answer["tools"], f"{question} is answered from nothing: {text}"
        assert not any(phrase in text.lower() for phrase in UNKNOWN), (question, text)


def test_what_is_left_waits_and_somebody_else_may_decide_it(desk: Desk) -> None:
    before = desk.call("sofia", "GET", "approvals/count").json()["waiting"]
    assert leftovers.chapter(replace(desk.visit, directory=desk), Section("left for people")) == []
    assert desk.call("sofia", "GET", "approvals/count").json()["waiting"] == before + 1
    (entry,) = [
        each for each in desk.call("sofia", "GET", "approvals").json()["data"] if "C-1008" in each["title"]
    ]
    decided = desk.call("sofia", "POST", f"approvals/{entry['id']}", {"decision": "approve"}).json()
    assert decided["status"] == "approved"
    assert "6,500.00 was paid" in decided["answer"]
    seen = desk.call("amir", "GET", f"approvals/{entry['id']}").json()
    assert (seen["status"], seen["decided_by"], seen["answer"]) == ("approved", "sofia", decided["answer"])


def test_the_home_page_reads_alerts_and_opens_mlflow_with_the_roles_permissions(desk: Desk) -> None:
    with httpx.Client(
        base_url=f"{desk.visit.base_url}/v1",
        headers={"authorization": f"Bearer {desk.id_token('olga')}"},
        timeout=PATIENCE,
    ) as client:
        no_alerts = metrics.unanswered(desk.visit)  # PromQL needs a real Prometheus
        cards = read(client, without={ALERTS} if no_alerts else frozenset())
        unread = {name for name, card in cards.items() if "unread" in (card["state"] or {})}
        assert unread == ({ALERTS} if no_alerts else set())
        assert cards["report"]["state"] == {"verdict": None}
        assert no_alerts or set(cards["dashboards"]["state"]) == {"firing"}
        address = client.post("/home/mlflow").json()["url"]
    assert httpx.get(address, timeout=60, follow_redirects=True).is_success
