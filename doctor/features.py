"""What the settings turn on, asked of the services: models, Grafana, Transaction Search, and what is closed to new customers."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from doctor.finding import Finding, Patient, check

GEOGRAPHIES = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")
ACCESS = "grant access to it in Bedrock's console, or set another"
TRANSACTION_SEARCH = "AWS::XRay::TransactionSearchConfig"
REFUSED = {"AccessDeniedException", "ValidationException", "ResourceNotFoundException"}


@check("the models")
def models(patient: Patient) -> Iterator[Finding]:
    options = patient.settings.assistant
    for setting, model_id in (
        ("assistant.model_id", options.model_id),
        ("assistant.embedding_model_id", options.embedding_model_id),
        ("evaluation.judge_model_id", patient.settings.evaluation.judge_model_id),
    ):
        bedrock = patient.client("bedrock")
        try:
            if model_id.startswith(GEOGRAPHIES):
                bedrock.get_inference_profile(inferenceProfileIdentifier=model_id)
            else:
                bedrock.get_foundation_model(modelIdentifier=model_id)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "ValidationException"):
                raise
            yield Finding("stop", f"{setting}: {model_id} is not in {patient.region}", "set one that is")
            continue
        yield Finding("ok", f"{setting}: {model_id} is in {patient.region}")


@check("access to the chat model")
def access(patient: Patient) -> Iterator[Finding]:
    if not patient.probe:
        yield Finding("warning", "access to the model was not tried", "PROBE=1 asks it for one token")
        return
    model_id = patient.settings.assistant.model_id
    try:
        patient.client("bedrock-runtime").converse(
            modelId=model_id,
            messages=[{"role": "user", "content": [{"text": "Hi"}]}],
            inferenceConfig={"maxTokens": 1},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        yield Finding("stop", f"{model_id} refuses you: {error}", ACCESS)
        return
    yield Finding("ok", f"{model_id} answers")


@check("IAM Identity Center, which Grafana needs,")
def identity_center(patient: Patient) -> Iterator[Finding]:
    if not patient.settings.observability.grafana:
        return
    if patient.client("sso-admin").list_instances()["Instances"]:
        yield Finding("ok", "IAM Identity Center is there for Grafana")
    else:
        yield Finding(
            "stop",
            "observability.grafana is on, but IAM Identity Center is not",
            "enable it in the account or its organization, or set grafana to false",
        )


@check("Transaction Search")
def transaction_search(patient: Patient) -> Iterator[Finding]:
    wanted = patient.settings.observability.transaction_search
    if wanted == "off":
        return
    is_on = patient.client("xray").get_trace_segment_destination()["Destination"] == "CloudWatchLogs"
    if wanted == "enable" and is_on and patient.own("TransactionSearch", TRANSACTION_SEARCH):
        yield Finding("ok", "Transaction Search is on, by this environment")
    elif wanted == "enable" and is_on:
        yield Finding(
            "stop",
            "Transaction Search is on already, and can only be made where it is off",
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
def ground_truth(patient: Patient) -> Iterator[Finding]:
    if patient.settings.review.backend != "ground_truth":
        return
    if patient.client("sagemaker").list_labeling_jobs(MaxResults=1)["LabelingJobSummaryList"]:
        yield Finding("ok", "Ground Truth has run labeling jobs here")
    else:
        yield Finding(
            "warning",
            "no labeling job has run here, and Ground Truth is closed to new customers since 2026-07-30",
            "make one by hand to see, or set review.backend to mlflow",
        )


@check("Comprehend's prompt safety")
def prompt_safety(patient: Patient) -> Iterator[Finding]:
    if "comprehend_prompt_safety" not in str(patient.settings.assistant.guardrails):
        return
    endpoint = f"arn:aws:comprehend:{patient.region}:aws:document-classifier-endpoint/prompt-safety"
    try:
        patient.client("comprehend").classify_document(EndpointArn=endpoint, Text="Good morning.")
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
