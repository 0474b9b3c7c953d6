"""The HTTP front of the local AWS: one WSGI app before moto.

A request is routed to an operation by its SigV4 scope and botocore's model. Our own operations are handled here
and the rest falls through to moto in the same process. An operation that neither knows is answered 501 with its
name, never with a made-up success. moto.core is moto's internal API, so moto is pinned exactly and
tests/local/test_front.py covers this file.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import botocore.session
from moto.backend_index import backend_url_patterns
from moto.backends import list_of_moto_modules
from moto.core.eventstream import EventStream, EventStreamEncoder
from moto.core.exceptions import ServiceException as MotoServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import HTTPException, NotFound

from local.aws.faults import Faults
from local.aws.iam.permissions import AccessDenied
from local.aws.kernel.api import FALL_THROUGH, OPERATIONS, Context, Handler, NotImplementedHere, ServiceError
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.http import (
    Dropped,
    Environ,
    Response,
    Signature,
    StartResponse,
    plain_error,
    read_signature,
)

log = logging.getLogger("local.aws.front")

Change = Callable[[Handler], Handler]

# SigV4 signing names with their botocore services; every other name is the service's own.
SERVICES_BY_SIGNING_NAME = {
    "servicequotas": ("service-quotas",),
    "sso": ("sso-admin",),
    "monitoring": ("cloudwatch",),
    "aps": ("amp",),
    "states": ("stepfunctions",),
    "bedrock": ("bedrock-runtime", "bedrock", "bedrock-agent", "bedrock-agent-runtime"),
    "elasticloadbalancing": ("elbv2", "elb"),
}
UNSIGNED_PATHS = re.compile(r"^/[\w-]+_\w+/\.well-known/(jwks\.json|openid-configuration)$")


class Moto(DomainDispatcherApplication):
    """moto's server, which raises NotImplementedError for a service that it does not have."""

    def get_backend_for_host(self, host: str | None) -> Any:
        backend = _moto_backend(host) if host else None
        if host and backend is None:
            raise NotImplementedError(host)
        return backend


@functools.cache
def _moto_backend(host: str) -> str | None:
    if host == "moto_api" or host in list_of_moto_modules():
        return host
    return next(
        (backend for backend, pattern in backend_url_patterns if pattern.match(f"http://{host}")), None
    )


class MalformedRequest(Exception):  # noqa: N818 - an answer
    """A request that the parser fails on, since it takes the types of values for granted."""


ATOMIC = frozenset({"dynamodb"})
"""Services that check a condition and write in one step: moto takes two, between which another thread may
write.
"""


