"""Choosing review tasks among a million interactions: time compared with merely reading them, and peak memory.

Each part runs in a process of its own, so that its peak memory is its own. ``ROWS`` in the environment changes
the number of interactions.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from checks.bench.report import entry, median_ratio, publish

ROWS = int(os.environ.get("ROWS", "1000000"))
OBJECTS = 20
ROUNDS = 3
DAY = "2026-11-20"
BUDGET = 200
MEMORY_MIB = 1024


def write(directory: Path) -> int:
    """Write the objects of a day, with records of ordinary size and an embedding of 384 dimensions; return the
    bytes of JSON."""
    from fmops.interaction import (
        Embedding,
        GuardrailFinding,
        GuardrailOutcome,
        Interaction,
        RetrievedDocument,
    )

    templates = [
        Interaction(
            interaction_id="int-" + "0" * 32,
            user=f"{number:032x}",
            started_at=f"{DAY}T{number % 24:02}:00:00.000000Z",
            input="What does my household insurance cover when a pipe bursts? " * 2,
            output="Water damage by a burst pipe is covered, wear and tear is not. " * 4,
            finish_reason="stop",
            retrieved=[RetrievedDocument(document_id="household-water-damage", score=0.7)],
            embedding=Embedding.encode("m", [((number * 31 + index) % 97) / 97 for index in range(384)]),
            guardrails=[
                GuardrailOutcome(
                    direction="input",
                    action="allow",
                    findings=[
                        GuardrailFinding(category="insult", score=number % 100 / 100, detector="toxicity")
                    ],
                )
            ],
        ).line()
        for number in range(500)
    ]
    at = templates[0].index(b"int-" + b"0" * 32) + 4
    size = 0
    for number in range(OBJECTS):
        path = directory / f"interactions/dt={DAY}/hour={number:02}"
        path.mkdir(parents=True)
        packer = zlib.compressobj(1, wbits=31)
        with (path / "part").open("wb") as file:
            for row in range(number * ROWS // OBJECTS, (number + 1) * ROWS // OBJECTS):
                line = templates[row % len(templates)]
                size += len(line)
                file.write(packer.compress(line[:at] + f"{row:032x}".encode() + line[at + 32 :]))
            file.write(packer.flush())
    return size


def part(name: str, directory: Path) -> None:
    """Do one part and print its seconds and this process's peak memory in MiB."""
    from fmops.capture import lake
    from fmops.review.sampling import SamplingSettings, draw

    connection = lake.connect(directory, memory="384MB")
    began = time.perf_counter()
    if name == "scan":
        connection.execute(
            "SELECT count(interaction_id), sum(len(output)), count(guardrails) FROM interactions"
        ).fetchall()
    else:
        sample = draw(connection, DAY, SamplingSettings(budget=BUDGET))
        (directory / "manifest.jsonl").write_text("".join(task.line() for task in sample.tasks))
        assert len(sample.tasks) == BUDGET
    seconds = time.perf_counter() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(name: str, directory: Path) -> tuple[float, float]:
    command = [sys.executable, "-W", "ignore", "-m", "checks.bench.review", name, str(directory)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = answer.stdout.split()
    return float(seconds), float(memory)


def main() -> int:
    if len(sys.argv) == 3:
        part(sys.argv[1], Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        size = write(directory)
        scans, samples = [], []
        for _ in range(ROUNDS):
            scans.append(measure("scan", directory))
            samples.append(measure("sample", directory))
    seconds = sorted(each[0] for each in samples)[ROUNDS // 2]
    ratio = median_ratio([each[0] for each in samples], [each[0] for each in scans])
    publish(
        {
            "review.sample_vs_scan": entry(ratio, "ratio", "<= 4", "reading the same columns", ROUNDS),
            "review.sample_mib": entry(
                max(each[1] for each in samples), "MiB", f"<= {MEMORY_MIB}", "peak memory", ROUNDS
            ),
        },
        [
            (
                f"sampling and manifest, {ROWS:,} interactions ({size / 2**30:.1f} GiB of JSON)",
                f"{ROWS / seconds:,.0f} rows/s",
            ),
            ("reading them", f"{ROWS / sorted(each[0] for each in scans)[ROUNDS // 2]:,.0f} rows/s"),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
