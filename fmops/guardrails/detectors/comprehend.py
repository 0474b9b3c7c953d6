"""Amazon Comprehend: toxicity, personal data, and (for accounts that still have it) prompt safety."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from fmops.guardrails.categories import COMPREHEND_PII, COMPREHEND_TOXICITY, Category
from fmops.guardrails.chunking import Limits
from fmops.guardrails.detectors.base import Clients, Context, Detector, known, member, number, span
from fmops.guardrails.types import DetectorError, Finding


class ComprehendToxicity(Detector):
    """DetectToxicContent: 10 segments of 1 KB in a request, English only (API reference)."""

    categories = frozenset({*COMPREHEND_TOXICITY.values(), Category.TOXICITY})
    languages = ("en",)
    limits = Limits(segment_bytes=1_000, segments=10, request_bytes=10_000, overlap_characters=80)

    def __init__(self, name: str, clients: Clients) -> None:
        super().__init__(name, clients)
        self._client = clients.get("comprehend")

    @override
    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        answer = self._client.detect_toxic_content(
            TextSegments=[{"Text": text} for text in texts], LanguageCode=context.language
        )
        results = member(answer, "ResultList", list, self.name)
        if len(results) != len(texts):
            raise DetectorError(f"{self.name} answered for {len(results)} of {len(texts)} segments")
        return [self._findings(result) for result in results]

    def _findings(self, result: object) -> list[Finding]:
        overall = number(member(result, "Toxicity", (float, int), self.name), self.name)
        findings = [Finding(Category.TOXICITY, overall, detector=self.name)]
        for label in member(result, "Labels", list, self.name):
            category = known(COMPREHEND_TOXICITY, member(label, "Name", str, self.name), Category.TOXICITY)
            findings.append(Finding(category, number(label.get("Score"), self.name), detector=self.name))
        return findings


class ComprehendPii(Detector):
    """DetectPiiEntities: 100 KB in a request, English and Spanish; ends are exclusive (API reference)."""

    categories = frozenset(COMPREHEND_PII.values())
    languages = ("en", "es")
    limits = Limits(segment_bytes=100_000, request_bytes=100_000, overlap_characters=200)

    def __init__(self, name: str, clients: Clients) -> None:
        super().__init__(name, clients)
        self._client = clients.get("comprehend")

    @override
    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [self._findings(text, context.language) for text in texts]

    def _findings(self, text: str, language: str) -> list[Finding]:
        answer = self._client.detect_pii_entities(Text=text, LanguageCode=language)
        return [
            span(
                text,
                known(COMPREHEND_PII, member(entity, "Type", str, self.name), Category.CUSTOM_PATTERN),
                entity.get("Score"),
                entity.get("BeginOffset"),
                entity.get("EndOffset"),
                self.name,
            )
            for entity in member(answer, "Entities", list, self.name)
        ]


class ComprehendPromptSafety(Detector):
    """ClassifyDocument on the prompt-safety endpoint. Closed to new customers since 2026-04-30: opt-in."""

    categories = frozenset({Category.UNSAFE_PROMPT})
    languages = ("en",)
    limits = Limits(segment_bytes=10_000, request_bytes=10_000, overlap_characters=200)

    def __init__(self, name: str, clients: Clients) -> None:
        super().__init__(name, clients)
        self._client = clients.get("comprehend")
        self._endpoint = (
            f"arn:{clients.partition}:comprehend:{clients.region}:aws:"
            "document-classifier-endpoint/prompt-safety"
        )

    @override
    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [[self._finding(text)] for text in texts]

    def _finding(self, text: str) -> Finding:
        answer = self._client.classify_document(Text=text, EndpointArn=self._endpoint)
        classes = member(answer, "Classes", list, self.name)
        scores = {member(each, "Name", str, self.name): each.get("Score") for each in classes}
        # The API reference says UNSAFE_PROMPT; the developer guide has also shown UNSAFE.
        unsafe = next((scores[name] for name in ("UNSAFE_PROMPT", "UNSAFE") if name in scores), None)
        return Finding(Category.UNSAFE_PROMPT, number(unsafe, self.name), detector=self.name)
