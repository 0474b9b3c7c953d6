"""Layered guardrails for LangChain applications: detectors find, a policy decides, and an outcome records what
was done."""

from fmops.guardrails.build import build_engine
from fmops.guardrails.categories import Category, Group
from fmops.guardrails.content import from_client
from fmops.guardrails.engine import GuardrailEngine, Observer
from fmops.guardrails.middleware import GuardrailMiddleware
from fmops.guardrails.model import GuardedChatModel
from fmops.guardrails.policy import Policy, Rule
from fmops.guardrails.settings import GuardrailSettings
from fmops.guardrails.turn import begin_turn, current_turn, disclose
from fmops.guardrails.types import (
    DETECTOR_UNAVAILABLE,
    Action,
    Asked,
    Decision,
    DetectorCall,
    DetectorError,
    Direction,
    Finding,
    GuardrailBlocked,
    Outcome,
    Redaction,
)

__all__ = [
    "DETECTOR_UNAVAILABLE",
    "Action",
    "Asked",
    "Category",
    "Decision",
    "DetectorCall",
    "DetectorError",
    "Direction",
    "Finding",
    "Group",
    "GuardedChatModel",
    "GuardrailBlocked",
    "GuardrailEngine",
    "GuardrailMiddleware",
    "GuardrailSettings",
    "Observer",
    "Outcome",
    "Policy",
    "Redaction",
    "Rule",
    "begin_turn",
    "build_engine",
    "current_turn",
    "disclose",
    "from_client",
]
