"""The local AWS as an object: start it, make clients for it, stop it."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from werkzeug.serving import BaseWSGIServer, make_server

from local.api import Context, Params, ServiceState
from local.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY, CredentialStore, TemporaryCredentials

log = logging.getLogger("local.cloud")

ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})
ACCOUNT = "123456789012"  # moto's default account
State = TypeVar("State", bound=ServiceState)


@dataclass(frozen=True)
class Route:
    """A path that is not an AWS operation: data planes, and what the runner itself serves."""

    pattern: re.Pattern[str]
    handler: Callable[..., Any]
    header: str | None = None  # WSGI name of a header that the request must have


class PortInUseError(Exception):
    """A port that the run needs is taken."""


class Cloud:
    """One local AWS: fresh state, one port, all services. Usable as a context manager.

    `directory` holds what processes of services write (MLflow's database, unpacked functions, logs).
    `run_servers` starts the real MLflow and Prometheus when a stack asks for them; tests mostly do without.
    `enforce` holds every call of a role to the role's policies; tests of single services do without roles.
    `gateway_port` is where an AI gateway will listen, for the MLflow server to ask; it starts none.
    `deliver_within` caps the buffering of Firehose (seconds), for people who do not want to wait for its minutes.
    """

    def __init__(
        self,
        *,
        port: int = 4566,
        region: str = "us-east-1",
        directory: Path | None = None,
        run_servers: bool = False,
        enforce: bool = True,
        deliver_within: float | None = None,
        mlflow_port: int = 5000,
        gateway_port: int | None = None,
        prometheus_port: int = 9090,
    ) -> None:
        self.port = port
        self.run_servers = run_servers
        self.enforce = enforce
        self.deliver_within = deliver_within
        self.mlflow_port = mlflow_port
        self.gateway_port = gateway_port
        self.prometheus_port = prometheus_port
        self.region = region
        self.account = ACCOUNT
        self.directory = (directory or Path("build/local")).resolve()
        self.credentials = CredentialStore(ACCOUNT)
        self.routes: list[Route] = []
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.aws_managed_policies: dict[
            str, set[str]
        ] = {}  # by role ARN, every policy ARN that the template names
        self.container_credentials: dict[str, TemporaryCredentials] = {}
        self._assumed: dict[tuple[str, str, str, str | None], TemporaryCredentials] = {}
        self._states: dict[type, Any] = {}
        self._state_lock = threading.RLock()
        self._closers: list[Callable[[], None]] = []
        self._clients: dict[tuple[str, str, Config], Any] = {}
        self._bucket_keys: dict[str, str | None] = {}
        self._client_lock = threading.Lock()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """With `localhost`, not 127.0.0.1: botocore's container provider and moto's S3 both insist on the name."""
        return f"http://localhost:{self.port}"

    def start(self) -> Cloud:
        check_port(self.port, "the local AWS", "--port-base")
        self.directory.mkdir(parents=True, exist_ok=True)
        from moto.moto_server.werkzeug_app import MotoRequestHandler

        from local.front import Front

        class Handler(MotoRequestHandler):
            protocol_version = "HTTP/1.1"  # keep-alive, and chunks for event streams

            def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
                self.close_connection = True  # also where nothing was answered
                super().connection_dropped(error, environ)

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ARG002 - werkzeug's
                log.debug(message, *args)

        _load_services()
        _reset_moto()
        for install in _ROUTE_INSTALLERS:
            install(self)
        self._server = make_server(
            "localhost", self.port, Front(self), threaded=True, request_handler=Handler
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-aws", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Flush and stop what the services run, newest first, then the server."""
        for close in reversed(self._closers):
            try:
                close()
            except Exception:
                log.exception("closing %s failed", close)
        self._closers.clear()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Cloud:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def on_stop(self, close: Callable[[], None]) -> None:
        self._closers.append(close)

    def state(self, kind: type[State]) -> State:
        """A service's memory, one per cloud, made on first use."""
        with self._state_lock:
            if kind not in self._states:
                self._states[kind] = kind(self)
            state: State = self._states[kind]
            return state

    def authorize(self, context: Context, request: Callable[[], Params]) -> None:
        """Raise ``AccessDenied`` for a call that the policies of its role do not permit. The developer may do everything."""
        from local.iam.permissions import Permissions

        self.calls[context.caller.role_arn or context.caller.arn, context.service, context.operation] += 1
        if self.enforce and context.caller.role_arn is not None:
            self.state(Permissions).check(context, request())

    def bucket_key(self, bucket: str) -> str | None:
        """ARN of the customer key that encrypts a bucket's objects by default, if one does."""
        if bucket not in self._bucket_keys:
            self._bucket_keys[bucket] = self._read_bucket_key(bucket)
        return self._bucket_keys[bucket]

    def _read_bucket_key(self, bucket: str) -> str | None:
        s3 = self.client("s3")
        try:
            answer = s3.get_bucket_encryption(Bucket=bucket)
        except s3.exceptions.ClientError:
            return None
        (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
        key: str | None = rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        return key

    def assume(
        self,
        role_arn: str,
        service_principal: str,
        *,
        session: str = "local",
        source_arn: str | None = None,
    ) -> TemporaryCredentials:
        """Credentials of a role for a service that acts under it, for its resource ``source_arn``. The role
        must exist in this cloud's IAM.
        """
        key = (role_arn, service_principal, session, source_arn)
        if key not in self._assumed:
            from local.iam.permissions import Permissions

            self.client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])
            if self.enforce:
                self.state(Permissions).check_trust(role_arn, service_principal, source_arn)
            self._assumed[key] = self.credentials.issue(role_arn, session)
        return self._assumed[key]

    def client(
        self, service: str, *, role: TemporaryCredentials | None = None, config: Config = ONE_ATTEMPT
    ) -> Any:
        """A boto3 client of this cloud, as the developer or as a role. Cached; clients are thread-safe."""
        key = (service, role.access_key if role else ADMIN_ACCESS_KEY, config)
        with self._client_lock:
            if key not in self._clients:
                self._clients[key] = self.session(role).client(
                    service, endpoint_url=self.endpoint, config=config
                )
            return self._clients[key]

    def session(self, role: TemporaryCredentials | None = None) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=role.access_key if role else ADMIN_ACCESS_KEY,
            aws_secret_access_key=role.secret_key if role else ADMIN_SECRET_KEY,
            aws_session_token=role.token if role else None,
            region_name=self.region,
        )


