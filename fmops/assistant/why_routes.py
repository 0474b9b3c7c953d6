"""The HTTP route of a request's trace."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Query

from fmops.assistant.caller import Caller
from fmops.assistant.openapi import TOO_OFTEN, answers
from fmops.assistant.rates import Rate
from fmops.assistant.route_errors import (
    TraceExpiredError,
    TraceNotArrivedError,
    TraceNotFoundError,
    UnreadableTracesError,
)
from fmops.assistant.why import Why
from fmops.threads import Threads, run
from fmops.traces.view import TraceView

TRACES_PER_MINUTE = 40
"""Maximum readings of one person per minute: a page that waits for a trace asks every few seconds."""
THREADS = 8
"""Maximum readings at once: each may wait for seconds, and chat has threads of its own."""


def add_why_routes(app: FastAPI, why: Why) -> None:
    """Add the route that shows the trace of a request."""
    rate = Rate(TRACES_PER_MINUTE)
    threads = Threads(THREADS, "traces")

    @app.get(
        "/v1/traces/{trace_id}",
        **answers(
            TraceView,
            TOO_OFTEN,
            TraceNotFoundError,
            TraceNotArrivedError,
            TraceExpiredError,
            UnreadableTracesError,
        ),
    )
    async def trace(
        trace_id: str,
        principal: Caller,
        at: Annotated[
            datetime | None, Query(description="time of the request, which is found faster")
        ] = None,
        days: Annotated[int, Query(ge=1, le=30, description="days to look back, without `at`")] = 1,
    ) -> TraceView:
        """Show how one of the caller's answers came about, without content."""
        rate.take(principal.subject)
        return await run(threads, why.trace, trace_id, principal, at=at, days=days)
