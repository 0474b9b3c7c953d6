"""Why an answer came about: the trace of a request, for the person whose request it was, and for those whom the
policies permit to read traces."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from fmops.assistant.route_errors import (
    TraceExpiredError,
    TraceNotArrivedError,
    TraceNotFoundError,
    UnreadableTracesError,
)
from fmops.authorization import Authorizer
from fmops.consoles import console
from fmops.identity.tokens import Principal, Pseudonyms
from fmops.interaction import Interaction
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext
from fmops.traces import Trace, TraceReader, TracesUnavailableError, Window
from fmops.traces.reader import xray_id
from fmops.traces.view import TraceView, view

TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Why:
    """Shows traces without content.

    A person sees the parts of a trace that are their own request, recognized by the pseudonym on its span. Whoever
    may ``read_traces`` sees all of it. Its authorizer always enforces, even in ``LOG_ONLY``.
    """

    def __init__(
        self,
        reader: TraceReader,
        *,
        authorizer: Authorizer,
        resolver: ToolResolver,
        pseudonyms: Pseudonyms,
        region: str,
    ) -> None:
        self._reader = reader
        self._authorizer, self._resolver = authorizer, resolver
        self._pseudonyms = pseudonyms
        self._region = region

    def permits(self, principal: Principal) -> bool:
        """Return whether the policies let this person read the traces of others."""
        request = self._resolver.traces(RequestContext(principal, Interaction()))
        [decision] = self._authorizer.decide(principal.token, [request])
        return decision.allowed

    def trace(self, trace_id: str, principal: Principal, *, at: datetime | None, days: int) -> TraceView:
        """Return a trace of around ``at``, or of the last ``days``.

        Raises ``TraceNotFoundError`` for a trace of others, too, so that nobody learns of it; also
        ``TraceNotArrivedError``, ``TraceExpiredError`` and ``UnreadableTracesError``.
        """
        if not TRACE_ID.fullmatch(trace_id):
            raise TraceNotFoundError
        window = Window.around(at) if at else Window.last(timedelta(days=days))
        if window.expired:
            raise TraceExpiredError
        may_read = self.permits(principal)
        try:
            found = self._reader.read([trace_id], window).get(trace_id)
        except TracesUnavailableError as failure:
            raise UnreadableTracesError from failure
        shown = self._visible(found, principal, may_read=may_read)
        return view(shown, console_url=self._address(trace_id) if may_read else "")

    def _address(self, trace_id: str) -> str:
        return console(self._region, "cloudwatch", f"xray:traces/{xray_id(trace_id)}")

    def _visible(self, trace: Trace | None, principal: Principal, *, may_read: bool) -> Trace:
        """Return what this person may see of the trace."""
        if trace is None or not trace.spans:
            raise TraceNotArrivedError
        if may_read:
            return trace
        mine = trace.of(self._pseudonyms.user(principal.subject))
        if mine.spans:
            return mine
        # A request's own span arrives last, so its owner cannot be told from others before.
        raise TraceNotFoundError if trace.requests else TraceNotArrivedError
