"""The *Service* dashboard: traffic, latency, errors, saturation and tokens."""

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
    traces,
)

FAILED = 'fmops_interaction_finish_reason="error", error_type!="context_length_exceeded"'
STAYED = 'fmops_interaction_finish_reason!~"client_disconnect|budget_exceeded"'
"""Interactions that the objective counts: their clients waited for the end and had a budget for it."""


def build() -> Dashboard:
    board = dashboard(
        "fmops-service", "FMOps / Service", "Is the assistant there, fast enough, and with room to spare?"
    )
    _summary(board)
    _traffic_and_errors(board)
    _latency(board)
    _saturation(board)
    _tokens(board)
    return board


def _summary(board: Dashboard) -> None:
    total = f"sum(increase(fmops_interactions_total{{{SERVICE}}}[$__range]))"
    stayed = f"sum(increase(fmops_interactions_total{{{SERVICE}, {STAYED}}}[$__range]))"
    failed = f"sum(increase(fmops_interactions_total{{{SERVICE}, {FAILED}}}[$__range]))"
    first = f"sum by (le) (rate(fmops_interaction_time_to_first_text_seconds_bucket{{{SERVICE}}}[$__range]))"
    for panel in (
        number("Interactions", total),
        number(
            "Failed",
            f"{failed} / {stayed}",
            unit="percentunit",
            bad_above=0.005,
            description="Objective: 0.5 %",
        ),
        number(
            "First text, p95",
            f"histogram_quantile(0.95, {first})",
            unit="s",
            bad_above=5.12,
            description="Objective: 5.12 s",
        ),
        number("Tasks", f"count(count by (instance) (fmops_capture_waiting{{{SERVICE}}}))"),
        number("Alerts firing", f'count(ALERTS{{{SERVICE}, alertstate="firing"}}) or vector(0)', bad_above=1),
        number(
            "Records lost",
            f'sum(increase(fmops_capture_records_total{{{SERVICE}, fmops_capture_result="lost"}}[$__range]))',
            bad_above=1,
        ),
    ):
        board.with_panel(panel)


def _traffic_and_errors(board: Dashboard) -> None:
    result = (
        f"sum by (error_type) (rate(gen_ai_client_operation_duration_seconds_count{{{SERVICE}}}[{RATE}]))"
    )
    board.with_row(row("Traffic and errors"))
    for panel in (
        lines(
            "Interactions by end",
            [rate("fmops_interactions_total", "fmops_interaction_finish_reason")],
            description="A streamed answer that fails has begun with status 200: this is where it shows.",
            unit="reqps",
            stacked=True,
            traces='annotation[fmops.interaction.finish_reason] = "error"',
        ),
        lines(
            "HTTP requests by status",
            [rate("http_server_request_duration_seconds_count", "http_response_status_code")],
            unit="reqps",
            stacked=True,
            traces="fault OR error",
        ),
        lines(
            "Model calls by result",
            [(f'label_replace({result}, "error_type", "ok", "error_type", "")', "{{error_type}}")],
            unit="reqps",
            stacked=True,
        ),
    ):
        board.with_panel(panel)
    board.with_panel(traces("Traces that failed", "fault", description="Every error is sampled."))


def _latency(board: Dashboard) -> None:
    board.with_row(row("Latency"))
    for panel in (
        lines(
            "Time to the first vetted text",
            quantiles("fmops_interaction_time_to_first_text_seconds"),
            unit="s",
            traces="responsetime > 5",
        ),
        lines(
            "Whole request",
            quantiles(
                "http_server_request_duration_seconds", f'{SERVICE}, http_route="/v1/chat/completions"'
            ),
            unit="s",
            traces="responsetime > 10",
        ),
        lines("Model call", quantiles("gen_ai_client_operation_duration_seconds"), unit="s"),
        lines(
            "Model: time to the first chunk",
            quantiles("gen_ai_client_operation_time_to_first_chunk_seconds"),
            unit="s",
            description="Of the model, before the guardrails hold text back.",
        ),
        lines(
            "Tools, p95",
            quantiles("gen_ai_execute_tool_duration_seconds", by="gen_ai_tool_name", what=(0.95,)),
            unit="s",
        ),
        lines(
            "Tool calls by outcome",
            [rate("gen_ai_execute_tool_duration_seconds_count", "fmops_tool_status")],
            unit="reqps",
            stacked=True,
        ),
    ):
        board.with_panel(panel)


def _saturation(board: Dashboard) -> None:
    dropped = f'rate(otel_sdk_processor_span_processed_total{{{SERVICE}, error_type!=""}}[{RATE}])'
    refused = f'rate(otel_sdk_exporter_span_exported_total{{{SERVICE}, error_type!=""}}[{RATE}])'
    board.with_row(row("Saturation"))
    for panel in (
        lines(
            "Requests in flight",
            [(f"sum by (instance) (http_server_active_requests{{{SERVICE}}})", "{{instance}}")],
        ),
        lines(
            "Turns under way",
            [(f"sum by (instance) (fmops_turns_under_way{{{SERVICE}}})", "{{instance}}")],
            description="Autoscaling adds tasks from 60 % of assistant.turns_per_task on; above it turns"
            " are refused.",
        ),
        lines("Turns refused", [rate("fmops_turns_refused_total", "fmops_turn_limit")], unit="cps"),
        lines(
            "Captured records that wait",
            [
                (
                    f"sum by (fmops_capture_place) (fmops_capture_waiting{{{SERVICE}}})",
                    "{{fmops_capture_place}}",
                )
            ],
        ),
        lines("Captured records", [rate("fmops_capture_records_total", "fmops_capture_result")], unit="cps"),
        lines("Faults of capture", [rate("fmops_capture_faults_total", "error_type")], unit="cps"),
        lines(
            "Prompt version that serves",
            [
                (
                    f"max by (fmops_prompt_name) (fmops_prompt_served_version{{{SERVICE}}})",
                    "{{fmops_prompt_name}}, newest",
                ),
                (
                    f"min by (fmops_prompt_name) (fmops_prompt_served_version{{{SERVICE}}})",
                    "{{fmops_prompt_name}}, oldest",
                ),
            ],
            description="0 is the packaged prompt. Two lines: tasks differ for as long as one refresh takes.",
        ),
        lines(
            "Looks at the prompt registry",
            [rate("fmops_prompt_refreshes_total", "fmops_prompt_result")],
            unit="cps",
        ),
        lines(
            "Spans dropped",
            [
                (f"sum({dropped}) or vector(0)", "queue full"),
                (f"sum({refused}) or vector(0)", "refused by the collector"),
            ],
            unit="cps",
            description="Telemetry never slows a request: what the collector does not take is dropped,"
            " and counted here.",
        ),
        cloudwatch_lines(
            "Tasks: CPU and memory",
            "AWS/ECS,ClusterName,ServiceName",
            ["CPUUtilization", "MemoryUtilization"],
            statistic="Average",
            unit="percent",
        ),
        cloudwatch_lines(
            "Load balancer: errors of its own and of targets",
            "AWS/ApplicationELB,LoadBalancer",
            ["HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count"],
            statistic="Sum",
        ),
    ):
        board.with_panel(panel)


def _tokens(board: Dashboard) -> None:
    board.with_row(row("Tokens"))
    per_call = quantiles("gen_ai_client_token_usage", by="gen_ai_token_type", what=(0.95,))
    for panel in (
        lines(
            "Tokens per second",
            [rate("gen_ai_client_token_usage_sum", "gen_ai_token_type")],
            stacked=True,
            span=12,
        ),
        lines("Tokens of a model call, p95", per_call, span=12),
    ):
        board.with_panel(panel)
