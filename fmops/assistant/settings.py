"""The assistant's settings: typed environment variables, set by its task definition."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops.assistant.admission import MAX_BODY_BYTES
from fmops.assistant.elsewhere import Places
from fmops.budgets import BudgetSettings
from fmops.conversation.limits import MAX_OUTPUT_TOKENS
from fmops.conversation.turns import TURN_SECONDS, TURNS, TURNS_PER_USER
from fmops.guardrails import GuardrailSettings
from fmops.telemetry.instrumentors import Instrumentor


class AssistantSettings(BaseSettings):
    """Settings from variables named ``FMOPS_`` and the field's name in capitals; standard variables keep their
    own names."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", frozen=True)

    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the container's only way in is its security group
        min_length=1,
        description="address to listen on",
    )
    port: int = Field(default=8080, ge=1, le=65535)
    keep_alive_seconds: int = Field(
        default=125,
        ge=1,
        description=(
            "seconds before an idle connection is closed; must exceed the idle time-out of the load "
            "balancer in front"
        ),
    )
    max_body_bytes: int = Field(
        default=MAX_BODY_BYTES, ge=1024, description="maximum bytes of a request's body"
    )
    max_header_bytes: int = Field(
        default=32_768, ge=4096, description="maximum bytes of a request's headers, its first line included"
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        description="maximum number of requests at once; those above it are refused with 503",
    )
    max_turns: int = Field(
        default=TURNS,
        ge=1,
        description="maximum number of turns at once; new ones above it are refused with 503",
    )
    max_turns_per_user: int = Field(
        default=TURNS_PER_USER,
        ge=1,
        description="maximum number of turns at once per user; new ones above it are refused with 429",
    )
    turn_seconds: float = Field(
        default=TURN_SECONDS, gt=0, description="seconds that a turn may take, all of its calls together"
    )
    turns_namespace: str = Field(
        default="",
        description=(
            "namespace of the CloudWatch metric TurnsUnderWay, printed each minute in the embedded metric "
            "format; no metric when empty"
        ),
    )
    spool_is_durable: bool = Field(
        default=False,
        description="whether the spool's directory outlives the task, so that records waiting there are not lost",
    )
    key_max_age_seconds: int = Field(
        default=86_400,
        ge=300,
        description="seconds for which the issuer's known keys stay valid while the issuer is unreachable",
    )
    model_id: str = Field(min_length=1, description="Bedrock model or inference profile")
    max_output_tokens: int = Field(
        default=MAX_OUTPUT_TOKENS, ge=1, description="maximum output tokens of one model call"
    )
    embedding_model_id: str = Field(min_length=1)
    knowledge_base_id: str = Field(
        default="", description="Bedrock knowledge base; the documents of the image are used when empty"
    )
    documents_bucket: str = Field(
        default="",
        description="bucket in which drafted documents are published; there are no drafts when empty",
    )
    lake_bucket: str = Field(default="", description="data lake, in which drafts are stored")
    minimum_similarity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="cosine similarity to the query below which a passage is not given to the model",
    )
    oidc_issuer: str = Field(min_length=1)
    oidc_audience: str = Field(min_length=1)
    oidc_group_claim: str = Field(default="groups", min_length=1)
    user_pool_id: str = Field(default="", description="Cognito user pool, if the issuer is one")
    no_sign_in: str = Field(
        default="", description="reason why people cannot sign in at the pages; they can when empty"
    )
    principal_prefix: str = Field(
        min_length=1, description="prefix that the policy store gives to the ids of users and groups"
    )
    policy_store_id: str = Field(min_length=1)
    delivery_stream: str = Field(min_length=1)
    raw_delivery_stream: str = Field(
        default="", description="stream for texts before redaction; they are not captured when empty"
    )
    records_table: str = Field(min_length=1, description="table of the agent's system of record")
    approvals_table: str = Field(
        min_length=1, description="table of calls that wait for a human, and of their checkpoints"
    )
    budgets_table: str = Field(
        default="", description="table of what has been spent; budgets are off when empty"
    )
    budgets: BudgetSettings = BudgetSettings()
    home: Places = Field(default=Places(), description="names of what the home page shows")
    authorization_mode: Literal["ENFORCE", "LOG_ONLY"] = "ENFORCE"
    spool_directory: Path
    flush_each_request: bool = Field(
        default=False,
        description=(
            "deliver records, spans and metrics before an answer ends, for environments that freeze the "
            "process after it"
        ),
    )
    pseudonym_key_secret: str = Field(
        min_length=1, description="ARN of the secret with the HMAC key of user and session pseudonyms"
    )
    guardrails: GuardrailSettings = GuardrailSettings()
    instrumentor: Instrumentor = "openllmetry"
    transaction_search: bool = Field(
        default=False,
        description="whether traces are read from Transaction Search's log group, where all spans then are",
    )
    content_traces_endpoint: str = Field(
        default="",
        description="OTLP address for traces with prompts and answers; no such traces are made when empty",
    )
    tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="ARN of the MLflow App with the prompt registry; without one, the packaged prompt serves",
    )
    playground_models: tuple[str, ...] = Field(
        default=(), description="models that may be tried in the playground beside model_id"
    )
    prompt_alias: str = Field(default="production", min_length=1)
    prompt_refresh_seconds: float = Field(
        default=30, gt=0, description="seconds between checks of the registry"
    )
    region: str = Field(min_length=1, validation_alias="AWS_REGION")
    service_name: str = Field(default="assistant", validation_alias="OTEL_SERVICE_NAME")
    resource_attributes: str = Field(default="", validation_alias="OTEL_RESOURCE_ATTRIBUTES")

    @property
    def environment(self) -> str:
        """Return ``deployment.environment.name`` from the resource attributes."""
        pairs = (pair.partition("=") for pair in self.resource_attributes.split(","))
        return next((value for name, _, value in pairs if name == "deployment.environment.name"), "")
