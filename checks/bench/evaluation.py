"""An evaluation's cases in parallel compared with one after another, and the cost of a run after
an interrupted one.

Model and judge are stand-ins that answer after a fixed time; MLflow's store is the real one, on a disk.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from checks.bench.report import absolute, entry, median_ratio, publish

ANSWER_SECONDS, JUDGE_SECONDS = 0.4, 0.2
"""Seconds below those of a small and a larger model: with slower models, running more cases at once gains
more.
"""
CASES, ROUNDS, WORKERS = 16, 3, 8


class Judge:
    """A judge that says yes after a while, and counts its calls."""

    model_id = "stand-in"

    def __init__(self, journal: Any) -> None:
        from fmops.evaluation.judge import Judge as Real

        self.asked = 0
        self._real = Real(self, model_id=self.model_id, journal=journal)  # type: ignore[arg-type]
        self.ask = self._real.ask

    def bind_tools(self, _: Any, *, tool_choice: str) -> Any:
        return self

    def invoke(self, _: Any) -> Any:
        from langchain_core.messages import AIMessage

        self.asked += 1
        time.sleep(JUDGE_SECONDS)
        said = {"rationale": "It is.", "verdict": "yes"}
        return AIMessage("", tool_calls=[{"name": "judge", "args": said, "id": "1"}])


class Bench:
    """Makes an assistant that answers after a while."""

    session = None

    def assistant(self, variant: Any) -> Any:
        self.variant = variant
        return self

    async def answer(self, _caller: str, _question: str) -> Any:
        from fmops.variants.variant import Answer

        await asyncio.sleep(ANSWER_SECONDS)
        return Answer(text="A fact.", finish="stop", retrieved=[{"id": "d", "text": "A fact."}])


def main() -> None:
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    import mlflow

    from fmops.evaluation.cases import Case, Expected
    from fmops.evaluation.evaluate import Evaluator
    from fmops.evaluation.journal import Journal
    from fmops.guardrails import GuardrailSettings
    from fmops.prompts import Prompt
    from fmops.variants.variant import Variant

    expected = Expected(facts=["a fact"], documents=["d"], finish="stop")
    cases = [
        Case(case_id=f"c{n}", kind="answer", caller="clara", question=f"{n}?", expected=expected)
        for n in range(CASES)
    ]
    variant = Variant(Prompt("p", "1", "Be nice."), "amazon.nova-micro-v1:0", GuardrailSettings(), name="p 1")

    def evaluate(folder: str, workers: int, chosen: list[Case]) -> tuple[float, Judge]:
        journal = Journal.at(folder)
        judge: Any = Judge(journal)
        bench: Any = Bench()
        evaluator = Evaluator(bench, judge, journal, experiment="bench", workers=workers, progress=False)
        found = evaluator.evaluate(variant, chosen)
        assert found.complete, found.problems
        return found.seconds, judge

    at_once: list[float] = []
    one_by_one: list[float] = []
    saved: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
        mlflow.set_experiment("warm")
        for number in range(ROUNDS):
            folder = Path(directory) / str(number)
            seconds, whole = evaluate(str(folder / "at-once"), WORKERS, cases)
            at_once.append(seconds)
            one_by_one.append(evaluate(str(folder / "one"), 1, cases)[0])
            _, half = evaluate(str(folder / "cut"), WORKERS, cases[: CASES // 2])
            _, rest = evaluate(str(folder / "cut"), WORKERS, cases)
            saved.append((whole.asked - rest.asked) / half.asked)
    publish(
        {
            "evaluation.cases_at_once": entry(
                median_ratio(one_by_one, at_once), "ratio", ">= 3", "one case at a time", ROUNDS
            ),
            "evaluation.calls_saved": entry(
                min(saved), "share", ">= 1", "judge calls paid for before the cut", ROUNDS
            ),
        },
        [
            *absolute(f"{CASES} cases", {"8 at once": at_once, "one at a time": one_by_one}),
            ("cases per minute, 8 at once", f"{60 * CASES / sorted(at_once)[ROUNDS // 2]:.0f}"),
        ],
    )


if __name__ == "__main__":
    main()
