"""The Bedrock models that the local AWS knows, and the check of their ids: a typing error must fail here as it
does in AWS."""

from __future__ import annotations

from dataclasses import dataclass

from local.aws.kernel.api import ServiceError, validation_error


@dataclass(frozen=True)
class Model:
    model_id: str
    embedding: bool = False
    on_demand: bool = True  # False: callable only through an inference profile


MODELS = {
    model.model_id: model
    for model in (
        Model("anthropic.claude-haiku-4-5-20251001-v1:0", on_demand=False),
        Model("anthropic.claude-sonnet-4-5-20250929-v1:0", on_demand=False),
        Model("anthropic.claude-opus-4-5-20251101-v1:0", on_demand=False),
        Model("anthropic.claude-3-haiku-20240307-v1:0"),
        Model("amazon.nova-micro-v1:0"),
        Model("amazon.nova-lite-v1:0"),
        Model("amazon.nova-pro-v1:0"),
        Model("amazon.titan-embed-text-v2:0", embedding=True),
    )
}
# Prefixes of cross-region inference profiles, with the prefixes of the regions from which they may be called.
PROFILE_REGIONS = {
    "us": ("us-", "ca-"),
    "eu": ("eu-",),
    "apac": ("ap-",),
    "jp": ("ap-northeast-",),
    "au": ("ap-southeast-",),
    "global": ("",),
}


def resolve(identifier: str, region: str) -> Model:
    """Return the model behind a model id, an inference profile id, or the ARN of either; raise the service's
    error for others."""
    name = identifier
    if identifier.startswith("arn:"):
        kind, _, name = identifier.split(":", 5)[-1].partition("/")
        if kind not in ("foundation-model", "inference-profile"):
            raise ServiceError("ResourceNotFoundException", f"Could not find {identifier}")
    prefix, _, rest = name.partition(".")
    if prefix in PROFILE_REGIONS and rest in MODELS:
        if not region.startswith(PROFILE_REGIONS[prefix]):
            raise validation_error("The provided model identifier is invalid.")
        return MODELS[rest]
    if name not in MODELS:
        raise validation_error("The provided model identifier is invalid.")
    if not MODELS[name].on_demand:
        raise validation_error(
            f"Invocation of model ID {name} with on-demand throughput isn't supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this model."
        )
    return MODELS[name]
