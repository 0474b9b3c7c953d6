"""The playground: prompts and models tried side by side on chosen cases, with sandbox data, behind the deployed
guardrails.

No try is captured, and the sandbox holds no real person's data. A saved prompt becomes a version in the
registry; the gate decides which version serves.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from langchain_core.messages.ai import UsageMetadata

from fmops.agent import CASES, NAME
from fmops.assistant.route_errors import PlaygroundNotPermittedError, UnknownChoiceError
from fmops.authorization import Authorizer
from fmops.conversation.failures import AnswerFailedError
from fmops.conversation.spending import Spending, TurnBudgets
from fmops.conversation.turns import Turns
from fmops.evaluation.cases import Case, load
from fmops.guardrails import GuardrailEngine, GuardrailSettings
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.prompts import Prompt
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext
from fmops.variants.variant import Answer, Variant, VariantAssistant, Workbench

ACTION, GROUP = "edit_prompts", "prompt-engineers"
DRAFT = "draft"
"""Version name of a prompt that is still being written."""


class Registry(Protocol):
    """The part of ``fmops.evaluation.registry.PromptRegistry`` that the playground needs."""

    def versions(self, name: str) -> list[Prompt]: ...

    def serving_version(self, name: str) -> str: ...

    def register(
        self, name: str, template: str, *, message: str, tags: dict[str, str] | None = None
    ) -> Prompt: ...


@dataclass(frozen=True)
class Try:
    """A prompt and a model to try. ``version`` is the registry's number, or ``draft``."""

    template: str
    model_id: str
    version: str = DRAFT


class Playground:
    """The tools of prompt engineers. ``bench`` and ``registry`` are created when first needed, since both take
    seconds.

    Its authorizer always enforces, even in ``LOG_ONLY``. ``models`` lists the models that may be tried, the
    serving one first.
    """

    def __init__(
        self,
        bench: Callable[[], Workbench],
        registry: Callable[[], Registry],
        *,
        authorizer: Authorizer,
        resolver: ToolResolver,
        guardrails: GuardrailSettings,
        models: Sequence[str],
        packaged: Prompt,
        turn_budgets: TurnBudgets | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._turn_budgets = turn_budgets
        self._turns = turns or Turns(sys.maxsize, sys.maxsize)
        self._make_bench, self._make_registry = bench, registry
        self._authorizer, self._resolver = authorizer, resolver
        self._settings, self.models, self._packaged = guardrails, tuple(models), packaged
        self._lock = threading.Lock()
        self._parts: tuple[Workbench, GuardrailEngine] | None = None
        self._registry: Registry | None = None

    def permits(self, principal: Principal) -> bool:
        """Return whether the policies let this person edit prompts."""
        request = self._resolver.prompts(RequestContext(principal, Interaction()))
        [decision] = self._authorizer.decide(principal.token, [request])
        return decision.allowed

    def admit(self, principal: Principal) -> str:
        """Return the person's name, for the registry. Raises ``PlaygroundNotPermittedError``."""
        if not self.permits(principal):
            raise PlaygroundNotPermittedError(
                f"You may not use the playground: no policy permits you the action {ACTION}. Ask an "
                f"administrator for the group {GROUP}."
            )
        return principal.username

    def choices(self) -> dict[str, Any]:
        """Return prompts, models and cases to choose from. Raises MLflow's own errors when MLflow is
        unavailable.
        """
        registry = self._the_registry()
        versions, serving = registry.versions(NAME), registry.serving_version(NAME)
        prompts = [
            {"version": each.version, "template": each.template, "serves": each.version == serving}
            for each in versions
        ]
        fallback = {
            "version": self._packaged.version,
            "template": self._packaged.template,
            "serves": not serving,
        }
        return {
            "prompts": [*prompts, fallback],
            "models": list(self.models),
            "cases": [
                each.model_dump(include={"case_id", "kind", "caller", "question"})
                | {"expected": each.expected.model_dump(mode="json", exclude_defaults=True)}
                for each in cases().values()
            ],
        }

    async def answers(
        self, case_id: str, tries: Sequence[Try], principal: Principal | None = None
    ) -> list[Answer]:
        """Return each variant's answer to a case, all asked at once, charged to the budgets of ``principal``.

        Raises ``UnknownChoiceError``, ``PromptError`` for a prompt that cannot serve, and
        ``AnswerFailedError``.
        """
        case = cases().get(case_id)
        if case is None:
            raise UnknownChoiceError(f"case_id: there is no case {case_id!r}")
        for each in tries:
            if each.model_id not in self.models:
                raise UnknownChoiceError(
                    f"model_id: {each.model_id!r} may not be tried: use {' or '.join(self.models)}, or "
                    "add it to assistant.playground_models"
                )
        variants = [
            Variant(
                Prompt(NAME, each.version, each.template).checked(),
                each.model_id,
                self._settings,
                name=each.version,
            )
            for each in tries
        ]
        bench, engine = await asyncio.to_thread(self._the_parts)
        assistants = [await asyncio.to_thread(bench.assistant, each, engine) for each in variants]
        person = principal.subject if principal else ""
        with self._turns.entered(person, len(tries)):
            return await self._answered(case, tries, assistants, principal)

    async def _answered(
        self,
        case: Case,
        tries: Sequence[Try],
        assistants: Sequence[VariantAssistant],
        principal: Principal | None,
    ) -> list[Answer]:
        """Have every assistant answer the case, and settle what that cost."""
        spendings = await self._admit(principal, case, tries)
        try:
            answers = list(
                await asyncio.gather(*(each.answer(case.caller, case.question) for each in assistants))
            )
            for spending, answer in zip(spendings, answers, strict=False):
                usage = UsageMetadata(
                    input_tokens=answer.input_tokens,
                    output_tokens=answer.output_tokens,
                    total_tokens=answer.input_tokens + answer.output_tokens,
                )
                spending.settle(await spending.call(0), usage)
        except BaseException:
            for spending in spendings:
                spending.keep()
            raise
        return answers

    async def _admit(self, principal: Principal | None, case: Case, tries: Sequence[Try]) -> list[Spending]:
        """Reserve one model call for each try; the cost of further calls in its turn is counted when the turn
        is over."""
        if self._turn_budgets is None or principal is None:
            return []
        spendings = [self._turn_budgets.open(principal, each.model_id) for each in tries]
        try:
            for spending, each in zip(spendings, tries, strict=True):
                await spending.admit([each.template, case.question])
        except AnswerFailedError:
            for spending in spendings:
                spending.close()
            raise
        return spendings

    def save(self, template: str, message: str, by: str) -> Prompt:
        """Return a new version, or the newest one if it has the same text. Raises ``PromptError`` for a prompt
        that cannot serve."""
        return self._the_registry().register(
            NAME, template, message=message or "from the playground", tags={"by": by}
        )

    def _the_parts(self) -> tuple[Workbench, GuardrailEngine]:
        with self._lock:
            if self._parts is None:
                bench = self._make_bench()
                self._parts = bench, bench.guardrails(self._settings)
            return self._parts

    def _the_registry(self) -> Registry:
        with self._lock:
            if self._registry is None:
                self._registry = self._make_registry()
            return self._registry


@cache
def cases() -> dict[str, Case]:
    """Return the golden cases by id."""
    return {each.case_id: each for each in load(CASES, Case)}
