"""Bedrock's guardrails on local detectors: InvokeGuardrailChecks, and guardrails as resources with ApplyGuardrail."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
    validation_error,
)
from local.aws.kernel.cloud import Cloud

RUNTIME = "bedrock-runtime"
CONTROL = "bedrock"
CHARACTERS_PER_UNIT = 1000
STEPS = 5  # scores come in steps of 0.2
# Bedrock's content categories for the labels of our toxicity detector; MISCONDUCT has a detector of its own.
CONTENT_LABELS = {
    "VIOLENCE": ("VIOLENCE_OR_THREAT", "GRAPHIC"),
    "HATE": ("HATE_SPEECH",),
    "SEXUAL": ("SEXUAL",),
    "INSULTS": ("INSULT", "HARASSMENT_OR_ABUSE"),
}
# Bedrock's names for kinds of personal data that Comprehend calls otherwise.
PII_NAMES = {
    "SSN": "US_SOCIAL_SECURITY_NUMBER",
    "CREDIT_DEBIT_NUMBER": "CREDIT_DEBIT_CARD_NUMBER",
    "CREDIT_DEBIT_CVV": "CREDIT_DEBIT_CARD_CVV",
    "CREDIT_DEBIT_EXPIRY": "CREDIT_DEBIT_CARD_EXPIRY",
    "BANK_ACCOUNT_NUMBER": "US_BANK_ACCOUNT_NUMBER",
    "BANK_ROUTING": "US_BANK_ROUTING_NUMBER",
    "PASSPORT_NUMBER": "US_PASSPORT_NUMBER",
}
# The lowest score that a filter of each strength acts on, and the confidence that is reported for a score.
STRENGTH_THRESHOLDS = {"LOW": 0.8, "MEDIUM": 0.5, "HIGH": 0.2}
CONFIDENCES = ((0.8, "HIGH"), (0.5, "MEDIUM"), (0.2, "LOW"), (0.0, "NONE"))


def _step(score: float) -> float:
    return round(min(max(score, 0.0), 1.0) * STEPS) / STEPS


def content_scores(text: str) -> dict[str, float]:
    from local.detectors import misconduct, toxicity

    labels = toxicity.score(text)
    scores = {category: max(labels[label] for label in names) for category, names in CONTENT_LABELS.items()}
    return {**scores, "MISCONDUCT": misconduct.score(text)}


def attack_scores(text: str) -> dict[str, float]:
    from local.detectors import prompt_attack

    return prompt_attack.score(text)


def personal_data(text: str) -> list[Params]:
    from local.detectors import pii

    return [{**found, "type": PII_NAMES.get(found["type"], found["type"])} for found in pii.find(text, "en")]


@operation(RUNTIME, "InvokeGuardrailChecks")
def invoke_guardrail_checks(params: Params, _: Context) -> Params:
    checks, messages = params["checks"], params["messages"]
    if not checks or not messages:
        raise validation_error("messages and checks must not be empty")
    texts = [
        (number, position, block["text"])
        for number, message in enumerate(messages)
        for position, block in enumerate(message["content"])
        if block.get("text")
    ]
    units = {"textUnits": math.ceil(sum(len(text) for *_, text in texts) / CHARACTERS_PER_UNIT)}
    results: Params = {}
    if "contentFilter" in checks:
        wanted = [each["category"] for each in checks["contentFilter"]["categories"]]
        results["contentFilter"] = _severities(wanted, [content_scores(text) for *_, text in texts])
    if "promptAttack" in checks:
        wanted = [each["category"] for each in checks["promptAttack"]["categories"]]
        results["promptAttack"] = _severities(wanted, [attack_scores(text) for *_, text in texts])
    if "sensitiveInformation" in checks:
        types = {each["type"] for each in checks["sensitiveInformation"]["entities"]}
        results["sensitiveInformation"] = {
            "results": [
                {
                    "type": found["type"],
                    "confidenceScore": _step(found["score"]),
                    "beginOffset": found["begin"],
                    "endOffset": found["end"],
                    "messageIndex": number,
                    "contentIndex": position,
                }
                for number, position, text in texts
                for found in personal_data(text)
                if found["type"] in types
            ],
            "truncated": False,
        }
    return {"results": results, "usage": dict.fromkeys(results, units)}


def _severities(wanted: list[str], scores: list[dict[str, float]]) -> Params:
    return {
        "results": [
            {
                "category": category,
                "severityScore": _step(max((each[category] for each in scores), default=0.0)),
            }
            for category in wanted
        ]
    }


@dataclass
class Guardrail:
    guardrail_id: str
    arn: str
    config: Params
    created: datetime
    versions: dict[str, Params] = field(default_factory=dict)


class Guardrails(ServiceState):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_id: dict[str, Guardrail] = {}


@operation(CONTROL, "CreateGuardrail")
def create_guardrail(params: Params, context: Context) -> Params:
    for policy in ("topicPolicyConfig", "contextualGroundingPolicyConfig", "automatedReasoningPolicyConfig"):
        if params.get(policy):
            raise NotImplementedHere(policy)
    guardrail_id = secrets.token_hex(6)
    guardrail = Guardrail(
        guardrail_id, context.arn(CONTROL, f"guardrail/{guardrail_id}"), params, datetime.now(UTC)
    )
    guardrail.versions["DRAFT"] = params
    context.state(Guardrails).by_id[guardrail_id] = guardrail
    return {
        "guardrailId": guardrail_id,
        "guardrailArn": guardrail.arn,
        "version": "DRAFT",
        "createdAt": guardrail.created,
    }


@operation(CONTROL, "CreateGuardrailVersion")
def create_guardrail_version(params: Params, context: Context) -> Params:
    guardrail = _guardrail(params, context)
    version = str(len(guardrail.versions))
    guardrail.versions[version] = guardrail.versions["DRAFT"]
    return {"guardrailId": guardrail.guardrail_id, "version": version}


@operation(CONTROL, "GetGuardrail")
def get_guardrail(params: Params, context: Context) -> Params:
    guardrail = _guardrail(params, context)
    return {
        "name": guardrail.config["name"],
        "guardrailId": guardrail.guardrail_id,
        "guardrailArn": guardrail.arn,
        "version": params.get("guardrailVersion") or "DRAFT",
        "status": "READY",
        "createdAt": guardrail.created,
        "updatedAt": guardrail.created,
        "blockedInputMessaging": guardrail.config["blockedInputMessaging"],
        "blockedOutputsMessaging": guardrail.config["blockedOutputsMessaging"],
    }


def _guardrail(params: Params, context: Context) -> Guardrail:
    identifier = params["guardrailIdentifier"].rsplit("/", 1)[-1]
    guardrails = context.state(Guardrails).by_id
    if identifier not in guardrails:
        raise ServiceError("ResourceNotFoundException", f"Guardrail {identifier} does not exist")
    return guardrails[identifier]


@operation(RUNTIME, "ApplyGuardrail")
def apply_guardrail(params: Params, context: Context) -> Params:
    guardrail = _guardrail(params, context)
    config = guardrail.versions.get(params["guardrailVersion"])
    if config is None:
        raise ServiceError(
            "ResourceNotFoundException", f"Guardrail version {params['guardrailVersion']} does not exist"
        )
    is_input = params["source"] == "INPUT"
    texts = [block["text"]["text"] for block in params["content"] if "text" in block]
    if len(texts) < len(params["content"]):
        raise NotImplementedHere("images")
    whole = "\n".join(texts)
    content = _content_filters(config, whole, is_input)
    words = _words(config, whole)
    masked, entities = zip(*(_mask(config, text) for text in texts), strict=True)
    pii = [entity for found in entities for entity in found]
    blocked = any(each["action"] == "BLOCKED" for each in (*content, *words, *pii))
    intervened = blocked or any(each["action"] == "ANONYMIZED" for each in pii)
    message = config["blockedInputMessaging" if is_input else "blockedOutputsMessaging"]
    outputs = [{"text": message}] if blocked else [{"text": text} for text in masked] if intervened else []
    assessment: Params = {}
    if content:
        assessment["contentPolicy"] = {"filters": content}
    if words:
        assessment["wordPolicy"] = {"customWords": words, "managedWordLists": []}
    if pii:
        assessment["sensitiveInformationPolicy"] = {"piiEntities": pii, "regexes": []}
    units = math.ceil(len(whole) / CHARACTERS_PER_UNIT)
    return {
        "action": "GUARDRAIL_INTERVENED" if intervened else "NONE",
        "outputs": outputs,
        "assessments": [assessment],
        "usage": {
            "topicPolicyUnits": 0,
            "contentPolicyUnits": units if config.get("contentPolicyConfig") else 0,
            "wordPolicyUnits": units if config.get("wordPolicyConfig") else 0,
            "sensitiveInformationPolicyUnits": units if config.get("sensitiveInformationPolicyConfig") else 0,
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        },
        "guardrailCoverage": {"textCharacters": {"guarded": len(whole), "total": len(whole)}},
    }


def _content_filters(config: Params, text: str, is_input: bool) -> list[Params]:
    filters = (config.get("contentPolicyConfig") or {}).get("filtersConfig", [])
    if not filters:
        return []
    scores = {**content_scores(text), "PROMPT_ATTACK": max(attack_scores(text).values()) if is_input else 0.0}
    found = []
    for each in filters:
        strength = each["inputStrength" if is_input else "outputStrength"]
        if strength == "NONE":
            continue
        if each["type"] not in scores:
            raise NotImplementedHere(f"content filter {each['type']}: no local detector finds it")
        score = scores[each["type"]]
        if score >= STRENGTH_THRESHOLDS[strength]:
            action = each.get("inputAction" if is_input else "outputAction") or "BLOCK"
            found.append(
                {
                    "type": each["type"],
                    "confidence": next(name for least, name in CONFIDENCES if score >= least),
                    "filterStrength": strength,
                    "action": "BLOCKED" if action == "BLOCK" else "NONE",
                    "detected": True,
                }
            )
    return found


def _words(config: Params, text: str) -> list[Params]:
    policy = config.get("wordPolicyConfig") or {}
    if policy.get("managedWordListsConfig"):
        raise NotImplementedHere("managed word lists")
    words: Iterable[str] = (each["text"] for each in policy.get("wordsConfig", []))
    return [
        {"match": word, "action": "BLOCKED", "detected": True}
        for word in words
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    ]


def _mask(config: Params, text: str) -> tuple[str, list[Params]]:
    """Return the text with {TYPE} in place of what is to be anonymized, and what was found."""
    policy = config.get("sensitiveInformationPolicyConfig") or {}
    if policy.get("regexesConfig"):
        raise NotImplementedHere("regexesConfig")
    actions = {each["type"]: each["action"] for each in policy.get("piiEntitiesConfig", [])}
    if not actions:
        return text, []
    found = [each for each in personal_data(text) if each["type"] in actions]
    entities = []
    for each in sorted(found, key=lambda one: -int(one["begin"])):
        action = {"BLOCK": "BLOCKED", "ANONYMIZE": "ANONYMIZED"}.get(actions[each["type"]], "NONE")
        match = text[each["begin"] : each["end"]]
        entities.append({"match": match, "type": each["type"], "action": action, "detected": True})
        if action == "ANONYMIZED":
            text = f"{text[: each['begin']]}{{{each['type']}}}{text[each['end'] :]}"
    return text, entities[::-1]
