"""LLM judges on Bedrock: one criterion at a time, yes or no with a rationale, by a forced tool call.

The scorers are our own because MLflow's judges reach Bedrock only through litellm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fmops.agent import ROLE
from fmops.evaluation.cases import Criterion, EvaluationError
from fmops.evaluation.journal import Journal, key

INSTRUCTIONS = Path(__file__).with_name("judges")
ATTEMPTS = 2
"""Maximum attempts: a model that misses the format once may meet it the next time; each attempt is paid for.
"""
SECTIONS: Mapping[Criterion, tuple[str, ...]] = {
    "correctness": ("question", "answer", "expected_facts"),
    "groundedness": ("question", "answer", "sources"),
    "relevance": ("question", "answer"),
    "safety": ("question", "answer"),
    "tool_calls": ("question", "calls", "expected_calls"),
}
"""Sections that a judge of each criterion sees. It sees nothing else, since more would only distract it."""
TAG = re.compile(
    rf"<(?=\s*/?\s*(?:{'|'.join(sorted({name for names in SECTIONS.values() for name in names}))})\b)",
    re.IGNORECASE,
)


class JudgeError(EvaluationError):
    """A judge gave no usable verdict; the message names criterion and case, and never repeats content."""


class Verdict(BaseModel):
    """What a judge says, in this order: a rationale that comes first is thought about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rationale: str = Field(min_length=1, description="One or two sentences: what decides the verdict.")
    verdict: Literal["yes", "no"] = Field(description="Whether the criterion is met.")


class Grade(BaseModel):
    """How sure a judge is, where yes or no would say too little: which answers are worth somebody's look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rationale: str = Field(min_length=1, description="One or two sentences: what decides the grade.")
    grade: int = Field(
        ge=0, le=10, description="10: the criterion is certainly met; 0: certainly not; 5: it can be argued."
    )


GRADED = (
    "\n\nGive a grade instead of yes or no: 10 if it is certainly yes, 0 if it is certainly no, 5 if it can "
    "be argued either way."
)
Said = TypeVar("Said", Verdict, Grade)


class Judge:
    """Ask one model. Verdicts in the journal are not requested again."""

    def __init__(self, model: BaseChatModel, *, model_id: str, journal: Journal | None = None) -> None:
        self._model = model
        self.model_id = model_id
        self._journal = journal

    def ask(self, criterion: Criterion, sections: Mapping[str, str], *, case_id: str) -> Verdict:
        """Return the verdict on one answer. Raises ``JudgeError``, and the errors of the model's client when it
        is unavailable."""
        told, shown = instructions(criterion), _shown(criterion, sections)
        entry = key(self.model_id, told, shown)
        if self._journal and (found := self._journal.find("verdicts", entry)) is not None:
            return Verdict.model_validate(found)
        verdict = self._asked(f"judge_{criterion}", Verdict, criterion, told, shown, case_id)
        if self._journal:
            self._journal.keep("verdicts", entry, verdict.model_dump())
        return verdict

    def grade(self, criterion: Criterion, sections: Mapping[str, str], *, case_id: str) -> Grade:
        """Return how far an answer meets a criterion. Grades are not journaled, since entries hold content.
        Raises as ``ask`` does."""
        told = instructions(criterion) + GRADED
        return self._asked(f"grade_{criterion}", Grade, criterion, told, _shown(criterion, sections), case_id)

    def _asked(
        self, name: str, form: type[Said], criterion: Criterion, told: str, shown: str, case_id: str
    ) -> Said:
        tool = {
            "name": name,
            "description": f"Say what you think of the {criterion}.",
            "input_schema": form.model_json_schema(),
        }
        model = self._model.bind_tools([tool], tool_choice=name)
        problem = ""
        for _ in range(ATTEMPTS):
            answer = model.invoke([SystemMessage(told), HumanMessage(shown)])
            try:
                return form.model_validate(_arguments(answer))
            except ValidationError as error:
                problem = "; ".join(
                    f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
                )
            except LookupError as error:
                problem = str(error)
        raise JudgeError(
            f"case {case_id}: the judge {self.model_id} answered {criterion} in another form than "
            f"asked, {ATTEMPTS} times ({problem}). Use a model that calls tools, or look at "
            f"fmops/evaluation/judges/{criterion}.md."
        )


def _shown(criterion: Criterion, sections: Mapping[str, str]) -> str:
    return "\n".join(f"<{name}>\n{_escaped(sections[name])}\n</{name}>" for name in SECTIONS[criterion])


def _escaped(text: str) -> str:
    """Return ``text`` with every section tag escaped, so that its author cannot end its section."""
    return TAG.sub("&lt;", text)


def sections(case: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, str]:
    """Return everything that judges may see of a case and its answer, as text."""
    expected = case["expected"]
    return {
        "question": case["question"],
        "answer": answer["text"],
        "expected_facts": "\n".join(f"- {fact}" for fact in expected.get("facts", ())),
        "sources": "\n\n".join(f"{each.get('title', '')}\n{each['text']}" for each in answer["retrieved"]),
        "calls": json.dumps(
            [{name: call[name] for name in ("name", "arguments")} for call in answer["calls"]]
        ),
        "expected_calls": json.dumps(
            [
                {"name": call["name"], "arguments": call.get("arguments", {})}
                for call in expected.get("tools") or ()
            ]
        ),
    }


@cache
def instructions(criterion: Criterion) -> str:
    """Return the instructions for a judge of a criterion, which describe the agent being judged."""
    return (INSTRUCTIONS / f"{criterion}.md").read_text().replace("{{role}}", ROLE)


def _arguments(answer: Any) -> Any:
    if not isinstance(answer, AIMessage) or not answer.tool_calls:
        raise LookupError("no tool call")
    return answer.tool_calls[0]["args"]
