"""The playground's routes and pages over a bench that answers without a model."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fmops.agent import NAME
from fmops.agent.resources import Resolver
from fmops.assistant.me_routes import add_me_routes
from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.playground import Playground
from fmops.assistant.playground_routes import add_playground_routes
from fmops.assistant.service import _add_error_handlers
from fmops.guardrails import GuardrailSettings
from fmops.prompts import Prompt
from fmops.variants.variant import Answer, Call, Variant
from tests.review.page import Desk, Rules, Verifier

MODELS = ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0")
CASE = "answer-theft-all"


class Bench:
    """Answers with the first word of the prompt and the model; notes what it was asked."""

    def __init__(self) -> None:
        self.variants: list[Variant] = []
        self.asked: list[tuple[str, str]] = []

    def guardrails(self, settings: GuardrailSettings) -> Any:
        return settings

    def assistant(self, variant: Variant, guardrails: Any) -> Any:
        assert guardrails == variant.guardrails
        self.variants.append(variant)
        bench = self

        class Rehearsed:
            async def answer(self, caller: str, question: str) -> Answer:
                bench.asked.append((caller, question))
                word = variant.prompt.template.split()[0]
                return Answer(
                    text=f"{word} {variant.model_id}",
                    finish="content_filter" if word == "Rude" else "stop",
                    calls=[Call(name="search_policy_docs", arguments={}, status="success")],
                    guardrails=["output block"] if word == "Rude" else [],
                    seconds=0.5,
                    input_tokens=10,
                    output_tokens=5,
                    cost_usd=0.001,
                )

        return Rehearsed()


def playground_app(bench: Bench, registry: Any, **parts: Any) -> FastAPI:
    """Return an application with the playground, for people whose token is their name."""
    made: Any = bench
    app = FastAPI()
    app.state.verifier = Verifier()
    _add_error_handlers(app)
    playground = Playground(
        lambda: made,
        lambda: registry,
        authorizer=Rules(),
        resolver=Resolver(Desk(), "pool"),  # type: ignore[arg-type]
        guardrails=GuardrailSettings(),
        models=MODELS,
        packaged=Prompt(NAME, "packaged", "Packaged prompt."),
        **parts,
    )
    add_playground_routes(app, playground)
    add_me_routes(app, playground=playground)
    add_page_routes(app, Pages())
    return app
