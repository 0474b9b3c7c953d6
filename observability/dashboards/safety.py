"""The *Safety* dashboard: what guardrails and authorization block, redact and deny, how long they take, and
which checks get no answer."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from observability.dashboards.parts import (
    RATE,
    SERVICE,
    dashboard,
    lines,
    number,
    quantiles,
    rate,
    row,
    traces,
)

DECISIONS = "fmops_guardrail_decisions_total"
INTERVENTIONS = "fmops_guardrail_interventions_total"
DETECTOR = "fmops_guardrail_detector_duration_seconds"
UNANSWERED = f'{DETECTOR}_count{{{SERVICE}, fmops_guardrail_result!~"ok|cached|joined"}}'
BLOCKED = 'annotation[fmops.guardrail.action] = "block"'
DENIED = 'annotation[fmops.authorization.decision] = "DENY"'


def build() -> Dashboard:
    board = dashboard("fmops-safety", "FMOps / Safety", "What do the layers stop, and are they all there?")
    _summary(board)
    _guardrails(board)
    _detectors(board)
    _authorization(board)
    return board


def _summary(board: Dashboard) -> None:
    def share(labels: str) -> str:
        some = f"sum(increase(fmops_interactions_total{{{SERVICE}, {labels}}}[$__range]))"
        return f"{some} / sum(increase(fmops_interactions_total{{{SERVICE}}}[$__range]))"

    unanswered = f"sum(increase({UNANSWERED}[$__range])) or vector(0)"
    denials = f'{{{SERVICE}, fmops_authorization_decision="DENY"}}'
    denied = f"sum(increase(fmops_authorization_decisions_total{denials}[$__range]))"
    for panel in (
        number(
            "Interactions blocked",
            share('fmops_interaction_finish_reason="content_filter"'),
            unit="percentunit",
            span=6,
        ),
        number(
            "Questions without an answer",
            unanswered,
            bad_above=1,
            span=6,
            description="A detector that was due did not answer.",
        ),
        number("Authorizations denied", denied, span=6),
        number(
            "Authorization errors",
            f"sum(increase(fmops_authorization_errors_total{{{SERVICE}}}[$__range]))",
            bad_above=1,
            span=6,
            description="A policy failed to evaluate, or Verified Permissions did not answer.",
        ),
    ):
        board.with_panel(panel)


def _guardrails(board: Dashboard) -> None:
    blocked = f'{SERVICE}, fmops_guardrail_action="block"'
    redacted = f'{SERVICE}, fmops_guardrail_action="redact"'
    layer = "fmops_guardrail_direction"
    board.with_row(row("Guardrails"))
    for panel in (
        lines("Decisions by action", [rate(DECISIONS, "fmops_guardrail_action")], unit="cps", stacked=True),
        lines(
            "Blocked, by layer", [rate(DECISIONS, layer, blocked)], unit="cps", stacked=True, traces=BLOCKED
        ),
        lines("Redacted, by layer", [rate(DECISIONS, layer, redacted)], unit="cps", stacked=True),
        lines(
            "Interventions by category",
            [
                (
                    f"sum by (fmops_guardrail_action, fmops_guardrail_category) ({INTERVENTIONS}{{{SERVICE}}})",
                    "{{fmops_guardrail_action}} {{fmops_guardrail_category}}",
                )
            ],
            description="Since the tasks started: a category that is seen for the first time has no rate yet.",
            span=12,
        ),
        lines(
            "Interventions by detector",
            [
                (
                    f"sum by (fmops_guardrail_detector) ({INTERVENTIONS}{{{SERVICE}}})",
                    "{{fmops_guardrail_detector}}",
                )
            ],
            description="Since the tasks started: whose finding decided.",
            span=12,
        ),
    ):
        board.with_panel(panel)
    board.with_panel(traces("Traces of blocked requests", BLOCKED, description="Every one is sampled."))


def _detectors(board: Dashboard) -> None:
    asked = f'{SERVICE}, fmops_guardrail_result!="cached"'
    board.with_row(row("Detectors"))
    for panel in (
        lines(
            "Detector, p95", quantiles(DETECTOR, asked, by="fmops_guardrail_detector", what=(0.95,)), unit="s"
        ),
        lines(
            "Check of a text, p95",
            quantiles("fmops_guardrail_duration_seconds", by="fmops_guardrail_direction", what=(0.95,)),
            unit="s",
        ),
        lines(
            "Questions by result",
            [rate(f"{DETECTOR}_count", "fmops_guardrail_result")],
            unit="cps",
            stacked=True,
        ),
        lines(
            "Questions by detector",
            [rate(f"{DETECTOR}_count", "fmops_guardrail_detector", asked)],
            unit="cps",
            span=12,
        ),
        lines(
            "Questions without an answer",
            [
                (
                    "sum by (fmops_guardrail_detector, fmops_guardrail_result)"
                    f" (rate({UNANSWERED}[{RATE}])) or vector(0)",
                    "{{fmops_guardrail_detector}} {{fmops_guardrail_result}}",
                )
            ],
            unit="cps",
            description="Time-outs, throttling, errors, and languages that a detector does not know.",
            span=12,
        ),
    ):
        board.with_panel(panel)


def _authorization(board: Dashboard) -> None:
    decisions = "fmops_authorization_decisions_total"
    denied = f'{SERVICE}, fmops_authorization_decision="DENY"'
    board.with_row(row("Authorization"))
    for panel in (
        lines("Decisions", [rate(decisions, "fmops_authorization_decision")], unit="cps", stacked=True),
        lines(
            "Denied, by action and reason",
            [rate(decisions, "fmops_authorization_action, fmops_authorization_reason", denied)],
            unit="cps",
            stacked=True,
            traces=DENIED,
        ),
        lines("Verified Permissions", quantiles("fmops_authorization_duration_seconds"), unit="s"),
    ):
        board.with_panel(panel)
    board.with_panel(traces("Traces with a denial", DENIED, description="Every one is sampled."))
