"""Amazon Bedrock Guardrails: InvokeGuardrailChecks (no resource, scores) and ApplyGuardrail (the stack's guardrail)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fmops.guardrails.categories import BEDROCK_CONTENT, BEDROCK_PII, BEDROCK_PROMPT_ATTACK, Category, Group
from fmops.guardrails.chunking import Limits
from fmops.guardrails.detectors.base import Clients, Context, Detector, known, member, number, span
from fmops.guardrails.types import DetectorError, Direction, Finding

_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")


class BedrockChecks(Detector):
    """InvokeGuardrailChecks: one call returns content severities, prompt attacks and personal data with
    offsets.

    The service publishes no size limit; 10 KB per request stays below its cap on entities, beyond which it
    truncates.
    """

    limits = Limits(segment_bytes=10_000, request_bytes=10_000, overlap_characters=200)

    def __init__(
        self,
        name: str,
        clients: Clients,
        groups: Sequence[str] = (Group.CONTENT, Group.PROMPT_ATTACK),
    ) -> None:
        super().__init__(name, clients)
        self._client = clients.get("bedrock-runtime")
        every = {*BEDROCK_CONTENT.values(), *BEDROCK_PROMPT_ATTACK.values(), *BEDROCK_PII.values()}
        self.categories = frozenset(
            category for category in every if category.group in {Group(g) for g in groups}
        )

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [self._findings(text, context) for text in texts]

    def _findings(self, text: str, context: Context) -> list[Finding]:
        checks = _checks(context.categories)
        # The unit of the offsets is undocumented; without characters beyond the BMP, all possible units
        # agree.
        plain = _ASTRAL.sub("\u25a1", text)
        answer = self._client.invoke_guardrail_checks(
            messages=[{"role": context.role, "content": [{"text": plain}]}], checks=checks
        )
        results = member(answer, "results", dict, self.name)
        findings: list[Finding] = []
        for check, names, fallback in (
            ("contentFilter", BEDROCK_CONTENT, Category.TOXICITY),
            ("promptAttack", BEDROCK_PROMPT_ATTACK, Category.UNSAFE_PROMPT),
        ):
            if check not in checks:
                continue
            entries = self._entries(results, check)
            if len(entries) < len(checks[check]["categories"]):
                raise DetectorError(f"{self.name} did not answer every category of {check}")
            for entry in entries:
                category = known(names, member(entry, "category", str, self.name), fallback)
                findings.append(
                    Finding(category, number(entry.get("severityScore"), self.name), detector=self.name)
                )
        if "sensitiveInformation" in checks:
            findings += self._personal_data(text, results)
        return findings

    def _personal_data(self, text: str, results: dict[str, Any]) -> list[Finding]:
        if results.get("sensitiveInformation", {}).get("truncated"):
            raise DetectorError(f"{self.name} left out personal data that it found", "malformed")
        return [
            span(
                text,
                known(BEDROCK_PII, member(entry, "type", str, self.name), Category.CUSTOM_PATTERN),
                entry.get("confidenceScore"),
                entry.get("beginOffset"),
                entry.get("endOffset"),
                self.name,
            )
            for entry in self._entries(results, "sensitiveInformation")
        ]

    def _entries(self, results: dict[str, Any], check: str) -> list[Any]:
        entries: list[Any] = member(member(results, check, dict, self.name), "results", list, self.name)
        return entries


def _checks(categories: frozenset[Category]) -> dict[str, Any]:
    """Return the request's ``checks``: only those that the policy acts upon, because each check is billed."""

    def names(known_names: dict[str, Category]) -> list[str]:
        return sorted(name for name, category in known_names.items() if category in categories)

    checks: dict[str, Any] = {}
    if content := names(BEDROCK_CONTENT):
        checks["contentFilter"] = {"categories": [{"category": name} for name in content]}
    if attacks := names(BEDROCK_PROMPT_ATTACK):
        checks["promptAttack"] = {"categories": [{"category": name} for name in attacks]}
    if entities := names(BEDROCK_PII):
        checks["sensitiveInformation"] = {"entities": [{"type": name} for name in entities]}
    return checks


