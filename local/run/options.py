"""Options of a local run, and the one table of its ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path("build/local")
ALL_OPTIONS = Path(__file__).with_name("all_options.json")
"""Profiles that turn on options which those of cdk.json do not, so that they can be rehearsed."""
PORTS = {
    "aws": (4566, 0),
    "port": (8080, 1),
    "collector_port": (4318, 2),
    "collector_health_port": (13133, 3),
    "mlflow": (5000, 4),
    "prometheus": (9090, 5),
    "collector_content_port": (4319, 6),
    "api": (8081, 7),
    "gateway": (7000, 9),
}
"""The usual number of each port, and its offset from a port base."""
SYNTHESIZED_PORTS = ("port", "collector_port", "collector_health_port", "collector_content_port")
"""Ports that are in the templates, as context of the synthesis."""


@dataclass(frozen=True)
class Options:
    """The options of the command line. Ports follow from `port_base`; without it each has its usual number."""

    profile: str = "dev"
    once: bool = False
    rehearse: bool = False
    port_base: int | None = None
    region: str = "us-east-1"
    context: Mapping[str, str] = field(default_factory=dict)
    then: str = ""
    """A command to run against the deployment before it stops."""
    directory: Path = DIRECTORY
    """Folder of the run's databases, logs and spools."""
    gateway: bool = False
    """Whether to start an AI gateway for MLflow's prompt page."""

    def port(self, name: str) -> int:
        """Return the port of one of ``PORTS``."""
        usual, offset = PORTS[name]
        return usual if self.port_base is None else self.port_base + offset

    def needed_ports(self) -> dict[str, int]:
        """Return every port by its listener, to be checked before anything is started."""
        needed = {
            "the local AWS": self.port("aws"),
            "MLflow": self.port("mlflow"),
            "Prometheus": self.port("prometheus"),
        }
        if self.gateway:
            needed["the AI gateway"] = self.port("gateway")
        for name in SYNTHESIZED_PORTS:
            given = self.context.get(name, "")
            # The settings refuse a value that is not a number, in their own words.
            needed[f"the assistant ({name})"] = int(given) if given.isdecimal() else self.port(name)
        return needed

    def synth_context(self) -> dict[str, str]:
        # The run deploys by hand what a pipeline would; CodePipeline and CodeBuild are not emulated.
        context = {"profile": self.profile, "pipeline": "false"}
        if self.port_base is not None:
            context |= {name: str(self.port(name)) for name in SYNTHESIZED_PORTS}
        if self.rehearse:
            # The tour's users sign in with passwords, which is the only change for a rehearsal.
            context |= {"sign_in": "password", "profiles": str(ALL_OPTIONS)}
        return {**context, **self.context}
