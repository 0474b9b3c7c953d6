"""The chapter on prompts and evaluation: versions, an experiment, a worse prompt refused, a better one served,
and a rollback."""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import httpx
from rich.table import Table
from rich.text import Text

from demo.script import script
from demo.visit import Visit
from fmops.agent import NAME, PROMPT
from local.run.report import Section
from ops.jobs import JobError, follow

if TYPE_CHECKING:
    from fmops.evaluation.promotion import Outcome
    from fmops.evaluation.setup import Setup

PROMPTS = Path(__file__).with_name("prompts")
PATIENCE = 30
"""Maximum seconds until a promoted prompt serves."""
BY = "the demo"


def prepare(visit: Visit) -> _Chapter:
    """Do what needs nothing from earlier chapters: register prompts, start the experiment, and
    import slow modules."""
    return _Chapter(visit)


def chapter(visit: Visit, section: Section) -> list[str]:
    """Run the chapter and return the expectations that did not hold."""
    prepared = visit.ahead[__name__].result() if __name__ in visit.ahead else prepare(visit)
    with prepared.settings:
        found: list[str] = prepared.run(section)
    return found


class _Chapter:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._script = script().evaluation
        self.settings = ExitStack()
        self._adopt()

        from fmops.evaluation.datasets import golden
        from fmops.evaluation.setup import assemble

        self._setup: Setup = assemble()
        self._golden = {case.case_id: case for case in golden()}
        self._cases = [self._golden[case_id] for case_id in self._script.cases]
        token = visit.directory.id_token(script().visitor)
        self._client = self.settings.enter_context(
            httpx.Client(base_url=visit.base_url, headers={"authorization": f"Bearer {token}"}, timeout=60)
        )
        self._production: Any = None
        self._evaluator = self._setup.evaluator(progress=False)
        self._problems: list[str] = []
        self._versions = self._register()
        self._compared = self._experiment(self._versions["careless"])
        self._tried = self._try_in_playground()

    def run(self, section: Section) -> list[str]:
        self._section = section
        self._add_reviewed()
        self._tell_versions()
        heading = "An experiment as a job of the deployment, one case of each kind, each step traced"
        self._section.itemize(self._compared, heading)
        if not any(line.startswith("recorded in MLflow") for line in self._compared):
            self._problems.append("experiment: the job has recorded no comparison")
        self._tell_tried()
        first, careless, complete = (self._versions[each] for each in ("as packaged", "careless", "complete"))
        self._expect("a worse prompt is refused", self._gate(careless), promoted=False)
        before = self._served(first)
        self._expect("a better prompt is promoted", self._gate(complete), promoted=True)
        with ThreadPoolExecutor(1) as meanwhile:
            agreement = meanwhile.submit(self._agreement)
            after = self._served(complete)
            agreement.result()
        self._section.itemize([f"version {first} said: {before}", f"version {complete} says: {after}"])
        self._setup.registry.rollback(NAME, by=BY, reason="to show that it works")
        self._history()
        self._served(first)
        self._section.say(f"Rolled back: version {first} serves again, without a restart")
        self._give_back(first)
        self._section.found = "a worse prompt refused, a better one promoted and rolled back"
        if self._problems:
            self._section.found = f"version {first} serves again"
        return self._problems

    def _give_back(self, first: str) -> None:
        """Serve again the prompt that served before the demo, in a deployment that was already in use."""
        if self._before not in ("", first):
            self._setup.registry.promote(NAME, self._before, by=BY, reason="it served before the demo")
            self._section.say(f"Version {self._before}, which served before the demo, serves again")

    def _adopt(self) -> None:
        """Set the deployment's settings in this process's environment until the chapter is over."""
        from fmops.deployment import Deployment

        self.settings.enter_context(patch.dict(os.environ))
        journal = self.settings.enter_context(tempfile.TemporaryDirectory())
        Deployment("", outputs=self._visit.outputs).adopt()
        os.environ |= {"FMOPS_EVALUATION_JOURNAL": journal, "FMOPS_EVALUATION_RATE": "0"}

    def _add_reviewed(self) -> None:
        """Add the cases that the chapter on review made: `make evaluate` asks these too."""

        from fmops.evaluation.datasets import corrected

        reviewed = corrected(boto3.client("s3"), self._visit.outputs["Capture"]["LakeBucketName"])
        self._cases += reviewed
        self._section.say(f"{len(self._cases)} cases, {len(reviewed)} of them corrected in review")
        if not reviewed:
            self._problems.append("evaluation: no case comes from review")

    def _register(self) -> dict[str, str]:
        registry = self._setup.registry
        texts = {
            "as packaged": PROMPT,
            "careless": PROMPTS / "careless.md",
            "complete": PROMPTS / "complete.md",
        }
        there = {prompt.template: prompt for prompt in registry.versions(NAME)}
        made = {}
        for what, path in texts.items():
            text = path.read_text()
            # Reuse what an earlier demo registered: another version with the same text would tell nobody
            # anything.
            made[what] = there.get(text) or registry.register(NAME, text, message=what)
        self._before = registry.serving_version(NAME)
        if self._before != made["as packaged"].version:
            registry.promote(NAME, made["as packaged"].version, by=BY, reason="the first version")
        return {what: prompt.version for what, prompt in made.items()}

    def _tell_versions(self) -> None:
        shown = ", ".join(f"{version} {what}" for what, version in self._versions.items())
        production = self._versions["as packaged"]
        self._section.say(f"{NAME} in the prompt registry: {shown}; production is {production}")

    def _experiment(self, careless: str) -> list[str]:
        """Run the experiment as a job on SageMaker Processing, and read its log."""
        arguments = [
            "experiment",
            "--prompt",
            self._versions["as packaged"],
            "--prompt",
            careless,
            "--cases",
            "1",
        ]
        execution = boto3.client("stepfunctions").start_execution(
            stateMachineArn=self._visit.outputs["Review"]["EvaluationJobStateMachineArn"],
            input=json.dumps({"arguments": arguments}),
        )
        lines: list[str] = []
        try:
            follow(execution["executionArn"], tell=lines.append)
        except JobError as error:
            self._problems.append(f"experiment: {error}")
        return lines

    def _try_in_playground(self) -> list[dict[str, Any]]:
        """Compare two versions side by side on one case, as a prompt engineer does on the page."""
        refused = self._playground(script().visitor).get("/playground")
        if refused.status_code != HTTPStatus.FORBIDDEN or "edit_prompts" not in refused.text:
            self._problems.append("playground: a visitor is not refused by the name of the missing action")
        with self._playground(self._script.prompt_engineer) as client:
            choices = client.get("/playground").raise_for_status().json()
            prompts = {each["version"]: each["template"] for each in choices["prompts"]}
            variants = [
                {"version": version, "template": prompts[version], "model_id": choices["models"][0]}
                for version in (self._versions["as packaged"], self._versions["complete"])
            ]
            answer = client.post(
                "/playground/tries", json={"case_id": self._script.shown, "variants": variants}
            )
            answers: list[dict[str, Any]] = answer.raise_for_status().json()["answers"]
        return answers

    def _tell_tried(self) -> None:
        engineer = self._script.prompt_engineer
        address = f"{self._visit.base_url}/playground"
        self._section.say(Text.assemble(f"The playground, as {engineer}: ", (address, f"link {address}")))
        both = zip(("as packaged", "complete"), self._tried, strict=True)
        self._section.itemize(f"{name}: {said['text']}" for name, said in both)
        if self._tried[0]["text"] == self._tried[1]["text"] or any(not each["text"] for each in self._tried):
            self._problems.append("playground: two prompts that differ gave the same answer")

    def _playground(self, user: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._visit.directory.id_token(user)}"}
        return httpx.Client(base_url=f"{self._visit.base_url}/v1", headers=headers, timeout=60)

    def _gate(self, version: str) -> Outcome:
        from fmops.evaluation.gate import GatePolicy
        from fmops.evaluation.promotion import judge_candidate

        policy = GatePolicy(min_cases=len(self._script.cases))
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
        mark = "✓" if decision.promote == promoted else "✗"
        name = decision.candidate.variant.name
        heading = f"{mark} {what}: {name}, {len(self._cases)} cases, judged beside production"
        self._section.itemize(decision.reasons, heading)
        if (outcome.move is not None) != promoted:
            self._problems.append(f"{what}: {decision.summary}")

    def _agreement(self) -> None:
        from fmops.evaluation import agreement
        from fmops.evaluation.datasets import labelled
        from fmops.evaluation.setup import EXPERIMENT

        rows = labelled()
        found = agreement.measure(self._setup.judge, rows)
        agreement.log(self._setup.judge, rows, found, experiment=EXPERIMENT)
        self._section.itemize(map(str, found), f"The judge and people's labels on {len(rows)} answers")

    def _served(self, version: str) -> str:
        """Ask the running assistant until this version answers, and return what it says."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._ask(self._golden[self._script.shown].question)
            if answer["prompt"] == f"{NAME} {version}":
                return str(answer["choices"][0]["message"]["content"])
            if time.monotonic() > deadline:
                self._problems.append(f"version {version} does not serve: {answer['prompt']} does")
                return ""
            time.sleep(0.2)

    def _ask(self, question: str) -> dict[str, Any]:
        body = {"model": NAME, "messages": [{"role": "user", "content": question}]}
        answer = self._client.post("/v1/chat/completions", json=body)
        answered: dict[str, Any] = answer.raise_for_status().json()
        return answered

    def _history(self) -> None:
        table = Table(title="Who let which version serve")
        for column in ("action", "from", "to", "by", "reason"):
            table.add_column(column, overflow="fold")
        for move in reversed(self._setup.registry.history(NAME)):
            cells = (
                move.action,
                move.from_version or "packaged",
                move.to_version or "packaged",
                move.by,
                move.reason,
            )
            table.add_row(*map(Text, cells))
        self._section.table(table)

    def _variant(self, version: str) -> Any:
        return self._setup.variant(self._setup.registry.version(NAME, version))
