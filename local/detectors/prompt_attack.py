"""Stand-in for prompt-attack detection: nearest neighbours over MiniLM, and the best-known phrases."""

from __future__ import annotations

import re

from local.detectors import neighbours

_LABELS = ("JAILBREAK", "PROMPT_INJECTION", "PROMPT_LEAKAGE")
_CERTAIN = 0.95
_INSTRUCTIONS = r"(?:instructions?|prompts?|rules|guidelines|directives|programming|training|context)"
_PATTERNS = {
    "PROMPT_INJECTION": re.compile(
        rf"\b(?:ignore|disregard|forget|override|bypass|discard)\b[^.!?\n]{{0,40}}\b(?:previous|prior|above|earlier|all|your|system|the)\b[^.!?\n]{{0,20}}\b{_INSTRUCTIONS}\b"
        r"|\b(?:note|message|instructions?) (?:to|for) (?:the |any )?(?:ai|assistant|llm|language model|agent|chatbot)s?\b"
        r"|<\|?(?:im_start|system)\|?>|\[/?INST\]",
        re.IGNORECASE,
    ),
    "PROMPT_LEAKAGE": re.compile(
        rf"\b(?:print|show|reveal|repeat|output|display|leak|tell me|what (?:is|are|was|were))\b[^.!?\n]{{0,40}}\b(?:your|the|system|initial|hidden|original)\b[^.!?\n]{{0,15}}\b(?:system|initial|hidden|original|secret)\s+{_INSTRUCTIONS}\b"
        rf"|\b(?:print|show|reveal|repeat|output|leak)\b[^.!?\n]{{0,25}}\b(?:system prompt|your (?:{_INSTRUCTIONS}))\b",
        re.IGNORECASE,
    ),
    "JAILBREAK": re.compile(
        r"\bDAN\b(?=.{0,80}\b(?:anything|mode|now)\b)|\bdo anything now\b|\b(?:developer|god|jailbreak|unrestricted) mode\b"
        r"|\b(?:without|no|ignore|disable|turn off)\b[^.!?\n]{0,25}\b(?:restrictions|filters?|safety|censorship|ethical|content polic(?:y|ies))\b",
        re.IGNORECASE,
    ),
}


def score(text: str) -> dict[str, float]:
    """Bedrock's prompt-attack categories, each from 0 to 1."""
    found = neighbours.scores(text, _LABELS, "not_attack")
    for label, pattern in _PATTERNS.items():
        if pattern.search(text):
            found[label] = max(found[label], _CERTAIN)
    return found
