"""Provisioning of data sources and dashboards, by uid, in an Amazon Managed Grafana workspace through Grafana's
HTTP API.

The HTTP API does not accept SigV4: each run creates a service account with a token that lasts ten minutes, and
deletes both at its end.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

TOKEN_SECONDS = 600
FOLDER = {"uid": "fmops", "title": "FMOps"}
HTTP = urllib3.PoolManager(timeout=20, retries=urllib3.Retry(2, redirect=False))
GONE, CONFLICT, BAD = 404, 409, 400

Json = dict[str, Any]


class ProvisioningError(Exception):
    """Grafana refused something; the message names what, and never a token."""


class Grafana:
    """The HTTP API of a workspace."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def send(self, method: str, path: str, body: Json | None = None, *, accept: tuple[int, ...] = ()) -> int:
        """Send a request and return its status. Raises ``ProvisioningError`` for an error that is not among the
        accepted ones."""
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        try:
            answer = HTTP.request(method, f"{self._url}{path}", json=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise ProvisioningError(f"{method} {path}: {type(error).__name__}") from None
        if answer.status >= BAD and answer.status not in accept:
            detail = answer.data[:500].decode(errors="replace")
            raise ProvisioningError(f"{method} {path} answered {answer.status}: {detail}")
        return int(answer.status)


def apply(event: Mapping[str, Any], client: Any, dashboards: Mapping[str, Json]) -> None:
    """Apply the event's change. ``dashboards`` are Grafana's JSON models by their uid."""
    wanted, before = event["ResourceProperties"], event.get("OldResourceProperties") or {}
    with signed_in(client, wanted["WorkspaceId"], wanted["Url"]) as grafana:
        if event["RequestType"] == "Delete":
            remove(grafana, dashboards, sources(wanted))
            return
        left = set(before.get("DashboardUids", ())) - dashboards.keys()
        for plugin in wanted["Plugins"]:
            grafana.send("POST", f"/api/plugins/{plugin}/install", {}, accept=(CONFLICT,))
        for source in sources(wanted).values():
            upsert_source(grafana, source)
        grafana.send("POST", "/api/folders", FOLDER, accept=(CONFLICT, 412))
        for dashboard in dashboards.values():
            body = {"dashboard": {**dashboard, "id": None}, "folderUid": FOLDER["uid"], "overwrite": True}
            grafana.send("POST", "/api/dashboards/db", body)
        for uid in sorted(left):
            grafana.send("DELETE", f"/api/dashboards/uid/{uid}", accept=(GONE,))


def upsert_source(grafana: Grafana, source: Json) -> None:
    path = f"/api/datasources/uid/{source['uid']}"
    if grafana.send("GET", path, accept=(GONE,)) == GONE:
        grafana.send("POST", "/api/datasources", source)
    else:
        grafana.send("PUT", path, source)


def remove(grafana: Grafana, dashboards: Mapping[str, Json], found: Mapping[str, Json]) -> None:
    for uid in dashboards:
        grafana.send("DELETE", f"/api/dashboards/uid/{uid}", accept=(GONE,))
    for uid in found:
        grafana.send("DELETE", f"/api/datasources/uid/{uid}", accept=(GONE,))


def sources(properties: Mapping[str, Any]) -> dict[str, Json]:
    """Return the data sources by uid: metrics, traces and CloudWatch, read with the workspace's own role."""
    found: dict[str, Json] = {}
    for source in properties["DataSources"]:
        region = {"authType": "ec2_iam_role", "defaultRegion": properties["Region"]}
        signing = {
            "httpMethod": "POST",
            "sigV4Auth": True,
            "sigV4AuthType": "ec2_iam_role",
            "sigV4Region": properties["Region"],
        }
        found[source["Uid"]] = {
            "uid": source["Uid"],
            "name": source["Uid"],
            "type": source["Type"],
            "access": "proxy",
            "url": source.get("Url", ""),
            "jsonData": signing if source.get("Url") else region,
        }
    return found


@contextmanager
def signed_in(client: Any, workspace: str, url: str) -> Iterator[Grafana]:
    """Yield the HTTP API, signed in as a service account that exists only within the context."""
    account = client.create_workspace_service_account(
        workspaceId=workspace, name="fmops-provisioner", grafanaRole="ADMIN"
    )["id"]
    try:
        token = client.create_workspace_service_account_token(
            workspaceId=workspace, serviceAccountId=account, name="once", secondsToLive=TOKEN_SECONDS
        )["serviceAccountToken"]["key"]
        yield Grafana(url, token)
    finally:
        client.delete_workspace_service_account(workspaceId=workspace, serviceAccountId=account)


def read(directory: Path) -> dict[str, Json]:
    """Return the dashboards that came with the function's code, by uid."""
    models = [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]
    return {model["uid"]: model for model in models}


def answer(event: Mapping[str, Any], work: Callable[[], None]) -> None:
    """Do the work and report the outcome to CloudFormation, even a failure: otherwise the stack waits for an
    hour.
    """
    outcome = {"Status": "SUCCESS"}
    try:
        work()
    except Exception as error:  # noqa: BLE001 - CloudFormation must hear of any error
        if event["RequestType"] != "Delete":
            outcome = {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:500]}
        else:  # the workspace is deleted with the stack, and its content with it
            print(f"left for the workspace's own deletion: {type(error).__name__}: {error}")  # noqa: T201 - the log
    body = json.dumps(
        {
            **outcome,
            "PhysicalResourceId": event.get("PhysicalResourceId") or event["LogicalResourceId"],
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
    ).encode()
    HTTP.request("PUT", event["ResponseURL"], body=body, headers={"content-type": ""})
