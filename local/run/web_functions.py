"""Lambda functions that serve HTTP: the image's process with its collector, the Lambda Web Adapter, and the
REST API in front.

As on Lambda, a sandbox is frozen when an answer has ended and thawed by the next request, so that anything that
an application has not delivered by then stays undelivered. One sandbox serves one function: concurrent requests
take turns, where Lambda would start more sandboxes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.aws.kernel.cloud import Cloud
from local.aws.kernel.ports import check_port
from local.processes import programs
from local.processes.process import Process, base_environment
from local.processes.programs import collector_command
from local.run.containers import check_resolved
from observability.collector.template import compose

READY_SECONDS = 60
STOP_SECONDS = 2.0
"""Seconds from Lambda's announcement to the end of the sandbox."""
FUNCTION = re.compile(
    r"/functions/arn:[\w-]+:lambda:[\w-]+:\d+:function:([\w-]+)/(response-streaming-)?invocations$"
)
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


@dataclass(frozen=True)
class WebFunction:
    """A function whose environment configures the adapter, and the API stage that leads to it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    timeout: float
    stage: str
    streams: bool

    @property
    def port(self) -> int:
        return int(self.environment["AWS_LWA_PORT"])

    @property
    def ready_path(self) -> str:
        return self.environment.get("AWS_LWA_READINESS_CHECK_PATH", "/")


def read_web_functions(cloud: Cloud) -> Iterator[WebFunction]:
    """Return the functions behind the account's REST APIs, with everything in their environments resolved."""
    from moto.awslambda.models import lambda_backends

    backend = lambda_backends[cloud.account][cloud.region]
    for name, stage, streams in _integrations(cloud):
        config = backend.get_function(name)
        for variable, value in config.environment_vars.items():
            check_resolved(f"function {name}", variable, value)
        if config.package_type != "Image" or "AWS_LWA_PORT" not in config.environment_vars:
            raise LookupError(
                f"function {name} is behind an API, but is not an image with the Lambda Web Adapter"
            )
        streamed = streams and config.environment_vars.get("AWS_LWA_INVOKE_MODE") == "response_stream"
        environment = {
            **{key: str(value) for key, value in config.environment_vars.items()},
            **cloud.assume(
                config.role, "lambda.amazonaws.com", session=name, source_arn=config.function_arn
            ).environment(),
        }
        yield WebFunction(
            name, list(config.image_config.cmd), environment, float(config.timeout), stage, streamed
        )


def _integrations(cloud: Cloud) -> set[tuple[str, str, bool]]:
    """Return the function and stage of each integration, and whether answers stream."""
    gateway = cloud.client("apigateway")
    found = set()
    for api in gateway.get_rest_apis()["items"]:
        stages = [stage["stageName"] for stage in gateway.get_stages(restApiId=api["id"])["item"]]
        for resource in gateway.get_resources(restApiId=api["id"])["items"]:
            for method in resource.get("resourceMethods", {}).values():
                if match := FUNCTION.search(method.get("methodIntegration", {}).get("uri", "")):
                    found |= {(match[1], stage, bool(match[2])) for stage in stages}
    return found


