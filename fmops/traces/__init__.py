"""Traces read back from X-Ray, and told in plain language without content."""

from fmops.traces.reader import TraceReader, TracesUnavailableError, Window
from fmops.traces.spans import Trace

__all__ = ["Trace", "TraceReader", "TracesUnavailableError", "Window"]
