"""Starts the assistant: ``python -m fmops.assistant``."""

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

READERS_SECONDS = 1
"""Seconds that a stop leaves readers to take the ends of their answers."""
DESCRIPTORS = 65_536
"""More than any task needs."""
SWITCH_SECONDS = 0.0005
"""Seconds after which a busy thread gives way to another, ten times shorter than Python's own: so long a health
check waits behind the turns."""
RESERVED = 128
"""Descriptors for what is no connection of a client: services, files, the loop."""


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
    from fmops.conversation.turns import Turns

    sys.setswitchinterval(SWITCH_SECONDS)

    stop = Stop()
    turns = Turns(settings.max_turns, settings.max_turns_per_user)
    app = OwnLoop(
        assemble(settings, stop, turns),
        full=lambda scope: turns.full() if scope["path"] == CHAT and scope["method"] == "POST" else None,
    )
    config = configuration(app, settings)
    server = Server(config, stop, or_else=_leave)
    with suppress(KeyboardInterrupt):
        server.run()
    if server.started:
        # Threads that still wait for a service would be waited for.
        _leave(0)
    return 3


def _leave(code: int = 1) -> None:
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def raise_descriptors() -> int:
    """Take as many file descriptors as the container grants; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def configuration(app: ASGIApp, settings: AssistantSettings) -> uvicorn.Config:
    """How the server serves."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=int(ANSWERS_SECONDS) + READERS_SECONDS,
        server_header=False,
        # The client's word about its address and scheme; nothing here reads them.
        proxy_headers=False,
        http=BoundedConnection,
        ws="none",
        h11_max_incomplete_event_size=settings.max_header_bytes,
        # Twice as many connections are open at most; without a descriptor nobody could be told anything.
        limit_concurrency=max(1, min(settings.max_connections, (raise_descriptors() - RESERVED) // 2)),
    )


if __name__ == "__main__":
    sys.exit(main())
