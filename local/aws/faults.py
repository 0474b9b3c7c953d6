"""Faults that calls to the local AWS meet on demand: installed by `PUT /_local/faults`, never in the runtime.

A fault applies to a service and operation (`*` matches any), as botocore names them; a call meets the first
fault that matches it. The journal records when each call began and ended, and which fault it met.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from local.aws.kernel.api import Context, Handler, Params, ServiceState
from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Dropped, Response, plain_error

Kind = Literal[
    "latency", "throttle", "error", "reset", "hang", "garbage", "cut", "partial", "skew", "expired"
]
PARTIAL = {("firehose", "PutRecordBatch")}
"""Operations that may fail in part."""
TOLERANCE = timedelta(minutes=5)
"""Largest difference between a signature's time and the service's clock."""
GARBAGE = {
    "html": ("text/html", b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "json": ("application/json", b'{"unexpected": [1, 2, {"RequestResponses": null}]}'),
    "empty": ("application/json", b""),
    "binary": ("application/octet-stream", bytes(range(256)) * 4),
}
THROTTLED = {
    "bedrock-runtime": (429, "ThrottlingException"),
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "firehose": (503, "ServiceUnavailableException"),
    "s3": (503, "SlowDown"),
    "verifiedpermissions": (429, "ThrottlingException"),
}
LOOK_SECONDS = 0.02
JOURNAL = 100_000


class Fault(BaseModel):
    """A fault of matching calls. ``times`` limits their number, ``every`` skips those in between, and
    ``caller`` is a pattern of ARNs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str
    operation: str = "*"
    caller: str = "*"
    kind: Kind
    times: int | None = Field(default=None, ge=1)
    every: int = Field(default=1, ge=1)
    seconds: float = Field(default=0, ge=0, description="seconds of latency, hang and skew")
    status: int = Field(default=500, ge=400, le=599)
    code: str = "InternalServerException"
    served: bool = Field(
        default=False, description="whether a reset comes after the work is done instead of before"
    )
    after: int = Field(
        default=1, ge=0, description="number of a stream's chunks that arrive before it is cut"
    )
    body: Literal["html", "json", "empty", "binary"] = "html"

    @model_validator(mode="after")
    def _fits(self) -> Fault:
        if self.kind == "partial" and (self.service, self.operation) not in PARTIAL:
            known = ", ".join(f"{service}:{operation}" for service, operation in PARTIAL)
            raise ValueError(f"kind partial is only for {known}, whose answers report what failed")
        if self.kind in ("latency", "skew") and not self.seconds:
            raise ValueError(f"kind {self.kind} needs seconds")
        return self


FAULTS = TypeAdapter(list[Fault])


@dataclass
class Call:
    """One line of the journal. ``status`` is 0 if the connection was dropped; ``left`` is true if the caller
    hung up first."""

    service: str
    operation: str
    caller: str
    began: float
    ended: float | None = None
    status: int | None = None
    fault: str = ""
    left: bool = False


@dataclass
class _Installed:
    fault: Fault
    matched: int = 0
    hits: int = 0


@dataclass
class _Calls:
    faults: list[_Installed] = field(default_factory=list)
    journal: deque[Call] = field(default_factory=lambda: deque(maxlen=JOURNAL))


