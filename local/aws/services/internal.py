"""The runner's own paths below /_local: container credentials, flush, readiness, and who called what."""

from __future__ import annotations

import json
import re
from typing import Any

from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Response
from local.aws.services.aps import Metrics
from local.aws.services.firehose import DeliveryStreams


@install_routes
def _install(cloud: Cloud) -> None:
    def credentials(_: dict[str, Any], match: re.Match[str]) -> Response:
        issued = cloud.container_credentials.get(match["token"])
        if issued is None:
            return Response(404, json.dumps({"message": "no such container"}))
        return Response(200, json.dumps(issued.container_provider_answer()))

    def flush(_: dict[str, Any], __: re.Match[str]) -> Response:
        return Response(200, json.dumps(cloud.state(DeliveryStreams).flush()))

    def calls(_: dict[str, Any], __: re.Match[str]) -> Response:
        rows = [
            {"caller": who, "operation": f"{service}:{name}", "count": n}
            for (who, service, name), n in cloud.calls.items()
        ]
        return Response(200, json.dumps(rows, indent=1))

    def metrics(_: dict[str, Any], __: re.Match[str]) -> Response:
        latest = cloud.state(Metrics).latest
        return Response(
            200, json.dumps([{"labels": dict(labels), "value": value} for labels, value in latest.items()])
        )

    def health(_: dict[str, Any], __: re.Match[str]) -> Response:
        return Response(200, json.dumps({"status": "ok"}))

    for path, handler in (
        (r"credentials/(?P<token>[\w-]+)", credentials),
        ("flush", flush),
        ("calls", calls),
        ("metrics", metrics),
        ("health", health),
    ):
        cloud.routes.append(Route(re.compile(f"^/_local/{path}$"), handler))
