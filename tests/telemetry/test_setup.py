"""Effects of telemetry on the process in which it is started."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from langchain.agents.middleware import AgentMiddleware
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from fmops.telemetry.setup import start

before = AgentMiddleware.before_model, AgentMiddleware.aafter_agent
start(exporter=InMemorySpanExporter(), reader=InMemoryMetricReader())()
assert (AgentMiddleware.before_model, AgentMiddleware.aafter_agent) == before
"""


def test_instrumentation_adds_no_steps_to_an_agents_graph() -> None:
    # In a process of its own: instrumentation and providers are global.
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], check=True)
