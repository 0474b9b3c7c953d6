"""Bedrock's catalog: every model and inference profile is there, since one stand-in answers for each, but what is withdrawn."""

from __future__ import annotations

from local.api import Context, Params, ServiceError, ServiceState, operation
from local.cloud import Cloud

SERVICE = "bedrock"
GEOGRAPHIES = ("us", "eu", "apac", "jp", "au", "ca", "global")
NAMES = {"claude-haiku-4-5": "Claude Haiku 4.5", "claude-sonnet-4-5": "Claude Sonnet 4.5"}


class Catalog(ServiceState):
    """``withdrawn``: ids that the region does not have, for a test."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.withdrawn: set[str] = set()

    def check(self, model_id: str) -> None:
        if model_id in self.withdrawn:
            raise ServiceError(
                "ResourceNotFoundException", f"The model {model_id} is not found in this region."
            )


@operation(SERVICE, "GetFoundationModel")
def get_foundation_model(params: Params, context: Context) -> Params:
    model_id = params["modelIdentifier"].rpartition("/")[2]
    context.state(Catalog).check(model_id)
    name = next((name for part, name in NAMES.items() if part in model_id), model_id)
    arn = f"arn:aws:bedrock:{context.region}::foundation-model/{model_id}"
    return {"modelDetails": {"modelArn": arn, "modelId": model_id, "modelName": name}}


@operation(SERVICE, "GetInferenceProfile")
def get_inference_profile(params: Params, context: Context) -> Params:
    profile_id = params["inferenceProfileIdentifier"].rpartition("/")[2]
    geography, _, model_id = profile_id.partition(".")
    if geography not in GEOGRAPHIES:
        raise ServiceError("ResourceNotFoundException", f"There is no inference profile {profile_id}.")
    context.state(Catalog).check(profile_id)
    return {
        "inferenceProfileName": profile_id,
        "inferenceProfileId": profile_id,
        "inferenceProfileArn": context.arn("bedrock", f"inference-profile/{profile_id}"),
        "models": [{"modelArn": f"arn:aws:bedrock:{context.region}::foundation-model/{model_id}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }
