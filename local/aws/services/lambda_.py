"""Lambda functions as processes: the published code, the function's environment, its role's credentials."""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import uuid
import zipfile
from pathlib import Path
from typing import IO, Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import TemporaryCredentials
from local.processes.process import base_environment

WORKER = Path(__file__).parents[2] / "processes" / "lambda_worker.py"
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024


class Function:
    """One warm execution environment. Invocations take turns: a concurrent one waits for the first."""

    def __init__(self, cloud: Cloud, config: Any) -> None:
        self._cloud = cloud
        self._config = config
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._directory = cloud.directory / "functions" / config.function_name
        self.arn, self.timeout = str(config.function_arn), int(config.timeout)
        self.log = cloud.directory / "logs" / f"function-{config.function_name}.log"

    def invoke(self, event: Any) -> tuple[Any, str | None]:
        """Return what the handler returned and None, or else the error object and "Unhandled"."""
        with self._lock:
            stdin = self._started()
            stdin.write(json.dumps({"id": str(uuid.uuid4()), "event": event}).encode() + b"\n")
            stdin.flush()
            answer = self._read(float(self.timeout))
        if "error" in answer:
            return answer["error"], "Unhandled"
        return answer["result"], None

    def role(self) -> TemporaryCredentials:
        """Return credentials of the function's role."""
        config = self._config
        return self._cloud.assume(
            config.role,
            "lambda.amazonaws.com",
            session=config.function_name,
            source_arn=config.function_arn,
        )

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            os.close(self._answers)
            self._process = None

    def _started(self) -> IO[bytes]:
        """Return the pipe to the running process for events; start the process if there is none."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        if self._process.stdin is None:
            raise RuntimeError("the worker has no stdin")
        return self._process.stdin

    def _start(self) -> subprocess.Popen[bytes]:
        if not str(self._config.run_time).startswith("python"):
            raise NotImplementedHere(f"runtime {self._config.run_time}; the local AWS runs Python functions")
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(self._config.code_bytes)) as code:
            code.extractall(self._directory)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._answers, theirs = os.pipe()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(WORKER), self._config.handler, str(theirs)],
                env=self._environment(),
                cwd=self._directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)
        return process

    def _environment(self) -> dict[str, str]:
        config = self._config
        return {
            **base_environment(),
            **self.role().environment(),
            **{name: str(value) for name, value in (config.environment_vars or {}).items()},
            "AWS_REGION": self._cloud.region,
            "AWS_DEFAULT_REGION": self._cloud.region,
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "AWS_LAMBDA_FUNCTION_NAME": config.function_name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_size),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _read(self, timeout: float) -> Params:
        """Read one line of the answer pipe; a function that exits or takes too long is answered as Lambda
        does.
        """
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._answers], [], [], timeout)[0]:
                self.stop()
                return {
                    "error": {
                        "errorType": "Sandbox.Timedout",
                        "errorMessage": f"Task timed out after {timeout:.2f} seconds",
                    }
                }
            chunk = os.read(self._answers, 65536)
            if not chunk:
                message = f"The function ended before it answered; see {self.log}"
                return {"error": {"errorType": "Runtime.ExitError", "errorMessage": message}}
            line += chunk
        answer: Params = json.loads(line)
        return answer


class Functions(ServiceState):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._functions: dict[str, Function] = {}
        self._lock = threading.Lock()
        cloud.on_stop(self.stop)

    def function(self, name_or_arn: str) -> Function:
        from moto.awslambda.models import lambda_backends

        backend = lambda_backends[self.cloud.account][self.cloud.region]
        config = backend.get_function(name_or_arn)
        with self._lock:
            if config.function_arn not in self._functions:
                self._functions[config.function_arn] = Function(self.cloud, config)
            return self._functions[config.function_arn]

    def stop(self) -> None:
        for function in self._functions.values():
            function.stop()


@operation("lambda", "Invoke")
def invoke(params: Params, context: Context) -> Params:
    payload = params.get("Payload") or b"{}"
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ServiceError(
            "RequestTooLargeException", f"{len(payload)} bytes exceeded the limit of {MAX_PAYLOAD_BYTES}"
        )
    try:
        event = json.loads(payload)
    except ValueError as error:
        raise ServiceError(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        ) from error
    function = context.state(Functions).function(params["FunctionName"])
    kind = params.get("InvocationType") or "RequestResponse"
    if kind == "DryRun":
        return {"StatusCode": 204}
    if kind == "Event":
        threading.Thread(target=function.invoke, args=(event,), daemon=True).start()
        return {"StatusCode": 202}
    result, error_kind = function.invoke(event)
    answer = {"StatusCode": 200, "Payload": json.dumps(result).encode(), "ExecutedVersion": "$LATEST"}
    return {**answer, "FunctionError": error_kind} if error_kind else answer


@operation("lambda", "InvokeAsync")
def invoke_async(_: Params, __: Context) -> Any:
    raise NotImplementedHere("deprecated; use Invoke with InvocationType Event")
