"""The local AWS as a server: start it, and stop it together with the processes of its services."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import threading
from collections.abc import Callable
from typing import Any, Self

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from local.aws import services
from local.aws.front import Front
from local.aws.iam.permissions import Permissions
from local.aws.kernel.api import Context, Params
from local.aws.kernel.cloud import ROUTE_INSTALLERS, Cloud
from local.aws.kernel.ports import check_port

log = logging.getLogger("local.aws.kernel.cloud")


class LocalAws(Cloud):
    """A cloud that is served on its port. Usable as a context manager."""

    _server: BaseWSGIServer | None = None

    def start(self) -> Self:
        check_port(self.port, "the local AWS", "--port-base")
        self.directory.mkdir(parents=True, exist_ok=True)

        class Handler(MotoRequestHandler):
            protocol_version = "HTTP/1.1"  # for keep-alive, and chunks for event streams

            def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
                self.close_connection = True  # even if nothing was answered
                super().connection_dropped(error, environ)

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ARG002 - werkzeug's
                log.debug(message, *args)

        _load_services()
        _reset_moto()
        for install in ROUTE_INSTALLERS:
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
        for close in reversed(self.closers):
            try:
                close()
            except Exception:
                log.exception("closing %s failed", close)
        self.closers.clear()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def authorize(self, context: Context, request: Callable[[], Params]) -> None:
        """Raise ``AccessDenied`` for a call that its role's policies do not permit. The developer
        may do everything."""
        self.calls[context.caller.role_arn or context.caller.arn, context.service, context.operation] += 1
        if self.enforce and context.caller.role_arn is not None:
            self.state(Permissions).check(context, request())

    def check_trust(self, role_arn: str, service_principal: str, source_arn: str | None) -> None:
        if self.enforce:
            self.state(Permissions).check_trust(role_arn, service_principal, source_arn)


def _load_services() -> None:
    importlib.import_module("local.aws.faults")
    for module in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        importlib.import_module(module.name)


def _reset_moto() -> None:
    """Clear moto's state, for processes that start several clouds one after the other."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
