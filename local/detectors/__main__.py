"""Measure the stand-ins on the labelled sentences: recall and false alarms with 95 % Wilson intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from local.detectors import misconduct, pii, prompt_attack, toxicity

THRESHOLD = 0.6
"""The guardrail policy's default threshold for content and prompt attacks."""


@dataclass(frozen=True)
class Rate:
    """``hits`` out of ``of``, with its Wilson score interval."""

    hits: int
    of: int

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        share, n = self.hits / self.of, self.of
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - margin), min(1.0, centre + margin)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.hits:3d}/{self.of:<3d} = {self.hits / self.of:4.2f} [{low:.2f}, {high:.2f}]"


@dataclass(frozen=True)
class Figures:
    """The recall of a stand-in, and the share of harmless sentences in which it found something."""

    name: str
    recall: Rate
    false_alarms: Rate


def evaluate() -> list[Figures]:
    """Return the figures of every stand-in."""
    labelled: dict[str, Any] = yaml.safe_load(
        files("local.detectors").joinpath("evaluation.yaml").read_text()
    )

    def figures(name: str, score: Callable[[str], float], bad: str, good: str) -> Figures:
        def flagged(sentences: list[str]) -> Rate:
            return Rate(sum(score(sentence) >= THRESHOLD for sentence in sentences), len(sentences))

        return Figures(name, flagged(labelled[bad]), flagged(labelled[good]))

    return [
        figures("toxicity", lambda text: toxicity.score(text)["TOXICITY"], "toxic", "not_toxic"),
        figures(
            "prompt attack", lambda text: max(prompt_attack.score(text).values()), "attack", "not_attack"
        ),
        figures("misconduct", misconduct.score, "misconduct", "not_toxic"),
        _personal_data(labelled["personal"]),
    ]


def _personal_data(sentences: list[dict[str, Any]]) -> Figures:
    """Count by types: one hit for each type that occurs in a sentence and was found there."""
    found = [
        ({entity["type"] for entity in pii.find(each["text"])}, set(each["types"])) for each in sentences
    ]
    hits = sum(len(seen & there) for seen, there in found)
    alarms = sum(bool(seen - there) for seen, there in found)
    return Figures(
        "personal data", Rate(hits, sum(len(there) for _, there in found)), Rate(alarms, len(found))
    )


def main() -> None:
    """Print the table."""
    print("Local stand-ins on local/detectors/evaluation.yaml (not Comprehend, not Bedrock)\n")
    print(f"{'stand-in':14} {'recall [95 %]':30} {'false alarms [95 %]':30}")
    for each in evaluate():
        print(f"{each.name:14} {each.recall!s:30} {each.false_alarms!s:30}")


if __name__ == "__main__":
    main()
