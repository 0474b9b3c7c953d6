"""The price of a deployment: every resource is priced, called free with a reason, or named."""

from __future__ import annotations

from typing import Any

import pytest

from cost.__main__ import main
from cost.idle import PRICERS, idle
from cost.prices import Prices, read
from cost.requests import NoAssistantError, requests
from tests.infrastructure.conftest import Assembly

PRICES = read()


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Stack": {"Resources": resources}}


def service(tasks: int, *, architecture: str = "ARM64", interval: int = 60_000) -> dict[str, Any]:
    environment = [{"Name": "OTEL_METRIC_EXPORT_INTERVAL", "Value": str(interval)}]
    task = {
        "Cpu": "1024",
        "Memory": "2048",
        "RuntimePlatform": {"CpuArchitecture": architecture},
        "ContainerDefinitions": [{"Environment": environment}],
    }
    properties = {
        "DesiredCount": tasks,
        "TaskDefinition": {"Ref": "Task"},
        "NetworkConfiguration": {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED"}},
    }
    return template(
        Service={"Type": "AWS::ECS::Service", "Properties": properties},
        Task={"Type": "AWS::ECS::TaskDefinition", "Properties": task},
    )


def test_no_resource_of_any_profile_is_overlooked(assembly: Assembly) -> None:
    assert idle(assembly.templates, PRICES).unpriced == []


def test_what_is_called_free_has_no_price() -> None:
    assert not PRICES.free.keys() & PRICERS.keys()
    assert all(PRICES.free.values())


def test_a_service_costs_its_tasks_their_addresses_and_their_metrics() -> None:
    lines = {line.what: line.usd for line in idle(service(2), PRICES).lines}
    assert lines["Fargate, 2 tasks"] == pytest.approx(2 * 730 * (0.03238 + 2 * 0.00356))
    assert lines["their public addresses"] == pytest.approx(2 * 730 * 0.005)
    every_minute = 2 * 1200 * 730 * 60
    assert lines["metrics to Managed Prometheus"] == pytest.approx(every_minute / 1e6 * 0.09)


def test_architecture_and_interval_count() -> None:
    def of(what: str, **changes: Any) -> float:
        return next(
            line.usd for line in idle(service(1, **changes), PRICES).lines if line.what.startswith(what)
        )

    assert of("Fargate", architecture="X86_64") > of("Fargate")
    assert of("metrics", interval=10_000) == pytest.approx(6 * of("metrics"))


def test_an_unknown_resource_is_named_and_not_taken_for_free() -> None:
    found = idle(template(Thing={"Type": "AWS::New::Thing"}), PRICES)
    assert (found.lines, found.unpriced) == ([], ["AWS::New::Thing"])


def test_a_missing_price_is_named() -> None:
    poor = Prices(**{**PRICES.model_dump(), "listed": {}})
    with pytest.raises(LookupError, match=r"no price 'kms\.key'"):
        idle(template(Key={"Type": "AWS::KMS::Key"}), poor)
    with pytest.raises(NoAssistantError, match="FMOPS_MODEL_ID"):
        requests(template(Key={"Type": "AWS::KMS::Key"}), PRICES)


def test_a_request_pays_for_its_model_its_detectors_and_its_way(assemblies: dict[str, Assembly]) -> None:
    lines, unpriced = requests(assemblies["dev"].templates, PRICES)
    assert unpriced == []
    usd = {" ".join(line.what.split()[:2]): line.usd for line in lines}
    assert usd["chat model"] == pytest.approx(1000 * 2 * (1600 * 1.0 + 150 * 5.0) * 1.1 / 1e6)
    # 200, 600 and 1,200 characters: at least three units each.
    assert usd["detector pii"] == pytest.approx(1000 * (3 + 6 + 12) * 0.0001)
    assert {"Firehose", "traces", "tables"} <= usd.keys()


def test_a_model_or_detector_without_a_price_is_named(assemblies: dict[str, Assembly]) -> None:
    _, unpriced = requests(assemblies["everything"].templates, PRICES)
    assert unpriced == ["detector safety (comprehend_prompt_safety)"]


def test_the_cheapest_whole_deployment_idles_below_twenty_dollars(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "serverless", "--requests", "1000"]) == 0
    printed = capsys.readouterr().out
    total = float(printed.split("in all")[1].split("│")[2])
    assert 0 < total < 20
    assert "With 1,000 requests a month" in printed


def test_an_unknown_profile_is_refused_in_the_settings_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "nothing"]) == 1
    assert "'nothing' is not in the context" in capsys.readouterr().err
