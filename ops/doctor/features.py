"""Checks of what the settings turn on: models, Grafana, Transaction Search, and services that are closed to new
customers."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from botocore.exceptions import ClientError

import settings
from ops.doctor.finding import Finding, Target, check

GEOGRAPHIES = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")
ACCESS = "the lines on the models say what is missing: an agreement, the use-case form, or another model"
TRANSACTION_SEARCH = "AWS::XRay::TransactionSearchConfig"
REFUSED = {"AccessDeniedException", "ValidationException", "ResourceNotFoundException"}


@check("the models")
def models(target: Target) -> Iterator[Finding]:
    """Check each model that a setting names: a model in two settings has a line for each."""
    faults = functools.cache(functools.partial(_fault, target))
    for setting, model_id in settings.named(target.settings, settings.ModelId):
        if fault := faults(model_id):
            yield Finding("stop", f"{setting}: {model_id} {fault[0]}", fault[1])
        else:
            yield Finding("ok", f"{setting}: {model_id} is in {target.region}, and the account may use it")


def _fault(target: Target, model_id: str) -> tuple[str, str] | None:
    """Return what keeps an account without earlier use of a model from calling it, and the remedy."""
    bedrock, another = target.client("bedrock"), "set another model"
    try:
        behind = model_behind(target, model_id)
        details = bedrock.get_foundation_model(modelIdentifier=behind)["modelDetails"]
        availability = bedrock.get_foundation_model_availability(modelId=behind)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "ValidationException"):
            raise
        return f"is not in {target.region}", "set one that is"
    lifecycle = details.get("modelLifecycle", {})
    if lifecycle.get("status") == "LEGACY":
        end = f" until {lifecycle['endOfLifeTime']:%Y-%m-%d}" if "endOfLifeTime" in lifecycle else ""
        return (
            f"is a legacy model, which is refused to new customers and serves earlier ones{end}",
            f"{another}: aws bedrock list-foundation-models --region {target.region} lists those that are ACTIVE",
        )
    if availability["regionAvailability"] != "AVAILABLE":
        return f"is not offered to this account in {target.region}", f"{another}, or another region"
    agreement = availability["agreementAvailability"]
    if agreement["status"] == "PENDING":
        return "waits for its Marketplace agreement", "wait some minutes, and ask again"
    if agreement["status"] != "AVAILABLE":
        said = f": {agreement['errorMessage']}" if agreement.get("errorMessage") else ""
        return (
            f"has no Marketplace agreement with this account{said}; the deployment's roles may not subscribe",
            f"{_use_case(behind, target.region)}{_agree(behind, target.region)}, or {another}",
        )
    if availability["authorizationStatus"] != "AUTHORIZED":
        return (
            "is not authorized for this account",
            f"{_use_case(behind, target.region)}ask whoever manages your organization's policies to allow "
            f"it, or {another}",
        )
    if availability["entitlementAvailability"] != "AVAILABLE":
        return (
            "has an agreement, but the account is not entitled to it yet",
            f"{_use_case(behind, target.region)}wait some minutes after a new agreement, or {another}",
        )
    return None


def model_behind(target: Target, model_id: str) -> str:
    """Return the id of the model that an inference profile sends calls to, or the model itself."""
    if not model_id.startswith(GEOGRAPHIES):
        return model_id
    profile = target.client("bedrock").get_inference_profile(inferenceProfileIdentifier=model_id)
    return str(profile["models"][0]["modelArn"].rpartition("/")[2])


def _agree(model_id: str, region: str) -> str:
    """Return the command that accepts the public offer of a model's provider. It is a contract, so only a
    person runs it."""
    place = f"--region {region} --model-id {model_id}"
    offers = f"aws bedrock list-foundation-model-agreement-offers {place} --query offers[0].offerToken --output text"
    return f"aws bedrock create-foundation-model-agreement {place} --offer-token $({offers})"


def _use_case(model_id: str, region: str) -> str:
    if not model_id.startswith("anthropic."):
        return ""
    return (
        "send Anthropic's use-case form, once for the account or its organization: aws bedrock "
        f"put-use-case-for-model-access --region {region} --form-data fileb://use-case.json "
        "(docs/deploy.md); then "
    )


@check("access to the chat model")
def access(target: Target) -> Iterator[Finding]:
    if not target.probe:
        yield Finding("warning", "access to the model was not tried", "PROBE=1 asks it for one token")
        return
    model_id = target.settings.assistant.model_id
    try:
        target.client("bedrock-runtime").converse(
            modelId=model_id,
            messages=[{"role": "user", "content": [{"text": "Hi"}]}],
            inferenceConfig={"maxTokens": 1},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        yield Finding("stop", f"{model_id} refuses your call: {error}", ACCESS)
        return
    yield Finding("ok", f"{model_id} answers")


@check("IAM Identity Center, which Grafana needs,")
def identity_center(target: Target) -> Iterator[Finding]:
    if not target.settings.observability.grafana:
        return
    if target.client("sso-admin").list_instances()["Instances"]:
        yield Finding("ok", "IAM Identity Center is available for Grafana")
    else:
        yield Finding(
            "stop",
            "observability.grafana is on, but IAM Identity Center is not",
            "enable it in the account or its organization, or set grafana to false",
        )


@check("Transaction Search")
def transaction_search(target: Target) -> Iterator[Finding]:
    wanted = target.settings.observability.transaction_search
    is_on = target.client("xray").get_trace_segment_destination()["Destination"] == "CloudWatchLogs"
    if wanted == "off":
        if is_on:
            yield Finding(
                "warning",
                "Transaction Search is on in this account and region, so the page Why would find no trace",
                "set observability.transaction_search to use",
            )
        return
    if wanted == "enable" and is_on and target.own("TransactionSearch", TRANSACTION_SEARCH):
        yield Finding("ok", "Transaction Search is on, by this environment")
    elif wanted == "enable" and is_on:
        yield Finding(
            "stop",
            "Transaction Search is on already, and can only be created where it is off",
            "set observability.transaction_search to use",
        )
    elif wanted == "use" and not is_on:
        yield Finding(
            "stop",
            "Transaction Search is off in this account and region",
            "turn it on in CloudWatch, or set observability.transaction_search to enable in one environment",
        )
    else:
        yield Finding(
            "ok", f"Transaction Search is {'on' if is_on else 'off'}, as the setting {wanted} needs it"
        )


@check("Ground Truth")
def ground_truth(target: Target) -> Iterator[Finding]:
    if target.settings.review.backend != "ground_truth":
        return
    if target.client("sagemaker").list_labeling_jobs(MaxResults=1)["LabelingJobSummaryList"]:
        yield Finding("ok", "Ground Truth has run labeling jobs here")
    else:
        yield Finding(
            "warning",
            "no labeling job has run here, and Ground Truth is closed to new customers since 2026-07-30",
            "create one by hand to find out, or set review.backend to mlflow",
        )


@check("Comprehend's prompt safety")
def prompt_safety(target: Target) -> Iterator[Finding]:
    if "comprehend_prompt_safety" not in str(target.settings.assistant.guardrails):
        return
    endpoint = f"arn:aws:comprehend:{target.region}:aws:document-classifier-endpoint/prompt-safety"
    try:
        target.client("comprehend").classify_document(EndpointArn=endpoint, Text="Good morning.")
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        yield Finding(
            "stop",
            f"prompt safety refuses this account, to which it may be closed: {error}",
            "use the detector bedrock_checks, which is the default",
        )
        return
    yield Finding("ok", "Comprehend's prompt safety answers")
