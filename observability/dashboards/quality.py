"""The *Quality and cost* dashboard: what users think of the answers, and what the answers cost."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from observability.dashboards.parts import (
    RATE,
    SERVICE,
    cloudwatch_lines,
    dashboard,
    lines,
    number,
    quantiles,
    rate,
    row,
)

INTERACTIONS = f"sum(increase(fmops_interactions_total{{{SERVICE}}}[$__range]))"
REVIEW_METRICS = "FMOps/Review,Environment"
COST = f"sum(increase(fmops_cost_USD_total{{{SERVICE}}}[$__range]))"


def build() -> Dashboard:
    board = dashboard("fmops-quality", "FMOps / Quality and cost", "Are the answers worth their price?")
    _summary(board)
    _quality(board)
    _retrieval(board)
    _review(board)
    _cost(board)
    _budgets(board)
    return board


def _summary(board: Dashboard) -> None:
    up = f'sum(increase(fmops_feedback_total{{{SERVICE}, fmops_feedback_rating="up"}}[$__range]))'
    rated = f"sum(increase(fmops_feedback_total{{{SERVICE}}}[$__range]))"
    daily = f"86400 * sum(rate(fmops_cost_USD_total{{{SERVICE}}}[$__range]))"
    unpriced = f"sum(increase(fmops_cost_unpriced_total{{{SERVICE}}}[$__range])) or vector(0)"
    for panel in (
        number("Rated good", f"{up} / {rated}", unit="percentunit"),
        number("Rated at all", f"{rated} / {INTERACTIONS}", unit="percentunit"),
        number(
            "Cost",
            COST,
            unit="currencyUSD",
            description="List price of the tokens; detectors, storage and compute are not in it.",
        ),
        number(
            "Cost per day", daily, unit="currencyUSD", description="At the pace of the chosen time range."
        ),
        number("Cost per interaction", f"{COST} / {INTERACTIONS}", unit="currencyUSD"),
        number(
            "Calls without a price",
            unpriced,
            bad_above=1,
            description="Their model is not in the price file: add it.",
        ),
    ):
        board.with_panel(panel)


def _quality(board: Dashboard) -> None:
    board.with_row(row("Quality"))
    for panel in (
        lines("Feedback", [rate("fmops_feedback_total", "fmops_feedback_rating")], unit="cps", stacked=True),
        lines(
            "Interactions by end",
            [rate("fmops_interactions_total", "fmops_interaction_finish_reason")],
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Tool calls",
            [rate("gen_ai_execute_tool_duration_seconds_count", "gen_ai_tool_name, fmops_tool_status")],
            unit="reqps",
            stacked=True,
        ),
    ):
        board.with_panel(panel)


def _retrieval(board: Dashboard) -> None:
    searches = f"sum(increase(fmops_retrieval_searches_total{{{SERVICE}}}[$__range]))"
    nothing = f'sum(increase(fmops_retrieval_searches_total{{{SERVICE}, fmops_retrieval_outcome="nothing"}}[$__range]))'
    board.with_row(row("Retrieval"))
    for panel in (
        number(
            "Searches without a passage",
            f"{nothing} / {searches}",
            unit="percentunit",
            bad_above=0.2,
            description="No passage of the caller's audiences is as near as knowledge.minimum_similarity asks for.",
        ),
        lines(
            "Similarity of the best passage",
            quantiles("fmops_retrieval_similarity", what=(0.05, 0.5, 0.95)),
            description="Cosine similarity to the query. A p5 that falls says that questions go where no document is.",
            span=10,
        ),
        lines(
            "Searches by outcome",
            [rate("fmops_retrieval_searches_total", "fmops_retrieval_outcome")],
            unit="reqps",
            stacked=True,
            span=10,
        ),
    ):
        board.with_panel(panel)


def _review(board: Dashboard) -> None:
    """Add the opinions of people and judges about the answers, which the review job writes once a day. People's
    rate is weighted back to all answers."""
    board.with_row(row("Review by people and judges"))
    for title, metrics, unit in (
        (
            "Bad answers of all, with its 95 % interval",
            ["BadAnswerRate", "BadAnswerRateLow", "BadAnswerRateHigh"],
            "percentunit",
        ),
        ("Agreement of reviewers (Krippendorff's alpha)", ["Agreement"], "short"),
        ("Review tasks", ["TasksOpen", "TasksDisagreed", "TasksSettled"], "short"),
        (
            "What judges say of answers (mean grade)",
            ["JudgeScore", "JudgeRelevance", "JudgeGroundedness", "JudgeSafety"],
            "percentunit",
        ),
        ("Judges that agree with people (Cohen's kappa), and share", ["JudgeKappa", "JudgeAgreed"], "short"),
        (
            "Answers judged, and judges' failures",
            ["AnswersJudged", "JudgeFailures"],
            "short",
        ),
    ):
        board.with_panel(
            cloudwatch_lines(title, REVIEW_METRICS, metrics, statistic="Average", unit=unit, period=3600)
        )


def _cost(board: Dashboard) -> None:
    hourly = f"3600 * sum by (gen_ai_request_model) (rate(fmops_cost_USD_total{{{SERVICE}}}[{RATE}]))"
    by_type = f"3600 * sum by (gen_ai_token_type) (rate(fmops_cost_USD_total{{{SERVICE}}}[{RATE}]))"
    board.with_row(row("Cost"))
    for panel in (
        lines(
            "USD per hour, by model", [(hourly, "{{gen_ai_request_model}}")], unit="currencyUSD", stacked=True
        ),
        lines(
            "USD per hour, by token type",
            [(by_type, "{{gen_ai_token_type}}")],
            unit="currencyUSD",
            stacked=True,
        ),
        lines(
            "Model calls",
            [rate("gen_ai_client_operation_duration_seconds_count", "gen_ai_request_model")],
            unit="reqps",
        ),
    ):
        board.with_panel(panel)


def _budgets(board: Dashboard) -> None:
    limit = "fmops_budget_scope, fmops_budget_window, fmops_budget_unit"
    legend = "{{fmops_budget_scope}}, {{fmops_budget_unit}} a {{fmops_budget_window}}"
    money = f'fmops_budget_spent_ratio{{{SERVICE}, fmops_budget_scope="deployment", fmops_budget_unit="usd"}}'
    board.with_row(row("Budgets"))
    for panel in (
        number(
            "Deployment's money spent",
            f"max({money})",
            unit="percentunit",
            bad_above=0.8,
            description="Of its limit, with what is reserved. At 100 % nothing is answered until the window ends.",
            span=6,
        ),
        lines(
            "Budgets spent",
            [(f"max by ({limit}) (fmops_budget_spent_ratio{{{SERVICE}}})", legend)],
            unit="percentunit",
            description="Share of each limit. Of users and teams, the one that is nearest to its limit.",
            span=6,
        ),
        lines(
            "Refused, by budget",
            [rate("fmops_budget_refusals_total", limit, legend=legend)],
            unit="reqps",
            stacked=True,
            span=6,
        ),
        lines(
            "Counters",
            [
                rate(
                    "fmops_budget_unavailable_total",
                    "fmops_budget_action",
                    legend="away: {{fmops_budget_action}}",
                ),
                rate("fmops_budget_settlements_total", "fmops_budget_result"),
            ],
            unit="cps",
            description="Model calls settled, and those for which DynamoDB did not answer.",
            span=6,
        ),
    ):
        board.with_panel(panel)
