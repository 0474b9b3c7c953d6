"""Bedrock's catalog: every model and inference profile exists, since one stand-in answers for all, except
the withdrawn ones."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud

SERVICE = "bedrock"
GEOGRAPHIES = ("us", "eu", "apac", "jp", "au", "ca", "global")
NAMES = {"claude-haiku-4-5": "Claude Haiku 4.5", "claude-sonnet-4-5": "Claude Sonnet 4.5"}


class Catalog(ServiceState):
    """Ids of models that an account lacks, for tests: all others exist, are active, agreed to and authorized.

    ``withdrawn``: not in the region. ``without_agreement``, ``legacy``, ``unauthorized``: foundation models,
    with the state that Bedrock reports.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.withdrawn: set[str] = set()
        self.without_agreement: set[str] = set()
        self.legacy: set[str] = set()
        self.unauthorized: set[str] = set()

    def check_access(self, model_id: str) -> None:
        """Refuse a call to a model that the account may not use, by its id or a profile's."""
        names = {model_id, model_id.partition(".")[2]}
        if names & (self.without_agreement | self.legacy | self.unauthorized):
            raise ServiceError(
                "AccessDeniedException", f"You don't have access to the model with the id {model_id}."
            )

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
    status = "LEGACY" if model_id in context.state(Catalog).legacy else "ACTIVE"
    details = {"modelArn": arn, "modelId": model_id, "modelName": name, "modelLifecycle": {"status": status}}
    return {"modelDetails": details}


@operation(SERVICE, "GetFoundationModelAvailability")
def get_foundation_model_availability(params: Params, context: Context) -> Params:
    model_id, catalog = params["modelId"], context.state(Catalog)
    catalog.check(model_id)
    agreed, authorized = model_id not in catalog.without_agreement, model_id not in catalog.unauthorized
    available = {True: "AVAILABLE", False: "NOT_AVAILABLE"}
    return {
        "modelId": model_id,
        "agreementAvailability": {"status": available[agreed]},
        "authorizationStatus": "AUTHORIZED" if authorized else "NOT_AUTHORIZED",
        "entitlementAvailability": available[agreed and authorized],
        "regionAvailability": "AVAILABLE",
    }


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
