"""The assistant's settings: the environment that its task definition gives it, typed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops.assistant.admission import MAX_BODY_BYTES
from fmops.budgets import BudgetSettings
from fmops.conversation.limits import MAX_OUTPUT_TOKENS
from fmops.conversation.turns import TURN_SECONDS, TURNS, TURNS_PER_USER
from fmops.guardrails import GuardrailSettings
from fmops.telemetry.instrumentors import Instrumentor


class AssistantSettings(BaseSettings):
    """Variables named ``FMOPS_`` and the field's name in capitals; standard ones keep their own names."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", frozen=True)

    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the container's only way in is its security group
        min_length=1,
        description="address that is listened on",
    )
    port: int = Field(default=8080, ge=1, le=65535)
    keep_alive_seconds: int = Field(
        default=125, ge=1, description="for an idle connection: longer than whatever stands in front keeps it"
    )
    max_body_bytes: int = Field(default=MAX_BODY_BYTES, ge=1024, description="of one request")
    max_header_bytes: int = Field(
        default=32_768, ge=4096, description="of one request, its first line included"
    )
    max_connections: int = Field(default=1000, ge=1, description="above which requests are refused with 503")
    max_turns: int = Field(
        default=TURNS, ge=1, description="under way at once, above which new ones are refused with 503"
    )
    max_turns_per_user: int = Field(
        default=TURNS_PER_USER,
        ge=1,
        description="under way at once, above which new ones are refused with 429",
    )
    turn_seconds: float = Field(
        default=TURN_SECONDS, gt=0, description="that a turn may take, all of its calls together"
    )
    turns_namespace: str = Field(
        default="",
        description="of the CloudWatch metric TurnsUnderWay, printed each minute in the embedded metric format; none when empty",
    )
    spool_is_durable: bool = Field(
        default=False,
        description="whether the spool's directory outlives the task: what waits there is then not lost",
    )
    key_max_age_seconds: int = Field(
        default=86_400, ge=300, description="for which the issuer's known keys serve while it is away"
    )
    model_id: str = Field(min_length=1, description="Bedrock model or inference profile")
    max_output_tokens: int = Field(default=MAX_OUTPUT_TOKENS, ge=1, description="of one model call")
    embedding_model_id: str = Field(min_length=1)
    oidc_issuer: str = Field(min_length=1)
    oidc_audience: str = Field(min_length=1)
    oidc_group_claim: str = Field(default="groups", min_length=1)
    user_pool_id: str = Field(default="", description="Cognito user pool that is the issuer, if one is")
    principal_prefix: str = Field(
        min_length=1, description="what the policy store puts before the ids of users and groups"
    )
    policy_store_id: str = Field(min_length=1)
    delivery_stream: str = Field(min_length=1)
    raw_delivery_stream: str = Field(default="", description="of texts before redaction; none when empty")
    records_table: str = Field(min_length=1, description="the agent's system of record")
    approvals_table: str = Field(
        min_length=1, description="calls that wait for a human, and their checkpoints"
    )
    budgets_table: str = Field(default="", description="of what was spent; budgets are off when empty")
    budgets: BudgetSettings = BudgetSettings()
    authorization_mode: Literal["ENFORCE", "LOG_ONLY"] = "ENFORCE"
    spool_directory: Path
    flush_each_request: bool = Field(
        default=False,
        description="delivers records, spans and metrics before an answer ends: for where the process is frozen after it",
    )
    pseudonym_key_secret: str = Field(
        min_length=1, description="ARN of the secret with the HMAC key of user and session pseudonyms"
    )
    guardrails: GuardrailSettings = GuardrailSettings()
    instrumentor: Instrumentor = "openllmetry"
    content_traces_endpoint: str = Field(
        default="", description="OTLP address for traces with prompts and answers; none are made when empty"
    )
    tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="ARN of the MLflow App with the prompt registry; the packaged prompt serves without one",
    )
    playground_models: tuple[str, ...] = Field(
        default=(), description="that may be tried in the playground beside model_id"
    )
    prompt_alias: str = Field(default="production", min_length=1)
    prompt_refresh_seconds: float = Field(default=30, gt=0, description="between two looks at the registry")
    region: str = Field(min_length=1, validation_alias="AWS_REGION")
    service_name: str = Field(default="assistant", validation_alias="OTEL_SERVICE_NAME")
    resource_attributes: str = Field(default="", validation_alias="OTEL_RESOURCE_ATTRIBUTES")

    @property
    def environment(self) -> str:
        """``deployment.environment.name`` of the resource attributes."""
        pairs = (pair.partition("=") for pair in self.resource_attributes.split(","))
        return next((value for name, _, value in pairs if name == "deployment.environment.name"), "")
