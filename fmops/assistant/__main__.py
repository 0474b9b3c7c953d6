"""Starts the assistant: ``python -m fmops.assistant``."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from fmops.assistant.server import BoundedConnection
from fmops.assistant.settings import AssistantSettings

GRACE_SECONDS = 20
"""For requests under way after SIGTERM; records then have 20 more, and ECS stops the container after 60."""


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

    server = uvicorn.Server(configuration(assemble(settings), settings))
    with suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 3


def configuration(app: ASGIApp, settings: AssistantSettings) -> uvicorn.Config:
    """How the server serves."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        # The client's word about its address and scheme; nothing here reads them.
        proxy_headers=False,
        http=BoundedConnection,
        ws="none",
        h11_max_incomplete_event_size=settings.max_header_bytes,
        limit_concurrency=settings.max_connections,
    )


if __name__ == "__main__":
    sys.exit(main())
