"""No panel and no rule names a metric that nobody emits; every alert is tested and explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from observability.dashboards import RULES, cloudwatch, dashboards, not_in_a_run, rules
from observability.dashboards.preview import is_ours, series
from tests.observability.metrics import FOREIGN, declared, named

ROOT = Path(__file__).parents[2]
BOARDS = dashboards()
PANELS = [
    pytest.param(panel, id=f"{uid}: {panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
OURS = [each for each in PANELS if is_ours(each.values[0])]
ALERTS = {
    rule["alert"]: rule for group in yaml.safe_load(rules()["alerts"])["groups"] for rule in group["rules"]
}
RECORDED = {
    rule["record"]: rule["expr"]
    for group in yaml.safe_load(rules()["recording"])["groups"]
    for rule in group["rules"]
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory, run_servers=False) as running:
        yield running


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus"
)


@pytest.mark.parametrize("panel", OURS)
def test_a_panel_names_only_metrics_that_are_emitted(
    panel: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted = declared(monkeypatch) | FOREIGN.keys()
    used = {name for target in panel["targets"] for name in named(target["expr"])}
    assert used
    assert used - emitted == set()


@pytest.mark.parametrize("expression", [*RECORDED.values(), *(rule["expr"] for rule in ALERTS.values())])
def test_a_rule_names_only_metrics_that_are_emitted_or_recorded(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = named(expression)
    assert used
    assert used - declared(monkeypatch) - FOREIGN.keys() - RECORDED.keys() == set()


def test_a_metric_that_nobody_emits_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    misspelt = (
        'sum by (job) (rate(fmops_interaction_total{job="x"}[$__rate_interval])) or y unless z offset 1h'
    )
    assert named(misspelt) == {"fmops_interaction_total", "y", "z"}
    assert "fmops_interaction_total" not in declared(monkeypatch)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_rows_and_panels_have_ids_of_their_own(board: dict[str, Any]) -> None:
    ids = [panel.get("id") for panel in board["panels"]]
    assert all(ids), "0 is no id"
    assert len(set(ids)) == len(ids)
    assert not any(panel.get("panels") for panel in board["panels"]), "panels inside of rows have no ids yet"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    assert [target["refId"] for target in panel["targets"]] == [*"ABCDEF"][: len(panel["targets"])]
    assert panel["datasource"]["uid"].startswith("fmops-")
    if panel["type"] == "stat":
        assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


@pytest.mark.parametrize("panel", OURS)
def test_labels_of_queries_hold_no_user_and_no_interaction(panel: dict[str, Any]) -> None:
    text = " ".join(target["expr"] for target in panel["targets"])
    assert not re.search(r"user|session|interaction_id|trace_id", text)


def test_panels_that_show_nothing_in_a_run_are_the_reviewed_ones() -> None:
    reviewed = not_in_a_run()
    found = {
        uid: {
            p["title"]
            for p in board["panels"]
            if p["type"] != "row" and not is_ours(p) and not cloudwatch.is_ours(p)
        }
        for uid, board in BOARDS.items()
    }
    there = {
        uid: {panel["title"] for panel in board["panels"] if panel["title"] in reviewed.get(uid, {})}
        for uid, board in BOARDS.items()
    }
    assert {uid: titles for uid, titles in there.items() if titles} == {
        uid: set(reasons) for uid, reasons in reviewed.items()
    }
    assert all(titles <= set(reviewed.get(uid, {})) for uid, titles in found.items())


def test_a_click_leads_to_the_traces_behind_a_number() -> None:
    links = [link["url"] for each in PANELS for link in each.values[0].get("links") or []]
    assert len(links) >= 4
    assert all("fmops-x-ray" in url and "${__from}" in url and "${__to}" in url for url in links)


def test_panels_of_x_ray_say_what_they_miss_with_transaction_search() -> None:
    def descriptions(boards: dict[str, Any]) -> list[str]:
        panels = [panel for board in boards.values() for panel in board["panels"]]
        return [
            each["description"] for each in panels if each.get("datasource", {}).get("uid") == "fmops-x-ray"
        ]

    usual, noted = descriptions(dashboards()), descriptions(dashboards(transaction_search=True))
    assert len(usual) >= 3
    assert not any("Transaction Search" in each for each in usual)
    assert all(
        with_note.startswith(each) and "Transaction Search" in with_note
        for each, with_note in zip(usual, noted, strict=True)
    )


def test_annotations_that_traces_are_found_by_are_indexed() -> None:
    from observability.collector.config import AwsXray, load
    from observability.collector.template import compose

    exporter = load(compose()).exporters["awsxray"]
    assert isinstance(exporter, AwsXray)
    used = set(re.findall(r"annotation(?:\[|%5B)([\w.]+)", str(BOARDS)))
    assert used == {
        "fmops.interaction.finish_reason",
        "fmops.guardrail.action",
        "fmops.authorization.decision",
    }
    assert used <= set(exporter.indexed_attributes)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_severity_and_a_page_in_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{alert}.md"
    page = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert page.startswith(f"# {alert}\n")
    assert all(f"## {heading}\n" in page for heading in ("Means", "Look", "Do"))


def test_no_page_is_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_shown_to_fire_and_not_to_fire(alert: str) -> None:
    cases = [
        case
        for path in (RULES / "tests").glob("*.yaml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.prometheus
@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    files = [str(path) for path in sorted(RULES.glob("*.yaml"))]
    result = subprocess.run(["promtool", "check", "rules", *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.prometheus
@needs_promtool
@pytest.mark.parametrize("file", sorted((RULES / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_rules_pass_their_own_tests(file: Path) -> None:
    result = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_drift_dashboard_names_only_metrics_that_the_analysis_writes() -> None:
    from fmops.analysis.result import WindowResult
    from fmops.analysis.trend import Trend

    trend = Trend(share=0.0, usual=0.0, needed=1.0)
    result = WindowResult(
        window="2026-11-12",
        start="",
        end="",
        verdict="usual",
        sentence="",
        p_value=0.5,
        trends={"novelty": trend, "coverage": trend},
    )
    shown = set(re.findall(r'MetricName=\\?"(\w+)', str(BOARDS["fmops-drift"])))
    assert len(shown) >= 9
    assert shown <= result.metrics().keys()


def test_the_quality_dashboard_names_only_metrics_that_the_review_job_writes() -> None:
    from fmops.evaluation.statistics import Interval
    from fmops.review.estimate import Estimate
    from fmops.review.judging import Judged
    from fmops.review.labels import State
    from fmops.review.model import JudgeScore
    from fmops.review.outcome import JudgeAgreement, Quality

    criteria = {"relevance": 1.0, "groundedness": 1.0, "safety": 1.0}
    score = JudgeScore(interaction_id="i", judge="j", score=1, criteria=criteria)
    quality = Quality(Estimate(0.1, 0, 1, 1, 1), agreement=1.0, tasks=dict.fromkeys(State, 1))
    written = (
        quality.metrics() | Judged([score]).metrics(0.5) | JudgeAgreement(1, 1.0, Interval(1, 1, 1)).metrics()
    )
    shown = set(re.findall(r'MetricName=\\?"(\w+)', str(BOARDS["fmops-quality"])))
    assert len(shown) >= 15
    assert shown <= written.keys()


def test_a_preview_draws_what_the_jobs_wrote_to_cloudwatch(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch")
    (panel,) = [
        each.values[0] for each in PANELS if each.values[0]["title"].startswith("Agreement of reviewers")
    ]
    metrics = cloudwatch.CloudWatch(client)
    nothing: Any = None
    assert series(panel, nothing, metrics) == []
    for environment, value in ((["Environment"], 0.5), (["Service"], 9.0)):
        client.put_metric_data(
            Namespace="FMOps/Review",
            MetricData=[
                {
                    "MetricName": "Agreement",
                    "Dimensions": [{"Name": name, "Value": "fmops-dev"} for name in environment],
                    "Value": value,
                }
            ],
        )
    [(name, [(_, value)])] = series(panel, nothing, metrics)
    assert (name, value) == ("Agreement", 0.5)
    assert series(panel, nothing) == []
