"""Assembly of an evaluation from its environment, which is the assistant's, so that what is deployed is
evaluated.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sagemaker_mlflow import set_session

from fmops import written
from fmops.agent import NAME, PROMPT
from fmops.conversation.limits import MAX_OUTPUT_TOKENS
from fmops.evaluation.cases import EvaluationError
from fmops.evaluation.evaluate import Evaluator
from fmops.evaluation.journal import Journal
from fmops.evaluation.judge import Judge
from fmops.evaluation.registry import GATES, PromptRegistry
from fmops.guardrails import GuardrailSettings
from fmops.prompts import Prompt, packaged
from fmops.tracking import quiet_mlflow
from fmops.variants.variant import Variant, Workbench

EXPERIMENT = GATES
EXPERIMENTS = f"{NAME}-experiments"
JUDGE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
"""Default judge model: another model than the assistant's, and a larger one, because a model is lenient with
its own answers."""
GEOGRAPHY = re.compile(r"^(?:us|us-gov|eu|apac|jp|au|ca|global)\.")


class EvaluationSettings(BaseSettings):
    """The part of the assistant's environment that an evaluation needs, and its own settings."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", frozen=True)

    model_id: str = Field(min_length=1)
    max_output_tokens: int = Field(default=MAX_OUTPUT_TOKENS, ge=1)
    embedding_model_id: str = Field(min_length=1)
    knowledge_base_id: str = Field(
        default="", description="Bedrock knowledge base; the documents of the image are used when empty"
    )
    minimum_similarity: float = Field(default=0.0, ge=0, le=1)
    principal_prefix: str = Field(min_length=1)
    policy_store_id: str = Field(min_length=1)
    guardrails: GuardrailSettings = GuardrailSettings()
    region: str = Field(min_length=1, validation_alias="AWS_REGION")
    tracking_uri: str = Field(min_length=1, validation_alias="MLFLOW_TRACKING_URI")
    judge_model_id: str = ""
    evaluation_journal: str = Field(
        default="build/evaluation/journal",
        description="place of the journal: a folder, or s3://bucket/prefix",
    )
    evaluation_rate: float = Field(
        default=20, ge=0, description="maximum calls to models per second; 0 means no limit"
    )
    evaluation_workers: int = Field(default=8, ge=1, le=64)

    @property
    def judge(self) -> str:
        """Return the judge's model: as set, or Claude Sonnet with the inference profile of the assistant's
        model.
        """
        if self.judge_model_id:
            return self.judge_model_id
        profile = GEOGRAPHY.match(self.model_id)
        return f"{profile[0] if profile else 'global.'}{JUDGE}"


@dataclass(frozen=True)
class Setup:
    """All parts of an evaluation."""

    settings: EvaluationSettings
    bench: Workbench
    judge: Judge
    journal: Journal
    registry: PromptRegistry

    def evaluator(
        self, *, experiment: str = EXPERIMENT, autolog: bool = False, progress: bool = True
    ) -> Evaluator:
        return Evaluator(
            self.bench,
            self.judge,
            self.journal,
            experiment=experiment,
            workers=self.settings.evaluation_workers,
            autolog=autolog,
            progress=progress,
        )

    def production(self) -> Variant:
        """Return the variant that serves: the registry's prompt, or the packaged one when nothing is
        promoted.
        """
        return self.variant(self.registry.serving(NAME) or packaged(NAME, PROMPT))

    def variant(self, prompt: Prompt, *, model_id: str = "", guardrails: Path | None = None) -> Variant:
        """Return production's settings with another prompt, and with another model or guardrails if given."""
        settings = (
            GuardrailSettings.model_validate_json(written.read(guardrails))
            if guardrails
            else self.settings.guardrails
        )
        name = f"{prompt.name} {prompt.version}"
        return Variant(prompt, model_id or self.settings.model_id, settings, name=name)


def assemble(environment: Mapping[str, str] | None = None) -> Setup:
    """Assemble an evaluation. Raises ``EvaluationError``, which names what the environment lacks."""
    os.environ |= environment or {}
    quiet()
    try:
        settings = EvaluationSettings()
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise EvaluationError(
            f"The environment has no usable {fields}: name a deployment with --environment."
        ) from error
    mlflow.set_tracking_uri(settings.tracking_uri)
    limiter = None
    if settings.evaluation_rate:
        limiter = InMemoryRateLimiter(
            requests_per_second=settings.evaluation_rate,
            check_every_n_seconds=0.01,
            max_bucket_size=max(1.0, settings.evaluation_rate),
        )
    bench = Workbench(
        region=settings.region,
        policy_store_id=settings.policy_store_id,
        principal_prefix=settings.principal_prefix,
        embedding_model_id=settings.embedding_model_id,
        max_output_tokens=settings.max_output_tokens,
        knowledge_base_id=settings.knowledge_base_id,
        minimum_similarity=settings.minimum_similarity,
        rate_limiter=limiter,
    )
    set_session(bench.session)
    journal = Journal.at(settings.evaluation_journal)
    judge = Judge(bench.chat_model(settings.judge), model_id=settings.judge, journal=journal)
    return Setup(settings, bench, judge, journal, PromptRegistry(settings.tracking_uri))


def quiet() -> None:
    """Silence MLflow's announcements and telemetry."""
    quiet_mlflow()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # MLflow's LangChain tracer detaches context in other tasks than it attached it in, and warns at each
    # step;
    # traces are complete.
    logging.getLogger("mlflow.utils.autologging_utils").setLevel(logging.ERROR)
    logging.getLogger("sagemaker_mlflow").setLevel(logging.WARNING)
