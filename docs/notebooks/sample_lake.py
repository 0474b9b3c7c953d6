"""Make a small lake of made-up interactions for the notebooks: ``python -m docs.notebooks.sample_lake``.

Nineteen days of a claims desk: a new prompt from the ninth day on, and a new topic on the last three. The analysis has
looked at the last four days.
"""

from __future__ import annotations

import gzip
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from checks.bench.drift_world import World
from fmops.analysis.lake import DirectoryLake, windows
from fmops.analysis.run import Analysis
from fmops.interaction import (
    AuthorizationDecision,
    Embedding,
    Feedback,
    GuardrailOutcome,
    Interaction,
    TokenUsage,
    ToolCall,
)

FOLDER = Path("build/sample-lake")
START = datetime(2026, 9, 1, tzinfo=UTC)
DAYS, NEW_PROMPT, NEW_TOPIC, ROWS = 19, 8, 16, 160
USUAL = ("What is covered by my household insurance?", "What is the status of my claim?", "Is theft covered?")
NEW = "Is the burnt battery of my electric scooter insured?"


def make(folder: Path) -> None:
    """Write the lake, and analyse its last days."""
    lake = DirectoryLake(folder)
    world, generator = World(7, dimension=48, topics=12), np.random.default_rng(7)
    for number in range(DAYS):
        new = 0.12 if number >= NEW_TOPIC else 0.0
        vectors = world.sample(ROWS, generator, jitter=0.15, new=new)
        _write_day(lake, number, vectors, world, generator)
    end = START + timedelta(days=DAYS)
    analysis = Analysis(
        lake,
        corpus=lambda _: world.sample(30, np.random.default_rng(9)),
        now=lambda: end + timedelta(days=1),
    )
    usual = START + timedelta(days=NEW_TOPIC - 1)
    analysis.fit(START, usual, version="first-days")
    for window in windows(usual, end, hours=24):
        analysis.analyse(window)


def _write_day(
    lake: DirectoryLake, number: int, vectors: np.ndarray, world: World, generator: np.random.Generator
) -> None:
    day = START + timedelta(days=number)
    centres = (np.vstack([world.centres, world.unseen]) + world.offset) @ world.basis
    nearest = (vectors @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(axis=1)
    lines = []
    for row, (vector, topic) in enumerate(zip(vectors, nearest, strict=True)):
        is_new = number >= NEW_TOPIC and topic == len(world.centres)
        interaction = _interaction(number, row, vector, NEW if is_new else USUAL[topic % len(USUAL)])
        lines.append(interaction.line())
        if row % 4 == 0:
            disliked = generator.random() < (0.3 if number < NEW_PROMPT else 0.1)
            rating: Literal["up", "down"] = "down" if disliked else "up"
            lines.append(
                Feedback(
                    interaction_id=interaction.interaction_id,
                    user=interaction.user,
                    started_at=interaction.started_at,
                    rating=rating,
                ).line()
            )
    key = f"interactions/dt={day:%Y-%m-%d}/hour=00/sample.gz"
    lake.write(key, gzip.compress(b"".join(lines)))


def _interaction(number: int, row: int, vector: np.ndarray, question: str) -> Interaction:
    blocked, denied = row % 40 == 7, row % 20 == 3
    started = START + timedelta(days=number, minutes=row * 8)
    return Interaction(
        interaction_id=f"int-{number:02}{row:030x}",
        session_id=f"{number}-{row // 2}",
        user=f"user-{row % 23}",
        started_at=started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        trace_id=f"{number:02}{row:030x}",
        model_id="anthropic.claude-haiku-4-5",
        prompt_name="claims-desk",
        prompt_version="1" if number < NEW_PROMPT else "2",
        input="" if blocked else question,
        output="" if blocked else "Here is what I found.",
        finish_reason="content_filter" if blocked else "stop",
        duration_ms=900.0 + row,
        usage=TokenUsage(input_tokens=400, output_tokens=30),
        embedding=Embedding.encode("titan", vector),
        guardrails=[GuardrailOutcome(direction="input", action="block", detector="checks", reason="insult")]
        if blocked
        else [],
        authorization=[
            AuthorizationDecision(
                action="get_claim",
                resource="Claim::C-1002",
                decision="DENY" if denied else "ALLOW",
                reason="not_permitted" if denied else "permitted",
                determining_policies=[] if denied else ["customer-own-claim"],
            )
        ]
        if row % 20 in (3, 4)
        else [],
        tool_calls=[ToolCall(name="get_claim", status="denied" if denied else "success")]
        if row % 20 in (3, 4)
        else [],
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