class Faults(ServiceState):
    """The faults of a cloud, and the journal of its calls."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._lock = threading.Lock()
        self._now = _Calls()
        self._recording = False
        self._released = threading.Event()
        cloud.on_stop(self._released.set)

    def install(self, faults: list[Fault]) -> None:
        """Replace the faults. Calls that hang because of the old ones are released without an answer."""
        with self._lock:
            self._released.set()
            self._released = threading.Event()
            self._now.faults = [_Installed(fault) for fault in faults]

    def record(self) -> None:
        """Start an empty journal."""
        with self._lock:
            self._recording = True
            self._now.journal.clear()

    def described(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{**each.fault.model_dump(), "hits": each.hits} for each in self._now.faults]

    def journal(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self._now.journal]

    def around(
        self,
        environ: dict[str, Any],
        context: Context,
        protocol: str,
        answer: Callable[[Callable[[Handler], Handler]], Response],
    ) -> Response:
        """Return the answer to a call, changed by its fault if it meets one. ``answer`` takes a function that
        changes its handler."""
        call = self._begin(context)
        fault = self._hit(context)
        if fault:
            call.fault = fault.kind
        try:
            response = self._answer(fault, environ, context, protocol, answer, call)
        except Dropped:
            call.status, call.ended = 0, time.time()
            raise
        call.status = response.status
        if isinstance(response.body, bytes):
            call.ended = time.time()
        else:
            response.body = _until_its_end(response.body, call)
        return response

    def _begin(self, context: Context) -> Call:
        call = Call(context.service, context.operation, context.caller.arn, time.time())
        if self._recording:
            with self._lock:
                self._now.journal.append(call)
        return call

    def _hit(self, context: Context) -> Fault | None:
        if not self._now.faults:
            return None
        with self._lock:
            for each in self._now.faults:
                fault = each.fault
                if (
                    fnmatchcase(context.service, fault.service)
                    and fnmatchcase(context.operation, fault.operation)
                    and fnmatchcase(context.caller.arn, fault.caller)
                    and (fault.times is None or each.hits < fault.times)
                ):
                    each.matched += 1
                    if (each.matched - 1) % fault.every:
                        return None
                    each.hits += 1
                    return fault
        return None

    def _answer(
        self,
        fault: Fault | None,
        environ: dict[str, Any],
        context: Context,
        protocol: str,
        answer: Callable[[Callable[[Handler], Handler]], Response],
        call: Call,
    ) -> Response:
        if fault is None:
            return answer(_as_it_is)
        if fault.kind in ("latency", "hang"):
            self._wait(environ, fault, call)
        if fault.kind == "hang" or (fault.kind == "reset" and not fault.served):
            raise _dropped(environ)
        if fault.kind in ("throttle", "error", "expired", "skew"):
            status, code, message = _refusal(fault, context)
            return plain_error(status, code, message, protocol, context.service)
        if fault.kind == "garbage":
            kind, body = GARBAGE[fault.body]
            return Response(200, body, kind)
        response = answer(_partially if fault.kind == "partial" else _as_it_is)
        if fault.kind == "reset":
            raise _dropped(environ)
        return _cut(response, fault.after, environ) if fault.kind == "cut" else response

    def _wait(self, environ: dict[str, Any], fault: Fault, call: Call) -> None:
        """Wait for the fault's seconds or, if it has none, until the faults are replaced; stop when the
        caller hangs up."""
        released = self._released
        connection: socket.socket = environ["werkzeug.socket"]
        deadline = time.monotonic() + (fault.seconds or float("inf"))
        while not released.wait(LOOK_SECONDS) and time.monotonic() < deadline:
            readable, _, _ = select.select([connection], [], [], 0)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                call.left = True
                raise _dropped(environ)


def _as_it_is(handler: Handler) -> Handler:
    return handler


def _partially(handler: Handler) -> Handler:
    """Refuse every second record of a batch, beginning with the first; accept the others."""

    def some(params: Params, context: Context) -> Params:
        records = params["Records"]
        taken = records[1::2]
        answers = iter(handler({**params, "Records": taken}, context)["RequestResponses"] if taken else ())
        refused = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
        responses = [next(answers) if number % 2 else refused for number in range(len(records))]
        return {"FailedPutCount": len(records) - len(taken), "RequestResponses": responses}

    return some


def _refusal(fault: Fault, context: Context) -> tuple[int, str, str]:
    if fault.kind == "error":
        return fault.status, fault.code, "The service has failed."
    if fault.kind == "throttle":
        status, code = THROTTLED.get(context.service, (400, "ThrottlingException"))
        return status, code, "Rate exceeded"
    in_xml = context.service == "s3"
    if fault.kind == "expired":
        code = "ExpiredToken" if in_xml else "ExpiredTokenException"
        return (400 if in_xml else 403), code, "The security token included in the request is expired"
    now = datetime.now(UTC) + timedelta(seconds=fault.seconds)
    code = "RequestTimeTooSkewed" if in_xml else "InvalidSignatureException"
    earliest = now - TOLERANCE
    return 403, code, f"Signature expired: the request is now earlier than {earliest:%Y%m%dT%H%M%SZ}"


def _cut(response: Response, after: int, environ: dict[str, Any]) -> Response:
    """Return the beginning of an answer: half of its bytes, or some chunks of its stream."""
    body = response.body
    if isinstance(body, bytes):
        response.headers["Content-Length"] = str(len(body))
    chunks = iter([body[: len(body) // 2]]) if isinstance(body, bytes) else body

    def beginning() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            if number >= after:
                break
            yield chunk
        raise _dropped(environ)

    response.body = beginning()
    return response


def _dropped(environ: dict[str, Any]) -> Dropped:
    """Reset the connection, as a host that disappears does, once this is raised."""
    environ["werkzeug.socket"].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return Dropped("by a fault")


def _until_its_end(body: Iterator[bytes], call: Call) -> Iterator[bytes]:
    try:
        yield from body
    except Dropped:
        call.status = 0
        raise
    except GeneratorExit:
        call.left = True
        raise
    finally:
        call.ended = time.time()


@install_routes
def _install(cloud: Cloud) -> None:
    def control(environ: dict[str, Any], _: re.Match[str]) -> Response:
        faults, method = cloud.state(Faults), environ["REQUEST_METHOD"]
        if method == "PUT":
            try:
                faults.install(FAULTS.validate_json(environ["wsgi.input"].read()))
            except ValidationError as error:
                said = "; ".join(
                    f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
                )
                kinds = ", ".join(get_args(Kind))
                return Response(400, json.dumps({"message": f"{said} (kinds: {kinds})"}))
        elif method == "DELETE":
            faults.install([])
        elif method != "GET":
            return Response(405, json.dumps({"message": "GET, PUT a list of faults, or DELETE"}))
        return Response(200, json.dumps(faults.described()))

    def journal(environ: dict[str, Any], _: re.Match[str]) -> Response:
        faults = cloud.state(Faults)
        if environ["REQUEST_METHOD"] == "DELETE":
            faults.record()
        return Response(200, json.dumps(faults.journal()))

    cloud.routes.append(Route(re.compile("^/_local/faults$"), control))
    cloud.routes.append(Route(re.compile("^/_local/journal$"), journal))
