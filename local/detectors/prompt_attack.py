"""Stand-in for prompt-attack detection: nearest neighbours over MiniLM, and the best-known phrases."""

from __future__ import annotations

import re

from local.detectors import neighbours

_LABELS = ("JAILBREAK", "PROMPT_INJECTION", "PROMPT_LEAKAGE")
_CERTAIN = 0.95
_INSTRUCTIONS = r"(?:instructions?|prompts?|rules|guidelines|directives|programming|training|context)"
_PATTERNS = {
    "PROMPT_INJECTION": re.compile(
        rf"\b(?:ignore|disregard|forget|override|bypass|discard)\b[^.!?\n]{{0,40}}\b(?:previous|prior|above"
        rf"|earlier|all|your|system|the)\b[^.!?\n]{{0,20}}\b{_INSTRUCTIONS}\b"
        r"|\b(?:note|message|instructions?) (?:to|for) (?:the |any )?(?:ai|assistant|llm|language model|agent"
        r"|chatbot)s?\b"
        r"|<\|?(?:im_start|system)\|?>|\[/?INST\]",
        re.IGNORECASE,
    ),
    "PROMPT_LEAKAGE": re.compile(
        rf"\b(?:print|show|reveal|repeat|output|display|leak|tell me)\b[^.!?\n]{{0,40}}\b(?:your|the|system"
        rf"|initial|hidden|original)\b[^.!?\n]{{0,15}}\b(?:system|initial|hidden|original"
        rf"|secret)\s+{_INSTRUCTIONS}\b"
        rf"|\bwhat (?:is|are|was|were|does|do)\b[^.!?\n]{{0,20}}\byour\b[^.!?\n]{{0,15}}\b(?:system|initial"
        rf"|hidden|original|secret)\s+{_INSTRUCTIONS}\b"
        rf"|\b(?:print|show|reveal|repeat|output|leak)\b[^.!?\n]{{0,25}}\b(?:system prompt|your (?:{_INSTRUCTIONS}))\b",
        re.IGNORECASE,
    ),
    "JAILBREAK": re.compile(
        r"\bDAN\b(?=.{0,80}\b(?:anything|mode|now)\b)|\bdo anything now\b"
        r"|\b(?:enter|enable|activate|go (?:in)?to|switch (?:in)?to|you are(?: now)? in)\s+(?:the\s+)?"
        r"(?:developer|god|jailbreak|unrestricted) mode\b(?!\s+(?:on|in|for|of)\s+(?:my|our|the|a|an|this)\b)"
        r"|\b(?:answer|respond|reply|speak|act|behave|write|you)\b[^.!?\n]{0,60}\b(?:without|no"
        r"|ignor\w+)\b[^.!?\n]{0,25}"
        r"\b(?:restrictions|filters?|safety|censorship|ethic\w*|content polic(?:y|ies))\b"
        r"|\b(?:ignore|disable|turn off|switch off|drop|remove|disregard)\b[^.!?\n]{0,15}\b(?:your|all)\b[^.!?\n]{0,25}"
        r"\b(?:restrictions|filters?|safety|censorship|ethic\w*|content polic(?:y|ies))\b",
        re.IGNORECASE,
    ),
}


def score(text: str) -> dict[str, float]:
    """Return the scores of Bedrock's prompt-attack categories, each from 0 to 1."""
    found = neighbours.scores(text, _LABELS, "not_attack", 0.1)
    for label, pattern in _PATTERNS.items():
        if pattern.search(text):
            found[label] = max(found[label], _CERTAIN)
    return found
