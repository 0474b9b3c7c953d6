"""Environment variables that follow from the settings alone."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from settings import Settings


def of_the_assistant(settings: Settings) -> dict[str, str]:
    """Return the assistant's variables, besides the names of what its stacks create."""
    options = settings.assistant
    return {
        "FMOPS_PORT": str(options.port),
        "FMOPS_MAX_BODY_BYTES": str(1024 * options.max_body_kib),
        "FMOPS_MAX_TURNS": str(options.turns_per_task),
        "FMOPS_MAX_TURNS_PER_USER": str(options.turns_per_user),
        "FMOPS_TURN_SECONDS": str(options.turn_seconds),
        "FMOPS_KEY_MAX_AGE_SECONDS": str(3600 * options.issuer_keys_hours),
        "FMOPS_MODEL_ID": options.model_id,
        "FMOPS_MAX_OUTPUT_TOKENS": str(options.max_output_tokens),
        "FMOPS_EMBEDDING_MODEL_ID": options.embedding_model_id,
        **({"FMOPS_BUDGETS": json.dumps(_without_unset(options.budgets))} if options.budgets.limited else {}),
        "FMOPS_AUTHORIZATION_MODE": options.authorization,
        "FMOPS_INSTRUMENTOR": options.instrumentor,
        "FMOPS_PLAYGROUND_MODELS": json.dumps(options.playground_models),
        "FMOPS_PROMPT_REFRESH_SECONDS": str(options.prompt_refresh_seconds),
        **_telemetry(settings),
    }


def _telemetry(settings: Settings) -> dict[str, str]:
    options, observability = settings.assistant, settings.observability
    content = f"http://localhost:{options.collector_content_port}/v1/traces"
    return {
        **({"FMOPS_TRANSACTION_SEARCH": "true"} if observability.transaction_search != "off" else {}),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={settings.profile}",
        "OTEL_METRIC_EXPORT_INTERVAL": str(1000 * observability.metric_interval_seconds),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{options.collector_port}",
        **({"FMOPS_CONTENT_TRACES_ENDPOINT": content} if observability.mlflow_traces else {}),
    }


def _without_unset(value: Any) -> Any:
    """Return a settings section as plain values, as short as possible: Lambda's environment holds 4 KB."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if not isinstance(value, dict):
        return value
    return {
        name: each for name, inner in value.items() if (each := _without_unset(inner)) not in (None, "", {})
    }