_ROUTE_INSTALLERS: list[Callable[[Cloud], None]] = []


def install_routes(installer: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """Register a function that adds a service's non-AWS paths to each cloud that starts."""
    _ROUTE_INSTALLERS.append(installer)
    return installer


def _load_services() -> None:
    import local.services

    importlib.import_module("local.faults")
    for module in pkgutil.iter_modules(local.services.__path__):
        importlib.import_module(f"local.services.{module.name}")


def _reset_moto() -> None:
    """Start from nothing, also when a process starts several clouds one after the other."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()


def check_port(port: int, user: str, option: str) -> None:
    """Raise PortInUseError with the remedy if something listens on the port."""
    check_ports({user: port}, option)


def check_ports(needed: Mapping[str, int], option: str) -> None:
    """Raise PortInUseError that names every port that is taken, by whom, and the remedy. Ports by who needs them."""
    taken = {user: port for user, port in needed.items() if port and _is_taken(port)}
    if not taken:
        return
    holders = {port: _listener(port) for port in taken.values()}
    lines = [
        f"port {port}, which {user} needs, is in use"
        + (f" by `{holder[1]}` (pid {holder[0]})" if (holder := holders[port]) else "")
        for user, port in taken.items()
    ]
    pids = sorted({holder[0] for holder in holders.values() if holder})
    stop = f"stop {'it' if len(lines) == 1 else 'them'}" + (
        f" (kill {' '.join(map(str, pids))})" if pids else ""
    )
    raise PortInUseError("\n".join(lines) + f": {stop} or choose other ports with {option}")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listener(port: int) -> tuple[int, str] | None:
    """Process and command of who listens, where /proc tells."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            if str(descriptor.readlink()) in inodes:
                process = descriptor.parent.parent
                command = (process / "cmdline").read_text().replace("\0", " ").strip()
                return int(process.name), command[:80]
        except OSError:
            continue
    return None