class Front:
    """The WSGI application."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._moto = Moto(create_backend_app)
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        _buffer_body(environ)
        try:
            answer = self._answer(environ)
        except Dropped:
            raise
        except Exception:
            log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            message = (
                f"the local AWS failed on {environ['REQUEST_METHOD']} {environ['PATH_INFO']}; see its log"
            )
            answer = Response(500, json.dumps({"__type": "InternalFailure", "message": message}))
        return answer(start_response)

    def _answer(self, environ: Environ) -> Response:
        path = environ["PATH_INFO"]
        for each in self.cloud.routes:
            if (each.header is None or each.header in environ) and (match := each.pattern.match(path)):
                handled: Response = each.handler(environ, match)
                return handled
        signature = read_signature(environ)
        if signature is None:
            if UNSIGNED_PATHS.match(path):
                return self._signing_keys(environ)
            return plain_error(403, "MissingAuthenticationToken", f"{path} is not signed", "rest-xml", "s3")
        return self._call(environ, signature)

    def _call(self, environ: Environ, signature: Signature) -> Response:
        request = Request(environ)
        service, model, uri_params = route(request, signature.signing_name)
        if service is None:
            return not_implemented(
                signature.signing_name, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", "json"
            )
        protocol = determine_request_protocol(model.service_model, request.content_type)
        caller = self.cloud.credentials.caller(signature.access_key)
        if caller is None:
            message = (
                "The security token included in the request is invalid: the local AWS did not issue this"
                " access key"
            )
            code = "UnrecognizedClientException" if "json" in protocol else "InvalidClientTokenId"
            return plain_error(403, code, message, protocol, service)
        context = Context(
            cloud=self.cloud,
            service=service,
            operation=model.name,
            region=signature.region,
            account=self.cloud.account,
            caller=caller,
            headers=dict(request.headers),
        )

        @functools.cache  # asked for by IAM and by the handler; a thousand vectors take a second to parse
        def parsed() -> Any:
            try:
                return PROTOCOL_PARSERS[protocol](model).parse(
                    {
                        "method": request.method,
                        "values": request.values,
                        "headers": request.headers,
                        "body": request.data,
                        "url_path": request.path,
                        "url_params": uri_params,
                    }
                )
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise MalformedRequest(f"The request is not of the form of {model.name}") from error

        def authorized() -> None:
            # Objects may be large, and everything that IAM needs to know about them is in the address.
            in_address = service == "s3" and model.name in ("PutObject", "UploadPart")
            self.cloud.authorize(context, lambda: uri_params if in_address else parsed())

        def answer(change: Change) -> Response:
            return self._handle(environ, context, model, protocol, authorized, parsed, change)

        return self.cloud.state(Faults).around(environ, context, protocol, answer)

    def _signing_keys(self, environ: Environ) -> Response:
        """Return the parts of a user pool that anybody may read."""
        context = Context(
            cloud=self.cloud,
            service="cognito-idp",
            operation="GetSigningKeys",
            region=self.cloud.region,
            account=self.cloud.account,
            caller=self.cloud.credentials.anonymous,
            headers={},
        )
        return self.cloud.state(Faults).around(
            environ,
            context,
            "json",
            lambda _: self._published(environ, context),
        )

    def _published(self, environ: Environ, context: Context) -> Response:
        pool_id, _, document = environ["PATH_INFO"].removeprefix("/").partition("/.well-known/")
        handler = OPERATIONS.get(("cognito-idp", "GetOpenIdConfiguration"))
        if document != "openid-configuration" or handler is None:
            return self._moto_answer(environ, "cognito-idp", "GetSigningKeys", "json")
        try:
            return Response(200, json.dumps(handler({"UserPoolId": pool_id}, context)))
        except (HTTPException, MotoServiceException) as error:
            return plain_error(400, "ResourceNotFoundException", str(error), "json", "cognito-idp")

    def _handle(
        self,
        environ: Environ,
        context: Context,
        model: Any,
        protocol: str,
        authorized: Callable[[], None],
        parsed: Callable[[], Any],
        change: Change,
    ) -> Response:
        service = context.service
        handler = OPERATIONS.get((service, model.name))
        try:
            authorized()
            if handler is None:
                return self._moto_answer(environ, service, model.name, protocol)
            result = change(handler)(parsed(), context)
        except AccessDenied as error:
            return plain_error(403, error.code, str(error), protocol, service)
        except MalformedRequest as error:
            return plain_error(400, "SerializationException", str(error), protocol, service)
        except ServiceError as error:
            return error_response(model, protocol, error)
        except NotImplementedHere as error:
            return not_implemented(service, model.name, protocol, str(error))
        except (HTTPException, MotoServiceException) as error:  # a handler used one of moto's backends
            code = getattr(error, "error_type", None) or getattr(error, "code", None) or type(error).__name__
            return error_response(
                model, protocol, ServiceError(str(code), str(getattr(error, "message", error)))
            )
        if result is FALL_THROUGH:
            return self._moto_answer(environ, service, model.name, protocol)
        return result_response(model, protocol, result)

    def _moto_answer(self, environ: Environ, service: str, operation: str, protocol: str) -> Response:
        environ["wsgi.input"].seek(0)
        captured: dict[str, Any] = {}

        def capture(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            captured.update(status=int(status.split()[0]), headers=headers)

        try:
            with self._one_at_a_time if service in ATOMIC else contextlib.nullcontext():
                iterable = self._moto(environ, capture)
                body = b"".join(iterable)
            with contextlib.suppress(AttributeError):
                iterable.close()
        except NotImplementedError:
            return not_implemented(service, operation, protocol)
        headers = dict(captured["headers"])
        is_html = (
            headers.get("Content-Type", "").startswith("text/html")
            and body.lstrip()[:9].lower() == b"<!doctype"
        )
        if captured["status"] in (404, 405, 500) and is_html:
            return not_implemented(service, operation, protocol)
        headers.pop("Content-Length", None)
        answer = Response(captured["status"], body)
        answer.headers = {"x-amzn-RequestId": answer.headers["x-amzn-RequestId"], **headers}
        if environ["REQUEST_METHOD"] == "HEAD":
            answer.headers["Content-Length"] = dict(captured["headers"]).get("Content-Length", "0")
            return _head(answer)
        return answer


def _head(answer: Response) -> Response:
    class Head(Response):
        def __init__(self) -> None:
            self.status, self.body, self.headers = answer.status, b"", answer.headers

        def __call__(self, start_response: StartResponse) -> Iterable[bytes]:
            start_response(f"{self.status} OK", list(self.headers.items()))
            return []

    return Head()


def _buffer_body(environ: Environ) -> None:
    """Read the body once, so that routing, handlers and moto each see all of it, and keep-alive stays in
    step.
    """
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if environ.pop("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        body = stream.read()
    else:
        body = stream.read(int(length)) if length else b""
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)


@functools.cache
def _known_services() -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_available_services())


def route(request: Request, signing_name: str) -> tuple[str | None, Any, dict[str, Any]]:
    """Return (service, operation model, URI parameters), or (None, None, {}) if no model has such an
    operation.
    """
    for service in SERVICES_BY_SIGNING_NAME.get(signing_name, (signing_name,)):
        if service not in _known_services():
            continue
        try:
            model, uri_params = get_service_router(service).match(request)
        except (NotFound, NotImplementedError):
            continue
        finally:
            request.environ["wsgi.input"].seek(0)
        return service, model, uri_params
    return None, None, {}


def protocol_of(service: str) -> str:
    return str(get_service_model(service).protocol)


def result_response(model: Any, protocol: str, result: Any) -> Response:
    serializer: Any = get_serializer_class(model.service_model.service_name, protocol)(model)
    if model.has_event_stream_output:
        events = EventStream(result, model.output_shape, serializer.EVENT_STREAM_SERIALIZER_CLS(model))
        return Response(200, _encode(events), "application/vnd.amazon.eventstream")
    answer = serializer.serialize(result or {})
    # An operation whose payload is absent, such as an asynchronous Invoke, has no body.
    response = Response(_status(model, result) or answer["status_code"], answer["body"] or b"")
    response.headers.update(answer["headers"])
    return response


def _status(model: Any, result: Any) -> int | None:
    """Return the HTTP status that the result holds, for an operation whose model has a member for it."""
    members = model.output_shape.members if model.output_shape and isinstance(result, dict) else {}
    names = [name for name, member in members.items() if member.serialization.get("location") == "statusCode"]
    return next((int(result[name]) for name in names if name in result), None)


def _encode(events: Iterable[Any]) -> Iterator[bytes]:
    """Yield one chunk per event, as soon as it exists. An error in mid-stream becomes an exception event, as
    the model defines it."""
    encoder = EventStreamEncoder()
    try:
        for event in events:
            yield encoder.encode_event(event)
    except ServiceError as error:
        name = error.code[0].lower() + error.code[1:]
        headers = {":message-type": "exception", ":exception-type": name, ":content-type": "application/json"}
        yield encoder.encode_message(headers, json.dumps({"message": error.message}).encode())


def error_response(model: Any, protocol: str, error: ServiceError) -> Response:
    serializer = get_serializer_class(model.service_model.service_name, protocol)(model)
    answer = serializer.serialize(error)
    status = getattr(error, "http_status", answer["status_code"])  # unknown to botocore's model
    response = Response(status, answer["body"])
    response.headers.update(answer["headers"])
    return response


def not_implemented(service: str, operation: str, protocol: str, detail: str = "") -> Response:
    message = f"the local AWS does not implement {service}:{operation}{f' ({detail})' if detail else ''}"
    code = "NotImplementedException" if "json" in protocol else "NotImplemented"
    return plain_error(501, code, message, protocol, service)
