"""The price of a deployment: every resource is priced, called free with a reason, or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ops.cost.__main__ import main
from ops.cost.documents import documents
from ops.cost.idle import PRICERS, idle
from ops.cost.prices import Prices, read
from ops.cost.requests import NoAssistantError, requests
from tests.synthesized import Assembly

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


def test_no_resource_of_the_pipeline_is_overlooked() -> None:
    file = Path("tests/stacks/__snapshots__/test_pipeline/test_template.json")
    found = idle({"Pipeline": json.loads(file.read_text())}, PRICES)
    assert found.unpriced == []
    assert any(each.startswith("AWS::CodePipeline::Pipeline: ") for each in found.named)


def test_a_type_is_priced_or_free_or_named_and_only_one_of_them() -> None:
    kinds = [*PRICES.free, *PRICES.unpriced, *PRICERS]
    assert len(kinds) == len(set(kinds))
    assert all([*PRICES.free.values(), *PRICES.unpriced.values()])


def test_what_is_billed_is_not_called_free() -> None:
    """Check that resources billed by use are counted with the requests, or named."""
    billed = {kind: why for kind, why in PRICES.free.items() if "billed" in why or "priced" in why}
    assert {kind for kind, why in billed.items() if "below" not in why} == set()


def test_what_is_not_priced_is_named_with_what_is_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "dev"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not priced: AWS::EC2::FlowLog: bytes of its log" in printed


def alarm(*periods: int, plain: int | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {"Period": plain} if plain else {}
    if periods:
        stats = [{"Id": f"m{each}", "MetricStat": {"Period": each}} for each in periods]
        properties["Metrics"] = [{"Id": "sum", "Expression": "m1 + m2"}, *stats]
    return template(Alarm={"Type": "AWS::CloudWatch::Alarm", "Properties": properties})


@pytest.mark.parametrize(
    ("given", "usd"),
    [
        (alarm(plain=300), 0.10),
        (alarm(plain=10), 0.30),
        (alarm(3600, 3600, 3600), 0.30),
        (alarm(60, 10), 0.40),
        (alarm(), 0.10),
    ],
)
def test_an_alarm_costs_each_metric_that_it_watches(given: dict[str, Any], usd: float) -> None:
    assert sum(line.usd for line in idle(given, PRICES).lines) == pytest.approx(usd)


def test_a_scaling_policy_costs_its_two_alarms() -> None:
    policy = {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {"PolicyType": "TargetTrackingScaling"},
    }
    assert [line.usd for line in idle(template(Policy=policy), PRICES).lines] == [pytest.approx(0.2)]


def test_container_insights_cost_by_the_metric() -> None:
    def insights(level: str | None, tasks: int = 1) -> float:
        given = service(tasks)
        settings = [{"Name": "containerInsights", "Value": level}] if level else []
        given["Stack"]["Resources"]["Cluster"] = {
            "Type": "AWS::ECS::Cluster",
            "Properties": {"ClusterSettings": settings},
        }
        lines = idle(given, PRICES).lines
        return sum(line.usd for line in lines if line.what.startswith("Container Insights"))

    assert insights(None) == insights("disabled") == 0
    assert insights("enabled") == insights("enabled", 5) == pytest.approx(33 * 0.30)
    assert insights("enhanced") == pytest.approx((36 + 14 + 13) * 0.07)
    assert insights("enhanced", 3) - insights("enhanced") == pytest.approx(2 * 27 * 0.07)


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
    # One tool call, and one batch for the documents that its search found.
    assert usd["authorization of"] == pytest.approx(1000 * 0.00015)
    # Two model calls, each counted twice for the user and twice for the deployment.
    assert usd["budgets, counted"] == pytest.approx(1000 * 2 * 2 * 2 * 0.625 / 1e6)


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


def knowledge_base(
    tokens: int = 300, overlap: int = 20, model: str = "amazon.titan-embed-text-v2:0"
) -> dict[str, Any]:
    size = {"MaxTokens": tokens, "OverlapPercentage": overlap}
    chunking = {"ChunkingConfiguration": {"FixedSizeChunkingConfiguration": size}}
    arn = f"arn:aws:bedrock:eu-west-1::foundation-model/{model}"
    base = {"VectorKnowledgeBaseConfiguration": {"EmbeddingModelArn": arn}}
    return template(
        Base={"Type": "AWS::Bedrock::KnowledgeBase", "Properties": {"KnowledgeBaseConfiguration": base}},
        Source={"Type": "AWS::Bedrock::DataSource", "Properties": {"VectorIngestionConfiguration": chunking}},
        Index={"Type": "AWS::S3Vectors::Index", "Properties": {"Dimension": 1024}},
    )


def priced(given: dict[str, Any]) -> dict[str, float]:
    lines, unpriced = documents(given, PRICES)
    assert unpriced == []
    return {line.what: line.usd for line in lines}


def test_documents_cost_their_embeddings_and_their_vectors() -> None:
    usd = priced(knowledge_base())
    # 5,000 tokens in chunks of 300, of which 240 are new.
    chunks = 1000 * 5000 / 240
    assert usd["embedding model amazon.titan-embed-text-v2:0"] == pytest.approx(chunks * 300 * 0.02 / 1e6)
    # Each document is one PUT, and a PUT costs 128 KB at least.
    assert usd["vectors, written"] == pytest.approx(1000 * 128 * 1024 / 1e9 * 0.20)
    assert usd["vectors, kept for a month"] == pytest.approx(chunks * (4 * 1024 + 2000) / 1e9 * 0.06)


def test_smaller_chunks_and_more_overlap_cost_more() -> None:
    assert sum(priced(knowledge_base(tokens=100)).values()) > sum(priced(knowledge_base()).values())
    assert sum(priced(knowledge_base(overlap=60)).values()) > sum(priced(knowledge_base()).values())


def test_documents_without_a_knowledge_base_cost_nothing(assemblies: dict[str, Assembly]) -> None:
    assert documents(assemblies["everything"].templates, PRICES) == ([], [])
    lines, unpriced = documents(assemblies["dev"].templates, PRICES)
    assert {line.stack for line in lines} == {"Knowledge"}
    assert unpriced == []


def test_an_embedding_model_without_a_price_is_named() -> None:
    _, unpriced = documents(knowledge_base(model="acme.embed-v1:0"), PRICES)
    assert unpriced == ["embedding model acme.embed-v1:0: add it to fmops/telemetry/prices.toml"]


def test_the_knowledge_base_idles_below_a_dollar(assemblies: dict[str, Assembly]) -> None:
    lines = idle({"Knowledge": assemblies["dev"].templates["Knowledge"]}, PRICES).lines
    assert 0 < sum(line.usd for line in lines) < 1
    assert {line.what for line in lines} == {"CloudWatch alarm", "polls of a queue"}
