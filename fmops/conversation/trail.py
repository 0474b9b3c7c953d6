"""Decisions about a request as attributes of its span, for those who ask why an answer came about.

They hold no text, and of a resource only its type.
"""

from __future__ import annotations

from fmops.interaction import Interaction
from fmops.telemetry import attributes as names
from fmops.telemetry.prices import prices

MOST = 64
"""Maximum number of entries of one kind on a span, which X-Ray limits to 64 KB."""
NONE = "-"
"""An entry's word for something that there is not."""


def trail(interaction: Interaction) -> dict[str, list[str] | int | float]:
    """Return the checks, decisions, tool calls, tokens and cost of an interaction."""
    found: dict[str, list[str] | int | float] = {
        names.USAGE_INPUT_TOKENS: interaction.usage.input_tokens,
        names.USAGE_OUTPUT_TOKENS: interaction.usage.output_tokens,
        names.GUARDRAIL_CHECKS: [
            _entry(each.direction, each.action, each.detector, each.reason, round(each.duration_ms))
            for each in interaction.guardrails[:MOST]
        ],
        names.AUTHORIZATION_DECISIONS: [
            _entry(
                each.action,
                kind_of(each.resource),
                each.decision,
                each.reason,
                ",".join(each.determining_policies),
                round(each.duration_ms),
            )
            for each in interaction.authorization[:MOST]
        ],
        names.TOOL_CALLS: [
            _entry(each.name, each.status, round(each.duration_ms)) for each in interaction.tool_calls[:MOST]
        ],
    }
    cost = _cost(interaction)
    return found if cost is None else found | {names.COST_USD: cost}


def kind_of(resource: str) -> str:
    """Return the type of a Cedar entity, without its namespace and its id."""
    return resource.partition('::"')[0].rpartition("::")[2]


def _cost(interaction: Interaction) -> float | None:
    """Return the list price in USD; None for a model without one. A prompt cache's discount is not known here."""
    price = prices().price(interaction.model_id)
    if price is None:
        return None
    used = interaction.usage
    total = used.input_tokens + used.output_tokens
    paid = price.of(
        {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens, "total_tokens": total}
    )
    return round(sum(paid.values()), 8)


def _entry(*words: str | int) -> str:
    return " ".join(str(word).replace(" ", "_") or NONE for word in words)
