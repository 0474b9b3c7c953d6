"""Forward a request of the front to an HTTP server behind it (MLflow, Prometheus)."""

from __future__ import annotations

import json
from typing import Any

import urllib3

from local.aws.iam.permissions import AccessDenied
from local.aws.kernel.api import Context, Params
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.http import Response, read_signature

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
POOL = urllib3.PoolManager(maxsize=16, retries=False)


def signed_context(
    environ: dict[str, Any], cloud: Cloud, service: str, operation: str, params: Params
) -> Context | Response:
    """Return the context of a data plane call that a known caller signed and may make, or else the refusal.

    ``params`` are the parameters on which the needed permissions depend.
    """
    signature = read_signature(environ)
    caller = cloud.credentials.caller(signature.access_key) if signature else None
    if signature is None or caller is None:
        return Response(
            403,
            json.dumps({"message": f"{service}:{operation} needs a SigV4 signature of known credentials"}),
        )
    context = Context(
        cloud=cloud,
        service=service,
        operation=operation,
        region=signature.region,
        account=cloud.account,
        caller=caller,
        headers=_headers(environ),
    )
    try:
        cloud.authorize(context, lambda: params)
    except AccessDenied as error:
        return Response(403, json.dumps({"message": str(error)}), **{"x-amzn-ErrorType": error.code})
    return context


def forward(environ: dict[str, Any], url: str, *, timeout: float = 60) -> Response:
    """Return the server's answer to the same method, headers and body at `url` (with the request's query)."""
    if environ.get("QUERY_STRING"):
        url += f"?{environ['QUERY_STRING']}"
    headers = {name: value for name, value in _headers(environ).items() if name.lower() not in HOP_BY_HOP}
    headers = {
        name: value
        for name, value in headers.items()
        if name.lower() not in ("authorization", "x-amz-security-token")
    }
    answer = POOL.request(
        environ["REQUEST_METHOD"],
        url,
        body=environ["wsgi.input"].read(),
        headers=headers,
        timeout=timeout,
        decode_content=False,
    )
    response = Response(answer.status, answer.data)
    response.headers.update(
        {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
    )
    return response


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {key[5:].replace("_", "-"): value for key, value in environ.items() if key.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    return headers
