"""``python -m checks.scale.calls``: deploy PROFILE into the local AWS, ask ordinary questions, and print the AWS calls
and the CPU time of one, for ops/scale/quotas.toml.

The local AWS counts every call. The questions differ, as people's do, since findings about a known text are not asked
for again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from demo.deployed import deployed
from fmops.agent import NAME
from fmops.written import read_yaml
from local.aws.kernel.api import Context, Params
from local.aws.server import LocalAws
from local.run.options import Options
from local.run.runner import Runner

QUESTIONS = Path("demo/history.yaml")
PERSON = "ordinary"
COUNTED = frozenset(
    {"comprehend", "bedrock-runtime", "bedrock-agent-runtime", "verifiedpermissions", "dynamodb", "s3",
     "secretsmanager", "ssm", "kms", "cognito-idp"}
)  # fmt: skip
"""Services whose calls follow from a request alone. Records, traces, logs and metrics are sent in batches, and prompts
are read by the clock."""
TASK_ROLE = "TaskRole"
"""Part of the name of the assistant's role."""
GREETINGS = ("Good morning", "Good evening", "Hello", "Thank you")
"""Questions without a search, so that the measured ones are not the first."""
SETTLE_SECONDS = 2.0
"""Pause after the last answer, in which its budget is settled and its question is embedded."""
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a process in wall-clock seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Ordinary:
    """Calls of one request, on average over the questions, and the median of its CPU seconds above an idle task's."""

    calls: dict[str, float]
    cpu_seconds: float
    billed: dict[str, float]
    """Units that the services of guardrails bill, by operation."""


class Counting(LocalAws):
    """A local AWS that also counts what guardrails' services would bill: hundreds of characters for Comprehend, at
    least three a call, and thousands for Bedrock's checks, for each kind of check (ops/cost/prices.toml)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.billed: Counter[str] = Counter()

    def authorize(self, context: Context, request: Callable[[], Params]) -> None:
        super().authorize(context, request)
        name = f"{context.service}:{context.operation}"
        if context.service == "comprehend":
            given = request()
            segments = [each["Text"] for each in given.get("TextSegments", ())] or [given["Text"]]
            self.billed[name] += max(3, math.ceil(sum(map(len, segments)) / 100))
        elif context.operation == "InvokeGuardrailChecks":
            given = request()
            texts = [part["text"] for message in given["messages"] for part in message["content"]]
            self.billed[name] += len(given["checks"]) * math.ceil(sum(map(len, texts)) / 1000)


def questions() -> list[str]:
    """Return the usual questions of the demo's history: each is answered by one search."""
    return [question for topic in read_yaml(QUESTIONS)["topics"] for question in topic["ask"]]


def measure(profile: str, port_base: int, directory: Path) -> Ordinary:
    """Deploy a profile and ask every question once, streamed."""
    options = Options(profile=profile, port_base=port_base, directory=directory)
    cloud = Counting(
        port=options.port("aws"), region=options.region, directory=directory, run_servers=True,
        mlflow_port=options.port("mlflow"), prometheus_port=options.port("prometheus"),
    )  # fmt: skip
    runner = Runner(cloud, api_port=options.port("api"))
    with deployed(options, cloud, runner) as (_, users):
        users.create(PERSON, {"groups": ["customers"], "region": "north"})
        token, url = users.id_token(PERSON), runner.base_url()
        pid = next(each.process.pid for each in runner.running if each.container.name == "assistant")
        _ask(url, token, GREETINGS)
        time.sleep(SETTLE_SECONDS)
        cloud.billed.clear()
        with _counted(cloud) as calls:
            spent = [_spent(pid, partial(_ask, url, token, [question])) for question in questions()]
        idle = _spent(pid, partial(time.sleep, IDLE_SECONDS))
    share = idle.cpu / idle.wall
    return Ordinary(
        {name: count / len(spent) for name, count in sorted(calls.items())},
        median(each.cpu - share * each.wall for each in spent),
        {name: units / len(spent) for name, units in sorted(cloud.billed.items())},
    )


@contextmanager
def _counted(cloud: LocalAws) -> Iterator[Counter[str]]:
    """Count the calls of the block, once they have ended."""
    before, counted = Counter(cloud.calls), Counter[str]()
    yield counted
    time.sleep(SETTLE_SECONDS)
    for (role, service, operation), count in (Counter(cloud.calls) - before).items():
        # The knowledge base embeds queries under its own role; what Firehose writes follows the clock.
        if service in COUNTED and (TASK_ROLE in role or service == "bedrock-runtime"):
            counted[f"{service}:{operation}"] += count


def _ask(url: str, token: str, asked: Sequence[str]) -> None:
    """Ask one question after another, and read each answer to its end."""
    with httpx.Client(timeout=120, headers={"authorization": f"Bearer {token}"}) as client:
        for question in asked:
            body = {"model": NAME, "stream": True, "messages": [{"role": "user", "content": question}]}
            with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                answer.read()


def _spent(pid: int, act: Callable[[], None]) -> Spent:
    cpu, wall = _cpu(pid), time.monotonic()
    act()
    return Spent(_cpu(pid) - cpu, time.monotonic() - wall)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process on Linux (proc(5): fields 14 and 15 of its stat); elsewhere 0."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.scale.calls", description=__doc__)
    parser.add_argument("--profile", default="dev")
    parser.add_argument("--port-base", type=int, default=18200)
    options = parser.parse_args()
    found = measure(options.profile, options.port_base, Path("build/scale"))
    lines = [f'"{name}" = {round(count, 2):g}' for name, count in found.calls.items()]
    lines += [f"# billed: {name} {units:.1f} units" for name, units in found.billed.items()]
    sys.stdout.write("\n".join([f"cpu_seconds = {found.cpu_seconds:.3f}", "[ordinary.calls]", *lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
