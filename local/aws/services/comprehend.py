"""Comprehend's detectors with the service's limits, on local detectors that stand in for the models."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params, ServiceError, operation

SERVICE = "comprehend"
MAX_SEGMENTS = 10
MAX_SEGMENT_BYTES = 1024
MAX_TOXIC_BYTES = 10 * 1024
MAX_PII_BYTES = 100 * 1024
MAX_CLASSIFY_BYTES = 10 * 1024
PII_LANGUAGES = ("en", "es")
PROMPT_SAFETY = "document-classifier-endpoint/prompt-safety"


def _check_size(text: str, limit: int, what: str) -> None:
    if not text:
        raise ServiceError("InvalidRequestException", f"{what} must not be empty")
    if len(text.encode()) > limit:
        raise ServiceError(
            "TextSizeLimitExceededException",
            f"Input text size exceeds limit. Max length of {what} allowed is {limit} bytes",
        )


@operation(SERVICE, "DetectToxicContent")
def detect_toxic_content(params: Params, _: Context) -> Params:
    from local.detectors import toxicity

    segments = [segment["Text"] for segment in params["TextSegments"]]
    if params["LanguageCode"] != "en":
        raise ServiceError("UnsupportedLanguageException", "DetectToxicContent supports English (en) only")
    if not 1 <= len(segments) <= MAX_SEGMENTS:
        raise ServiceError(
            "InvalidRequestException", f"1 to {MAX_SEGMENTS} text segments, not {len(segments)}"
        )
    for segment in segments:
        _check_size(segment, MAX_SEGMENT_BYTES, "a text segment")
    if sum(len(segment.encode()) for segment in segments) > MAX_TOXIC_BYTES:
        raise ServiceError(
            "TextSizeLimitExceededException", f"The text segments together exceed {MAX_TOXIC_BYTES} bytes"
        )
    results = []
    for segment in segments:
        scores = dict(toxicity.score(segment))
        overall = scores.pop("TOXICITY")
        labels = [{"Name": name, "Score": score} for name, score in sorted(scores.items())]
        results.append({"Labels": labels, "Toxicity": overall})
    return {"ResultList": results}


def _pii(params: Params) -> list[Params]:
    from local.detectors import pii

    language = params["LanguageCode"]
    if language not in PII_LANGUAGES:
        raise ServiceError(
            "UnsupportedLanguageException",
            f"PII detection supports {', '.join(PII_LANGUAGES)}, not {language}",
        )
    _check_size(params["Text"], MAX_PII_BYTES, "Text")
    return list(pii.find(params["Text"], language))


@operation(SERVICE, "DetectPiiEntities")
def detect_pii_entities(params: Params, _: Context) -> Params:
    return {
        "Entities": [
            {
                "Type": found["type"],
                "Score": found["score"],
                "BeginOffset": found["begin"],
                "EndOffset": found["end"],
            }
            for found in _pii(params)
        ]
    }


@operation(SERVICE, "ContainsPiiEntities")
def contains_pii_entities(params: Params, _: Context) -> Params:
    best: dict[str, float] = {}
    for found in _pii(params):
        best[found["type"]] = max(best.get(found["type"], 0.0), found["score"])
    return {"Labels": [{"Name": name, "Score": score} for name, score in best.items()]}


@operation(SERVICE, "ClassifyDocument")
def classify_document(params: Params, _: Context) -> Params:
    from local.detectors import prompt_attack

    arn = params["EndpointArn"]
    if not arn.endswith(f":aws:{PROMPT_SAFETY}"):
        raise ServiceError(
            "ResourceUnavailableException",
            f"{arn} does not exist; the local AWS has only the prompt-safety endpoint",
        )
    _check_size(params.get("Text") or "", MAX_CLASSIFY_BYTES, "Text")
    unsafe = max(prompt_attack.score(params["Text"]).values())
    return {
        "Classes": [{"Name": "UNSAFE_PROMPT", "Score": unsafe}, {"Name": "SAFE_PROMPT", "Score": 1 - unsafe}]
    }
