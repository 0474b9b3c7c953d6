"""A rehearsed assistant: what it waits for, and which answers do not count for the variant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import boto3
import pytest

from fmops.conversation.failures import AnswerFailedError
from fmops.guardrails import GuardrailEngine, GuardrailSettings, build_engine
from fmops.interaction import GuardrailOutcome, Interaction
from fmops.prompts import Prompt
from fmops.variants.variant import Variant, VariantAssistant, Workbench

ONLY_LOCAL = GuardrailSettings.model_validate(
    {"detectors": {"pii": None, "toxicity": None, "checks": None}, "default_rules": False}
)
VARIANT = Variant(Prompt("assistant", "1", "You help."), "a-model", ONLY_LOCAL)


class Bench(Workbench):
    """Conversations that end with the given outcome."""

    outcome: ClassVar[GuardrailOutcome]

    def __init__(self) -> None:
        self.session = boto3.Session(region_name="us-east-1")

    def conversation(self, *_: Any) -> Any:
        bench = self

        class Talk:
            def begin(self, *_: Any, **__: Any) -> Interaction:
                return Interaction()

            async def answer(self, _: Any, __: Any, begun: Interaction) -> AsyncIterator[str]:
                begun.guardrails = [bench.outcome]
                yield "I cannot give this answer."

        return Talk()


def _answer(outcome: GuardrailOutcome) -> Any:
    bench = Bench()
    Bench.outcome = outcome
    return asyncio.run(bench.assistant(VARIANT).answer("customer", "What is the deductible?"))


@pytest.mark.parametrize("direction", ["input", "tool_arguments", "tool_results", "retrieved", "output"])
def test_an_answer_withheld_for_a_detector_that_was_away_is_no_answer(direction: str) -> None:
    outcome = GuardrailOutcome(
        direction=direction, action="block", reason="detector_unavailable", detector="checks"
    )
    with pytest.raises(AnswerFailedError, match="checks did not answer"):
        _answer(outcome)


@pytest.mark.parametrize(("action", "reason"), [("block", "toxicity"), ("flag", "detector_unavailable")])
def test_an_answer_that_was_judged_counts(action: str, reason: str) -> None:
    answered = _answer(GuardrailOutcome(direction="output", action=action, reason=reason))
    assert answered.text == "I cannot give this answer."


def test_a_rehearsal_waits_longer_for_detectors_than_those_who_are_served() -> None:
    engines: list[GuardrailEngine] = []

    class Noting(Bench):
        def guardrails(self, settings: GuardrailSettings) -> GuardrailEngine:
            assert settings.deadline_ms == 60_000
            assert {each.timeout_ms for each in settings.detectors.values()} == {60_000}
            engines.append(build_engine(settings, self.session))
            return engines[-1]

    assert isinstance(Noting().assistant(VARIANT), VariantAssistant)
    assert engines
