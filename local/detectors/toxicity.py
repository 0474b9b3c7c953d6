"""Stand-in for DetectToxicContent: nearest neighbours over MiniLM, and a short list of words. It is no
model of toxicity."""

from __future__ import annotations

import re

from local.detectors import neighbours

_LABELS = (
    "GRAPHIC",
    "HARASSMENT_OR_ABUSE",
    "HATE_SPEECH",
    "INSULT",
    "PROFANITY",
    "SEXUAL",
    "VIOLENCE_OR_THREAT",
)
_CERTAIN = 0.95
_PATTERNS = {
    "PROFANITY": re.compile(
        r"\b(?:(?:mother)?fuck(?:ing|er|ers|ed|s)?|(?:bull)?shit(?:ty|head)?|ass?hole|bastards?|bitch(?:es)?"
        r"|cunts?|wankers?)\b",
        re.IGNORECASE,
    ),
    "INSULT": re.compile(
        r"\byou(?:'re| are)? (?:(?:a|an|all|such|so|really|bunch|of|total|complete|utter|absolute|fucking|stupid) )*"
        r"(?:idiots?|morons?|imbeciles?|losers?|scum|stupid|dumb|pathetic|worthless|retard(?:ed|s)?|clowns?)\b",
        re.IGNORECASE,
    ),
    "VIOLENCE_OR_THREAT": re.compile(
        r"\b(?:i(?:'ll| will|'m going to| am going to)|we(?:'ll| will)|gonna)\b.{0,20}\b(?:kill|shoot|stab"
        r"|strangle|murder|hurt|beat)\b"
        r".{0,20}\b(?:you|him|her|them|everyone|every|the|your)\b",
        re.IGNORECASE,
    ),
}


def score(text: str) -> dict[str, float]:
    """Return the scores of Comprehend's labels, and of ``TOXICITY``, which is the highest. Each is from 0 to
    1.
    """
    found = neighbours.scores(text, _LABELS, "not_toxic")
    for label, pattern in _PATTERNS.items():
        if pattern.search(text):
            found[label] = max(found[label], _CERTAIN)
    return {**found, "TOXICITY": max(found.values())}