class Sandbox:
    """One execution environment: the collector and the application, thawed for a request and frozen after it."""

    def __init__(self, cloud: Cloud, function: WebFunction) -> None:
        self._cloud = cloud
        self._function = function
        self._directory = cloud.directory / "functions" / function.name
        self._processes: list[Process] = []
        self._turn = threading.Lock()

    def start(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        (self._directory / "tmp").mkdir(parents=True)
        environment = self._environment()
        if (options := environment.get("FMOPS_COLLECTOR_OPTIONS")) is not None:
            self._processes.append(self._collector(environment, options))
        self._processes.append(
            self._process("assistant", programs.command("assistant", self._function.command), environment)
        )

    def wait_ready(self) -> None:
        """Wait until the application answers, as the adapter does, and then freeze the sandbox until
        its first request."""
        self._processes[-1].wait_until(lambda: self._answers(self._function.ready_path), READY_SECONDS)
        self._freeze()

    @contextlib.contextmanager
    def turn(self) -> Iterator[http.client.HTTPConnection]:
        """Open a connection to the application, which runs for as long as the context does."""
        with self._turn:
            if not self._processes:
                self.start()
                self.wait_ready()
            for process in self._processes:
                process.thaw()
            connection = http.client.HTTPConnection(
                "localhost", self._function.port, timeout=self._function.timeout
            )
            try:
                yield connection
            except TimeoutError:
                self.stop()
                raise
            finally:
                connection.close()
                self._freeze()

    def retire(self) -> None:
        """Replace the sandbox by a new one, as an update of the function's code does."""
        with self._turn:
            self.stop()
            self.start()
            self.wait_ready()

    def stop(self) -> None:
        """Stop the application first, so that the collector runs until it is done."""
        for process in reversed(self._processes):
            process.thaw()
            process.stop()
        self._processes.clear()

    def _freeze(self) -> None:
        for process in self._processes:
            process.freeze()

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("localhost", self._function.port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        return False

    def _environment(self) -> dict[str, str]:
        """Return the function's environment, with what Lambda adds and with the sandbox's paths as they are
        here.
        """
        function, cloud = self._function, self._cloud
        here = f"{self._directory / 'tmp'}/"
        variables = {name: re.sub("^/tmp/", here, value) for name, value in function.environment.items()}
        return {
            **base_environment(),
            "PYTHONUNBUFFERED": "1",  # as the image has it
            "HOME": str(self._directory / "tmp"),
            "TMPDIR": str(self._directory / "tmp"),
            **variables,
            "AWS_REGION": cloud.region,
            "AWS_DEFAULT_REGION": cloud.region,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": cloud.endpoint,
        }

    def _collector(self, environment: dict[str, str], options: str) -> Process:
        """Start the collector as the image's extension does, or a stand-in if there is no real one."""
        configuration = compose(*(each for each in options.split(",") if each), waits=False)  # type: ignore[arg-type]
        return self._process(
            "collector", collector_command(), {**environment, "AOT_CONFIG_CONTENT": configuration}
        )

    def _process(self, name: str, words: list[str], environment: dict[str, str]) -> Process:
        return Process(
            name,
            words,
            environment=environment,
            log=self._cloud.directory / "logs" / f"{name}.log",
            directory=programs.ROOT,
            stop_seconds=STOP_SECONDS,
        )


class Api:
    """The REST API of a function, on a port of this machine."""

    def __init__(self, cloud: Cloud, function: WebFunction, port: int) -> None:
        check_port(port, f"the API of function {function.name}", "--port-base")
        check_port(function.port, f"function {function.name}", "--port-base")
        self.function = function
        self.sandbox = Sandbox(cloud, function)
        self._server = ThreadingHTTPServer(("localhost", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://localhost:{self._server.server_port}/{function.stage}"

    def start(self) -> None:
        self.sandbox.start()
        threading.Thread(target=self._server.serve_forever, name="api", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.sandbox.stop()


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    function = api.function

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix(f"/{function.stage}")
            if path == self.path or path[:1] not in ("", "/", "?"):
                return self._refuse(
                    403, "Missing Authentication Token"
                )  # API Gateway's message for an unknown path
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP
            } | {"x-amzn-trace-id": self.headers.get("x-amzn-trace-id") or _trace_header()}
            try:
                with api.sandbox.turn() as connection:
                    connection.request(self.command, path or "/", body, headers)
                    self._pass_on(connection.getresponse())
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self._refuse(502, "Internal server error")

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # any method
                return self._answer
            raise AttributeError(name)

        def _pass_on(self, answer: http.client.HTTPResponse) -> None:
            """Pass the answer on piece by piece; a client that goes away does not stop the function."""
            pieces: Iterator[bytes] = iter(lambda: answer.read1(65536), b"")
            if not function.streams:
                pieces = iter([answer.read()])
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                self._write(piece)
            self._write(b"")

        def _write(self, piece: bytes) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()

        def _refuse(self, status: int, message: str) -> None:
            content = json.dumps({"message": message}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler


def _trace_header() -> str:
    """Return a header as Lambda passes it: a new trace, whose parent is the function's own segment."""
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=1"
