"""One cloud of the local AWS: the memories of its services, its credentials, its clients and its routes."""

from __future__ import annotations

import logging
import re
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from local.aws.kernel.api import Context, Params, ServiceState
from local.aws.kernel.credentials import (
    ADMIN_ACCESS_KEY,
    ADMIN_SECRET_KEY,
    CredentialStore,
    TemporaryCredentials,
)

log = logging.getLogger("local.aws.kernel.cloud")

ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, max_pool_connections=64)
ACCOUNT = "123456789012"  # moto's default account
State = TypeVar("State", bound=ServiceState)


@dataclass(frozen=True)
class Route:
    """A path that is not an AWS operation: a data plane, or something that the runner itself serves."""

    pattern: re.Pattern[str]
    handler: Callable[..., Any]
    header: str | None = None  # WSGI name of a header that the request must have


class Cloud(ABC):
    """One local AWS: fresh state, one port, all services. ``LocalAws`` starts it.

    `directory` holds what the processes of services write (MLflow's database, unpacked functions, logs).
    `run_servers` starts the real MLflow and Prometheus if a stack asks for them; most tests do without.
    `enforce` checks every call of a role against the role's policies; tests of single services have no roles.
    `gateway_port` is the port on which an AI gateway will listen, for the MLflow server to call; the cloud
    starts none. `deliver_within` limits Firehose's buffering (seconds), for people who do not want to wait
    minutes for it.
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
        self.closers: list[Callable[[], None]] = []
        self._clients: dict[tuple[str, str, Config], Any] = {}
        self._bucket_keys: dict[str, str | None] = {}
        self.encryption_keys: dict[
            str, str
        ] = {}  # customer keys by the ARN of what they encrypt, of other services
        self._client_lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Return the endpoint with `localhost`, not 127.0.0.1: botocore's container provider and moto's S3 both
        require the name."""
        return f"http://localhost:{self.port}"

    def on_stop(self, close: Callable[[], None]) -> None:
        self.closers.append(close)

    def state(self, kind: type[State]) -> State:
        """Return a service's memory, of which each cloud has one, created on first use."""
        with self._state_lock:
            if kind not in self._states:
                self._states[kind] = kind(self)
            state: State = self._states[kind]
            return state

    @abstractmethod
    def authorize(self, context: Context, request: Callable[[], Params]) -> None:
        """Raise ``AccessDenied`` for a call that its role's policies do not permit. The developer
        may do everything."""

    @abstractmethod
    def check_trust(self, role_arn: str, service_principal: str, source_arn: str | None) -> None:
        """Raise ``AccessDenied`` when a role does not trust the service that assumes it for its resource."""

    def bucket_key(self, bucket: str) -> str | None:
        """Return the ARN of the customer managed key that encrypts a bucket's objects by default, if there
        is one.
        """
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
        """Return credentials of a role for a service that acts under it, for its resource ``source_arn``.

        The role must exist in this cloud's IAM.
        """
        key = (role_arn, service_principal, session, source_arn)
        if key not in self._assumed:
            self.client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])
            self.check_trust(role_arn, service_principal, source_arn)
            self._assumed[key] = self.credentials.issue(role_arn, session)
        return self._assumed[key]

    def client(
        self, service: str, *, role: TemporaryCredentials | None = None, config: Config = ONE_ATTEMPT
    ) -> Any:
        """Return a boto3 client of this cloud, as the developer or as a role. Clients are cached, and
        thread-safe.
        """
        key = (service, role.access_key if role else ADMIN_ACCESS_KEY, config)
        with self._client_lock:
            if key not in self._clients:
                self._clients[key] = self.session(role).client(
                    service, endpoint_url=self.endpoint, config=config
                )
            return self._clients[key]

    def session(self, role: TemporaryCredentials | None = None) -> boto3.Session:
        made = botocore.session.Session()
        made.register_component("data_loader", LOADER)
        return boto3.Session(
            botocore_session=made,
            aws_access_key_id=role.access_key if role else ADMIN_ACCESS_KEY,
            aws_secret_access_key=role.secret_key if role else ADMIN_SECRET_KEY,
            aws_session_token=role.token if role else None,
            region_name=self.region,
        )


LOADER = create_loader()
"""Models of the services, which each session would otherwise parse again."""
ROUTE_INSTALLERS: list[Callable[[Cloud], None]] = []


def install_routes(installer: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """Register a function that adds a service's non-AWS paths to each cloud that starts."""
    ROUTE_INSTALLERS.append(installer)
    return installer