_CONFIDENCE = {"NONE": 0.0, "LOW": 0.4, "MEDIUM": 0.7, "HIGH": 1.0}


class BedrockGuardrail(Detector):
    """ApplyGuardrail with a published version, for regions without InvokeGuardrailChecks.

    It returns matched texts instead of offsets, so each occurrence counts. Whatever the guardrail blocked
    counts with score 1.
    """

    categories = frozenset(
        {
            *BEDROCK_CONTENT.values(),
            *BEDROCK_PII.values(),
            Category.UNSAFE_PROMPT,
            Category.PROFANITY,
            *(category for category in Category if category.group is Group.CUSTOM),
        }
    )
    limits = Limits(segment_bytes=20_000, request_bytes=20_000, overlap_characters=200)

    def __init__(self, name: str, clients: Clients, guardrail_id: str, guardrail_version: str) -> None:
        super().__init__(name, clients)
        if guardrail_version == "DRAFT":
            raise ValueError(
                "guardrail_version must be a published version: DRAFT changes under the application"
            )
        self._client = clients.get("bedrock-runtime")
        self._guardrail = {"guardrailIdentifier": guardrail_id, "guardrailVersion": guardrail_version}

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [self._findings(text, context.direction) for text in texts]

    def _findings(self, text: str, direction: Direction) -> list[Finding]:
        answer = self._client.apply_guardrail(
            **self._guardrail,
            source="OUTPUT" if direction.role == "assistant" else "INPUT",
            content=[{"text": {"text": text}}],
            outputScope="FULL",
        )
        intervened = member(answer, "action", str, self.name) == "GUARDRAIL_INTERVENED"
        findings = [
            finding
            for assessment in member(answer, "assessments", list, self.name)
            for finding in (*self._whole(assessment), *self._spans(text, assessment))
        ]
        if intervened and not any(finding.score >= 0.4 for finding in findings):
            raise DetectorError(f"{self.name} intervened for a reason that this version does not know")
        return findings

    def _whole(self, assessment: dict[str, Any]) -> list[Finding]:
        found: list[tuple[Category, float]] = []
        for entry in assessment.get("contentPolicy", {}).get("filters", ()):
            category = (
                Category.UNSAFE_PROMPT
                if entry["type"] == "PROMPT_ATTACK"
                else BEDROCK_CONTENT.get(entry["type"])
            )
            blocked = 1.0 if entry["action"] == "BLOCKED" else 0.0
            found.append(
                (category or Category.TOXICITY, max(blocked, _CONFIDENCE.get(entry["confidence"], 1.0)))
            )
        topics = assessment.get("topicPolicy", {}).get("topics", ())
        found += [(Category.DENIED_TOPIC, 1.0 if _detected(entry) else 0.0) for entry in topics]
        return [Finding(category, score, detector=self.name) for category, score in found]

    def _spans(self, text: str, assessment: dict[str, Any]) -> list[Finding]:
        words = assessment.get("wordPolicy", {})
        personal = assessment.get("sensitiveInformationPolicy", {})
        matched: list[tuple[Category, dict[str, Any]]] = [
            *((Category.DENIED_WORD, entry) for entry in words.get("customWords", ())),
            *((Category.PROFANITY, entry) for entry in words.get("managedWordLists", ())),
            *(
                (known(BEDROCK_PII, entry["type"], Category.CUSTOM_PATTERN), entry)
                for entry in personal.get("piiEntities", ())
            ),
            *((Category.CUSTOM_PATTERN, entry) for entry in personal.get("regexes", ())),
        ]  # fmt: skip
        findings = []
        for category, entry in matched:
            if not _detected(entry):
                continue
            places = (
                [match.span() for match in re.finditer(re.escape(entry["match"]), text)]
                if entry.get("match")
                else []
            )
            if not places:
                raise DetectorError(f"{self.name} matched words that do not occur in the text", "offsets")
            findings += [Finding(category, 1.0, begin, end, self.name) for begin, end in places]
        return findings


def _detected(entry: dict[str, Any]) -> bool:
    return bool(entry.get("detected", entry["action"] != "NONE"))
