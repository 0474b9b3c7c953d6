"""The provisioner against Grafana's HTTP API as its documentation describes it, and
CloudFormation's waiting address."""

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from observability.dashboards import dashboards

FOLDER = Path(__file__).parents[2] / "lambdas" / "grafana_provisioner"
TOKEN = "glsa_once"
BOARDS = {"fmops-a": {"uid": "fmops-a", "title": "A"}, "fmops-b": {"uid": "fmops-b", "title": "B"}}
SOURCES = [
    {
        "Uid": "fmops-prometheus",
        "Type": "grafana-amazonprometheus-datasource",
        "Url": "https://aps.example/ws",
    },
    {"Uid": "fmops-x-ray", "Type": "grafana-x-ray-datasource"},
]


class Grafana:
    """A Grafana that stores data sources and dashboards by uid and refuses everything else; it also
    answers CloudFormation's PUT."""

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self.boards: dict[str, Any] = {}
        self.plugins: list[str] = []
        self.told: dict[str, Any] = {}
        self.broken = ""
        twin = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                if self.path == "/response":
                    twin.told, status = body, 200
                elif self.headers["authorization"] != f"Bearer {TOKEN}":
                    status = 401
                else:
                    status = twin.serve(self.command, self.path, body)
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, method: str, path: str, body: dict[str, Any]) -> int:
        if path == self.broken:
            return 500
        *_, last = path.split("/")
        match method, path.removesuffix(f"/{last}"):
            case "POST", "/api":
                known = body["uid"] in self.sources if last == "datasources" else True
                if known:
                    return 409
                self.sources[body["uid"]] = body
                return 200
            case "GET" | "PUT" | "DELETE", "/api/datasources/uid":
                return self._kept(self.sources, method, last, body)
            case "POST", "/api/dashboards":
                self.boards[body["dashboard"]["uid"]] = body
                return 200 if body["overwrite"] and body["folderUid"] == "fmops" else 412
            case "DELETE", "/api/dashboards/uid":
                return self._kept(self.boards, method, last, body)
            case "POST", _ if path.startswith("/api/plugins/"):
                self.plugins.append(path.split("/")[3])
                return 200
        return 405

    @staticmethod
    def _kept(things: dict[str, Any], method: str, uid: str, body: dict[str, Any]) -> int:
        if uid not in things:
            return 404
        if method == "PUT":
            things[uid] = body
        if method == "DELETE":
            del things[uid]
        return 200


@pytest.fixture
def grafana() -> Grafana:
    return Grafana()


@pytest.fixture
def provisioning(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("grafana_provisioning")
    sys.modules.pop("grafana_provisioning")


def event(grafana: Grafana, kind: str, **more: Any) -> dict[str, Any]:
    properties = {
        "WorkspaceId": "g-0123456789",
        "Url": grafana.url,
        "Region": "eu-west-1",
        "Plugins": ["grafana-x-ray-datasource"],
        "DataSources": SOURCES,
        "DashboardUids": list(BOARDS),
    }
    return {
        "RequestType": kind,
        "ResponseURL": f"{grafana.url}/response",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Dashboards",
        "ResourceProperties": properties,
        **more,
    }


def run(
    provisioning: ModuleType, grafana: Grafana, kind: str, boards: Any = BOARDS, **more: Any
) -> dict[str, Any]:
    """Send one event as CloudFormation does; the service account must be gone afterwards, whatever happened."""
    client = boto3.client(
        "grafana", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    account = {"id": "7", "name": "fmops-provisioner", "grafanaRole": "ADMIN", "workspaceId": "g-0123456789"}
    key = {"id": "1", "name": "once", "key": TOKEN}
    with Stubber(client) as stub:
        stub.add_response("create_workspace_service_account", account)
        stub.add_response(
            "create_workspace_service_account_token",
            {"serviceAccountToken": key, "serviceAccountId": "7", "workspaceId": "g-0123456789"},
            {"workspaceId": ANY, "serviceAccountId": "7", "name": "once", "secondsToLive": 600},
        )
        stub.add_response(
            "delete_workspace_service_account", {"serviceAccountId": "7", "workspaceId": "g-0123456789"}
        )
        asked = event(grafana, kind, **more)
        provisioning.answer(asked, lambda: provisioning.apply(asked, client, boards))
        stub.assert_no_pending_responses()
    return grafana.told


def test_create_makes_sources_and_dashboards_with_the_workspaces_role(
    provisioning: ModuleType, grafana: Grafana
) -> None:
    told = run(provisioning, grafana, "Create")
    assert told["Status"] == "SUCCESS"
    assert grafana.boards.keys() == BOARDS.keys()
    assert grafana.plugins == ["grafana-x-ray-datasource"]
    metrics, traces = grafana.sources["fmops-prometheus"], grafana.sources["fmops-x-ray"]
    assert metrics["jsonData"] == {
        "httpMethod": "POST",
        "sigV4Auth": True,
        "sigV4AuthType": "ec2_iam_role",
        "sigV4Region": "eu-west-1",
    }
    assert traces["jsonData"] == {"authType": "ec2_iam_role", "defaultRegion": "eu-west-1"}


def test_update_twice_is_the_same_and_takes_away_what_is_gone(
    provisioning: ModuleType, grafana: Grafana
) -> None:
    first = run(provisioning, grafana, "Create")
    only = {"fmops-a": {**BOARDS["fmops-a"], "title": "Another"}}
    for _ in range(2):
        told = run(
            provisioning,
            grafana,
            "Update",
            only,
            PhysicalResourceId=first["PhysicalResourceId"],
            OldResourceProperties={"DashboardUids": list(BOARDS)},
        )
        assert told["Status"] == "SUCCESS"
        assert told["PhysicalResourceId"] == first["PhysicalResourceId"]
    assert {uid: board["dashboard"]["title"] for uid, board in grafana.boards.items()} == {
        "fmops-a": "Another"
    }
    assert len(grafana.sources) == 2


def test_delete_removes_everything_and_what_is_gone_is_no_error(
    provisioning: ModuleType, grafana: Grafana
) -> None:
    run(provisioning, grafana, "Create")
    for _ in range(2):
        assert run(provisioning, grafana, "Delete")["Status"] == "SUCCESS"
    assert (grafana.boards, grafana.sources) == ({}, {})


def test_a_refusal_fails_the_deployment_with_its_reason_and_without_the_token(
    provisioning: ModuleType, grafana: Grafana
) -> None:
    grafana.broken = "/api/dashboards/db"
    told = run(provisioning, grafana, "Create")
    assert told["Status"] == "FAILED"
    assert "POST /api/dashboards/db answered 500" in told["Reason"]
    assert TOKEN not in json.dumps(told)


def test_a_workspace_that_refuses_does_not_keep_its_stack_from_being_deleted(
    provisioning: ModuleType, grafana: Grafana
) -> None:
    run(provisioning, grafana, "Create")
    grafana.broken = "/api/dashboards/uid/fmops-a"
    assert run(provisioning, grafana, "Delete")["Status"] == "SUCCESS"


def test_the_projects_dashboards_are_read_by_uid(provisioning: ModuleType, tmp_path: Path) -> None:
    for uid, model in dashboards().items():
        (tmp_path / f"{uid}.json").write_text(json.dumps(model))
    assert provisioning.read(tmp_path) == dashboards()
