"""The assistant's entry point: ``python -m fmops.assistant``."""

from __future__ import annotations

import logging
import os
import resource
import sys
from contextlib import suppress

import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from fmops.assistant.own_loop import OwnLoop
from fmops.assistant.server import BoundedConnection, Server
from fmops.assistant.settings import AssistantSettings
from fmops.assistant.stopping import ANSWERS_SECONDS, Stop
from fmops.written import UnreadableFileError

READERS_SECONDS = 1
"""Seconds that a stop leaves readers to take the ends of their answers."""
DESCRIPTORS = 65_536
"""Maximum number of file descriptors to ask for: more than any task needs."""
SWITCH_SECONDS = 0.0005
"""Seconds after which a busy thread gives way to another: ten times shorter than Python's default, because a
health check waits that long behind each busy turn."""
RESERVED = 128
"""Number of descriptors reserved for everything but client connections: services, files, the event loop."""


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("fmops").setLevel(logging.INFO)
    try:
        settings = AssistantSettings()
    except ValidationError as error:
        for problem in error.errors():
            field = str(problem["loc"][0])
            name = field if field.isupper() else f"FMOPS_{field.upper()}"
            print(f"{name}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    from fmops.assistant.assembly import assemble
    from fmops.assistant.chat_routes import CHAT

    sys.setswitchinterval(SWITCH_SECONDS)

    stop = Stop()
    try:
        assembled, turns = assemble(settings, stop)
    except UnreadableFileError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    app = OwnLoop(
        assembled,
        full=lambda scope: turns.full() if scope["path"] == CHAT and scope["method"] == "POST" else None,
    )
    config = configuration(app, settings)
    server = Server(config, stop, or_else=_leave)
    with suppress(KeyboardInterrupt):
        server.run()
    if server.started:
        # A normal exit would wait for threads that still wait for a service.
        _leave(0)
    return 3


def _leave(code: int = 1) -> None:
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def raise_descriptors() -> int:
    """Raise the limit of file descriptors as far as the container grants; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def configuration(app: ASGIApp, settings: AssistantSettings) -> uvicorn.Config:
    """Return the server's configuration."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=int(ANSWERS_SECONDS) + READERS_SECONDS,
        server_header=False,
        # These headers hold the client's claim about its address and scheme; nothing here reads them.
        proxy_headers=False,
        http=BoundedConnection,
        ws="none",
        h11_max_incomplete_event_size=settings.max_header_bytes,
        # Up to twice as many connections may be open; without a spare descriptor, no client could be told
        # anything.
        limit_concurrency=max(1, min(settings.max_connections, (raise_descriptors() - RESERVED) // 2)),
    )


if __name__ == "__main__":
    sys.exit(main())
