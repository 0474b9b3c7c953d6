"""The chapter on prompts and evaluation: versions, an experiment, a worse prompt refused, a better one served, and back."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
from rich.markup import escape
from rich.table import Table

from demo.visit import Visit

if TYPE_CHECKING:
    from fmops.evaluation.promotion import Outcome
    from fmops.evaluation.setup import Setup

PROMPTS = Path(__file__).with_name("prompts")
CASES = (
    *(
        "answer-water-all",
        "answer-theft-all",
        "answer-collision-all",
        "answer-roadside-all",
        "answer-travel-all",
    ),
    *("answer-procedure-all", "answer-complaint-all", "answer-authority-all", "answer-theft-police"),
    *("tool-payout", "refusal-others-claim", "attack-ignore"),
)
"""Of the golden cases, whom `make evaluate` asks all of: the chapter shows how, within seconds."""
TRACED = ("answer-theft-all", "tool-payout")
ASKED = "answer-collision-all"
PATIENCE = 30
"""Seconds that a promotion may take to serve."""
BY = "the demo"


def chapter(visit: Visit) -> list[str]:
    """What did not hold."""
    from fmops.evaluation.deployment import Deployment

    with patch.dict(os.environ), tempfile.TemporaryDirectory() as journal:
        Deployment("", outputs=visit.outputs).adopt()
        os.environ |= {"FMOPS_EVALUATION_JOURNAL": journal, "FMOPS_EVALUATION_RATE": "0"}
        return _Chapter(visit).run()


class _Chapter:
    def __init__(self, visit: Visit) -> None:
        import boto3

        from fmops.evaluation.datasets import corrected, golden
        from fmops.evaluation.setup import assemble

        self._visit = visit
        self._console = visit.console
        self._setup: Setup = assemble()
        self._golden = {case.case_id: case for case in golden()}
        self._cases = [self._golden[case_id] for case_id in CASES]
        # What the chapter on review has made: `make evaluate` asks these too.
        reviewed = corrected(boto3.client("s3"), visit.outputs["Capture"]["LakeBucketName"])
        self._cases += reviewed
        self._reviewed = len(reviewed)
        self._token = visit.directory.id_token("carla")
        self._production: Any = None
        self._evaluator = self._setup.evaluator(progress=False)
        self._problems: list[str] = []

    def run(self) -> list[str]:
        self._console.print("[bold]Prompts, experiments and evaluation[/]")
        self._console.print(f"  {len(self._cases)} cases, {self._reviewed} of them corrected in review")
        if not self._reviewed:
            self._problems.append("evaluation: no case comes from review")
        careless, complete = self._register()
        self._experiment(careless)
        self._expect("a worse prompt is refused", self._gate(careless), promoted=False)
        before = self._served("1")
        self._expect("a better prompt is promoted", self._gate(complete), promoted=True)
        with ThreadPoolExecutor(1) as meanwhile:
            agreement = meanwhile.submit(self._agreement)
            after = self._served(complete)
            agreement.result()
        self._console.print(f"  version 1 said: {escape(before)}\n  version {complete} says: {escape(after)}")
        self._setup.registry.rollback("claims-desk", by=BY, reason="to show that it works")
        self._served("1")
        self._console.print("  rolled back: version 1 serves again, without a restart")
        self._history()
        return self._problems

    def _register(self) -> tuple[str, str]:
        from fmops.assistant.agent import PROMPT, PROMPT_NAME

        registry = self._setup.registry
        texts = {
            "as packaged": PROMPT,
            "careless": PROMPTS / "careless.md",
            "complete": PROMPTS / "complete.md",
        }
        made = {
            what: registry.register(PROMPT_NAME, path.read_text(), message=what)
            for what, path in texts.items()
        }
        registry.promote(PROMPT_NAME, made["as packaged"].version, by=BY, reason="the first version")
        shown = ", ".join(f"{prompt.version} {what}" for what, prompt in made.items())
        self._console.print(
            f"  {PROMPT_NAME} in the prompt registry: {shown}; production is {made['as packaged'].version}"
        )
        return made["careless"].version, made["complete"].version

    def _experiment(self, careless: str) -> None:
        from fmops.evaluation import experiment
        from fmops.evaluation.setup import EXPERIMENTS

        evaluator = self._setup.evaluator(experiment=EXPERIMENTS, autolog=True, progress=False)
        cases = [self._golden[case_id] for case_id in TRACED]
        variants = [self._setup.production(), self._variant(careless)]
        comparison = experiment.compare(
            [evaluator.evaluate(each, cases) for each in variants], experiment=EXPERIMENTS
        )
        self._console.print(f"  experiment {EXPERIMENTS}, {len(cases)} cases, each step traced:")
        _print_rows(self._console, comparison.rows)

    def _gate(self, version: str) -> Outcome:
        from fmops.evaluation.gate import GatePolicy
        from fmops.evaluation.promotion import judge_candidate

        policy = GatePolicy(min_cases=len(CASES))
        return judge_candidate(
            self._setup,
            self._variant(version),
            self._cases,
            by=BY,
            policy=policy,
            evaluator=self._evaluator,
            production=self._production,
        )

    def _expect(self, what: str, outcome: Outcome, *, promoted: bool) -> None:
        decision = outcome.decision
        self._production = decision.production
        mark = "[green]✓[/]" if decision.promote == promoted else "[red]✗[/]"
        name = decision.candidate.variant.name
        self._console.print(f"  {mark} {what}: {name}, {len(self._cases)} cases, judged beside production")
        for reason in decision.reasons:
            self._console.print(f"      {escape(reason)}", highlight=False)
        if (outcome.move is not None) != promoted:
            self._problems.append(f"{what}: {decision.summary}")

    def _agreement(self) -> None:
        from fmops.evaluation import agreement
        from fmops.evaluation.datasets import labelled
        from fmops.evaluation.setup import EXPERIMENT

        rows = labelled()
        found = agreement.measure(self._setup.judge, rows)
        agreement.log(self._setup.judge, rows, found, experiment=EXPERIMENT)
        self._console.print(f"  the judge and people's labels on {len(rows)} answers:")
        for each in found:
            self._console.print(f"      {each}", highlight=False, markup=False)

    def _served(self, version: str) -> str:
        """Ask the running assistant until this version answers; what it says."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._ask(self._golden[ASKED].question)
            if answer["prompt"] == f"claims-desk {version}":
                return str(answer["choices"][0]["message"]["content"])
            if time.monotonic() > deadline:
                self._problems.append(f"version {version} does not serve: {answer['prompt']} does")
                return ""
            time.sleep(0.2)

    def _ask(self, question: str) -> dict[str, Any]:
        body = {"model": "claims-desk", "messages": [{"role": "user", "content": question}]}
        headers = {"authorization": f"Bearer {self._token}"}
        answer = httpx.post(
            f"{self._visit.base_url}/v1/chat/completions", json=body, headers=headers, timeout=60
        )
        answered: dict[str, Any] = answer.raise_for_status().json()
        return answered

    def _history(self) -> None:
        table = Table(title="Who let which version serve", expand=True)
        for column in ("action", "from", "to", "by", "reason"):
            table.add_column(column, overflow="fold")
        for move in reversed(self._setup.registry.history("claims-desk")):
            cells = (
                move.action,
                move.from_version or "packaged",
                move.to_version or "packaged",
                move.by,
                move.reason,
            )
            table.add_row(*map(escape, cells))
        self._console.print(table)

    def _variant(self, version: str) -> Any:
        return self._setup.variant(self._setup.registry.version("claims-desk", version))


def _print_rows(console: Any, rows: Sequence[dict[str, str]]) -> None:
    table = Table(expand=True)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row.values()))
    console.print(table)
