"""The duration of synthesis compared with that of a CDK app with one empty stack: both warm, validation
off, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checks.bench.report import absolute, entry, median_ratio, publish

ROUNDS = 5
EMPTY = """
import stacks.nodejs
from aws_cdk import App, Stack
app = App()
Stack(app, "Empty")
app.synth()
"""
PARTS = """
import sys, time
began = time.perf_counter()
import app, settings
print(time.perf_counter() - began)
context = settings.read_context([])
for number in range(2):
    began = time.perf_counter()
    app.build(context, f"{sys.argv[1]}/{number}").synth()
    print(time.perf_counter() - began)
"""
"""The imports, a build in which Node loads the library, and the same build again, which is the work of our stacks."""


def main() -> int:
    times: dict[str, list[float]] = {"all stacks": [], "an empty stack": []}
    parts: dict[str, list[float]] = {"imports": [], "first build": [], "second build": []}
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "CDK_VALIDATION": "false", "PYTHONPATH": str(Path.cwd())}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(ROUNDS + 1):
            for name, command in (("all stacks", ["app.py"]), ("an empty stack", ["-c", EMPTY])):
                environment["CDK_OUTDIR"] = str(Path(directory) / f"{name}-{number}")
                began = time.perf_counter()
                subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
                if number:  # the first round warms the caches
                    times[name].append(time.perf_counter() - began)
            command = [sys.executable, "-c", PARTS, f"{directory}/parts-{number}"]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            for name, seconds in zip(parts, done.stdout.split(), strict=True):
                parts[name].append(float(seconds))
    ratio = median_ratio(times["all stacks"], times["an empty stack"])
    publish(
        {"synth.vs_empty": entry(ratio, "ratio", "<= 3", "an empty stack", ROUNDS)},
        absolute("synth", times | parts),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
