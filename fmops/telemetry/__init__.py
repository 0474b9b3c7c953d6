"""Traces and metrics: set up, named in one module, and cleaned of content before they leave the process."""

from fmops.telemetry.guardrails import observe_guardrails
from fmops.telemetry.setup import start

__all__ = ["observe_guardrails", "start"]
