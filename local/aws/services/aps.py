"""Managed Prometheus: moto's control plane and, if one is on PATH, a real Prometheus for remote write and
queries.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.aws.kernel.api import FALL_THROUGH, Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Response
from local.aws.kernel.ports import check_port
from local.aws.proxy import forward, signed_context
from local.processes.process import Process, base_environment

log = logging.getLogger("local.aps")

DATA_PLANE = re.compile(r"^/workspaces/(?P<workspace>ws-[\w-]+)/api/v1/(?P<path>.+)$")
QUERY_OPERATIONS = {
    "query": "QueryMetrics",
    "query_range": "QueryMetrics",
    "labels": "GetLabels",
    "series": "GetSeries",
    "metadata": "GetMetricMetadata",
    "alerts": "ListAlerts",
}
START_SECONDS = 30


class Metrics(ServiceState):
    """The Prometheus process or, without one, the latest value of each series."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.latest: dict[tuple[tuple[str, str], ...], float] = {}
        self.server: Process | None = None
        self._lock = threading.Lock()
        cloud.on_stop(self.stop)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.cloud.prometheus_port}"

    @property
    def _rules(self) -> Path:
        return self.cloud.directory / "prometheus" / "rules"

    def start(self) -> None:
        program = shutil.which("prometheus")
        if self.server or not self.cloud.run_servers:
            return
        if program is None:
            log.warning(
                "prometheus is not on PATH: remote writes are decoded and kept in memory, and PromQL is not answered"
            )
            return
        check_port(self.cloud.prometheus_port, "Prometheus", "--port-base")
        data = self.cloud.directory / "prometheus"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        self._rules.mkdir()
        (data / "prometheus.yml").write_text(f"rule_files: ['{self._rules}/*.yaml']\n")
        command = [
            program,
            f"--config.file={data / 'prometheus.yml'}",
            f"--storage.tsdb.path={data / 'tsdb'}",
            f"--web.listen-address=localhost:{self.cloud.prometheus_port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
        ]
        log_path = self.cloud.directory / "logs" / "prometheus.log"
        self.server = Process("Prometheus", command, environment=base_environment(), log=log_path)

    def load_rules(self, name: str, text: str) -> None:
        """Start to evaluate the rules of a namespace."""
        import urllib3

        if self.server:
            (self._rules / f"{name}.yaml").write_text(text)
            self.wait()
            answer = urllib3.request("POST", f"{self.url}/-/reload", retries=False, timeout=START_SECONDS)
            if answer.status != 200:
                raise ServiceError("ValidationException", f"rules {name}: {answer.data.decode()}")

    def wait(self) -> None:
        import urllib3

        def is_up() -> bool:
            try:
                return urllib3.request("GET", f"{self.url}/-/ready", retries=False, timeout=1).status == 200
            except urllib3.exceptions.HTTPError:
                return False

        with self._lock:
            if self.server:
                self.server.wait_until(is_up, START_SECONDS)

    def stop(self) -> None:
        if self.server:
            self.server.stop()
            self.server = None


@operation("amp", "CreateRuleGroupsNamespace")
def create_rule_groups_namespace(params: Params, context: Context) -> Any:
    context.state(Metrics).load_rules(params["name"], params["data"].decode())
    return FALL_THROUGH


@operation("amp", "CreateWorkspace")
def create_workspace(_: Params, context: Context) -> Any:
    context.state(Metrics).start()
    return FALL_THROUGH


@install_routes
def _install_data_plane(cloud: Cloud) -> None:
    def call(environ: dict[str, Any], match: re.Match[str]) -> Response:
        path = match["path"]
        action = "RemoteWrite" if path == "remote_write" else QUERY_OPERATIONS.get(path.split("/")[0])
        if action is None and not path.startswith("label/"):
            return Response(501, json.dumps({"message": f"the local AWS does not implement aps:{path}"}))
        context = signed_context(
            environ, cloud, "aps", action or "GetLabels", {"workspaceId": match["workspace"]}
        )
        if isinstance(context, Response):
            return context
        if not _workspace_exists(cloud, match["workspace"]):
            return Response(404, json.dumps({"message": f"workspace {match['workspace']} does not exist"}))
        metrics = cloud.state(Metrics)
        if metrics.server:
            metrics.wait()
            return forward(environ, f"{metrics.url}/api/v1/{'write' if action == 'RemoteWrite' else path}")
        if action == "RemoteWrite":
            import cramjam

            try:
                body = bytes(cramjam.snappy.decompress_raw(environ["wsgi.input"].read()))
                metrics.latest.update(decode_write_request(body))
            except (ValueError, cramjam.DecompressionError) as error:
                return Response(400, f"the body is not a snappy-compressed remote write request: {error}")
            return Response(204, b"")
        return Response(
            501,
            json.dumps(
                {
                    "message": "PromQL needs a real Prometheus on PATH: apt-get install prometheus, or the"
                    " binary of prometheus.io"
                }
            ),
        )

    cloud.routes.append(Route(DATA_PLANE, call))


def _workspace_exists(cloud: Cloud, workspace_id: str) -> bool:
    from moto.amp.models import amp_backends

    return workspace_id in amp_backends[cloud.account][cloud.region].workspaces


def decode_write_request(body: bytes) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the last sample of each series of a remote write request (protobuf: timeseries=1 {labels=1,
    samples=2}).

    Raises ``ValueError`` for bytes that are no such request.
    """
    latest = {}
    for number, series in _fields(body):
        if number != 1:
            continue
        labels, value = [], None
        for part, content in _fields(series):
            inner = dict(_fields(content)) if part in (1, 2) else {}
            if part == 1:
                labels.append((inner.get(1, b"").decode(), inner.get(2, b"").decode()))
            elif part == 2:
                double = inner.get(1, bytes(8))
                if len(double) != 8:
                    raise ValueError("a sample's value is not a double")
                (value,) = struct.unpack("<d", double)
        if value is not None:
            latest[tuple(sorted(labels))] = value
    return latest


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (field number, raw bytes) of a protobuf message; varints come as their encoded bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        start = position
        if kind == 0:
            _, position = _varint(message, position)
        elif kind == 1:
            position += 8
        elif kind == 2:
            length, start = _varint(message, position)
            position = start + length
        elif kind == 5:
            position += 4
        else:
            raise ValueError(f"protobuf wire type {kind}")
        if position > len(message):
            raise ValueError("the message ends within a field")
        yield key >> 3, message[start:position]


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a varint has no end")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
