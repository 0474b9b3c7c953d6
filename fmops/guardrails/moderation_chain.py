"""Conversion of the configuration of langchain-experimental's ``AmazonComprehendModerationChain`` into
guardrail settings.

It serves people who have that chain: same filters, thresholds and labels, without its defects.
``tests/guardrails/test_moderation_chain.py`` lists where the two differ and which defect explains each
difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeGuard

from fmops.guardrails.categories import COMPREHEND_PII, COMPREHEND_TOXICITY, Category, Group
from fmops.guardrails.policy import Rule
from fmops.guardrails.settings import DetectorSettings, GuardrailSettings
from fmops.guardrails.types import Action


class _Filter(Protocol):
    threshold: float


class _Labelled(_Filter, Protocol):
    labels: list[str]


class _Pii(_Labelled, Protocol):
    redact: bool
    mask_character: str


class ModerationConfig(Protocol):
    """The part of ``BaseModerationConfig`` that is read."""

    filters: Sequence[Any]


def settings_from(config: ModerationConfig) -> GuardrailSettings:
    """Return settings that look for the same as ``config``, in every direction.

    The mask character is not adopted: redacted text is replaced by its category's name, such as ``[EMAIL]``.
    Raises ``ValueError`` for an unknown filter or label, which the chain would overlook.
    """
    detectors: dict[str, DetectorSettings | None] = {
        "secrets": None,
        "pii": None,
        "toxicity": None,
        "checks": None,
    }
    rules: list[Rule] = []
    for each in config.filters:
        if _is_pii(each):
            detectors["pii"] = DetectorSettings(kind="comprehend_pii")
            action = Action.REDACT if each.redact else Action.BLOCK
            rules.append(_rule("pii", _named(each, COMPREHEND_PII), each.threshold, action))
        elif _is_labelled(each):
            detectors["toxicity"] = DetectorSettings(kind="comprehend_toxicity")
            rules.append(_rule("toxicity", _named(each, COMPREHEND_TOXICITY), each.threshold, Action.BLOCK))
        elif type(each).__name__ == "ModerationPromptSafetyConfig":
            detectors["prompt_safety"] = DetectorSettings(kind="comprehend_prompt_safety")
            rules.append(_rule("prompt_safety", [Category.UNSAFE_PROMPT], each.threshold, Action.BLOCK))
        else:
            raise ValueError(f"filters holds a {type(each).__name__}: it must hold Moderation…Config objects")
    return GuardrailSettings.model_validate({"detectors": detectors, "rules": rules, "default_rules": False})


def _is_pii(each: Any) -> TypeGuard[_Pii]:
    return type(each).__name__ == "ModerationPiiConfig"


def _is_labelled(each: Any) -> TypeGuard[_Labelled]:
    return type(each).__name__ == "ModerationToxicityConfig"


def _named(each: _Labelled, names: dict[str, Category]) -> list[Category]:
    """Return the categories of these labels, or all that the service knows if there are none."""
    if unknown := set(each.labels) - {*names, "ALL"}:
        known = ", ".join(sorted(names))
        raise ValueError(f"{type(each).__name__}.labels holds {sorted(unknown)}: known are {known}")
    every = not each.labels or "ALL" in each.labels
    return sorted({category for name, category in names.items() if every or name in each.labels})


def _rule(detector: str, categories: Iterable[Category | Group], threshold: float, action: Action) -> Rule:
    return Rule(
        categories=tuple(categories), threshold=threshold, action=action, detectors=frozenset({detector})
    )
