"""HTTP requests as the front reads them, and answers as services give them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
UNSIGNED_TARGETS = {"AWSCognitoIdentityProviderService": "cognito-idp"}
CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class Dropped(ConnectionResetError):  # noqa: N818 - an answer, not a fault of ours
    """The caller gets no answer, or no more of it: the connection ends."""


@dataclass(frozen=True)
class Signature:
    access_key: str | None
    region: str
    signing_name: str


class Response:
    """A complete or streaming answer."""

    def __init__(
        self,
        status: int,
        body: str | bytes | Iterator[bytes],
        content_type: str = "application/json",
        **headers: str,
    ) -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = {"Content-Type": content_type, "x-amzn-RequestId": str(uuid.uuid4())}
        self.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    def __call__(self, start_response: StartResponse) -> Iterable[bytes]:
        headers = list(self.headers.items())
        if isinstance(self.body, bytes):
            headers.append(("Content-Length", str(len(self.body))))
            start_response(f"{self.status} {'OK' if self.status < 400 else 'ERROR'}", headers)
            return [self.body]
        start_response(f"{self.status} OK", headers)
        return self.body


def read_signature(environ: Environ) -> Signature | None:
    """Return the SigV4 scope of a signed or presigned request, cognito-idp for its public calls, or None for
    an unsigned request."""
    if match := CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", "")):
        return Signature(match[1], match[2], match[3])
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if credential := query.get("X-Amz-Credential"):
        access_key, _, region, name, _ = credential[0].split("/")
        return Signature(access_key, region, name)
    if access_key_v2 := query.get("AWSAccessKeyId"):  # boto3's default for presigned S3 URLs is still SigV2
        return Signature(access_key_v2[0], "us-east-1", "s3")
    target = environ.get("HTTP_X_AMZ_TARGET", "").split(".")[0]
    if target in UNSIGNED_TARGETS:
        return Signature(None, "", UNSIGNED_TARGETS[target])
    return None


def plain_error(status: int, code: str, message: str, protocol: str, service: str) -> Response:
    """Return an error that no service models, in the protocol's form."""
    if "json" in protocol:
        body = json.dumps({"__type": code, "message": message})
        return Response(status, body, "application/json", **{"x-amzn-ErrorType": code})
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    wrapped = (
        error if service == "s3" else f"<ErrorResponse>{error}<RequestId>local</RequestId></ErrorResponse>"
    )
    return Response(status, wrapped, "text/xml")
