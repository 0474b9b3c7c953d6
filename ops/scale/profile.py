"""Facts about serving in the synthesized templates of a profile: tasks, their limits, and what scales them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fmops.guardrails.settings import GuardrailSettings
from ops.cost.idle import Template
from ops.cost.requests import assistant, text

CPU_UNITS = 1024
LAMBDA_CONCURRENCY = 1000
LAMBDA_MIB_PER_CPU = 1769
"""MiB with which a function has one whole CPU (Lambda Developer Guide, "Configure Lambda function memory")."""
TURNS, REQUESTS, CPU = "TurnsUnderWay", "ALBRequestCountPerTarget", "ECSServiceAverageCPUUtilization"


@dataclass(frozen=True)
class Serving:
    """The serving part of a profile."""

    on_lambda: bool
    turns_per_task: int
    vcpu: float
    """CPUs of one task or function."""
    min_tasks: int
    max_tasks: int
    targets: Mapping[str, float]
    """Targets of the scaling policies, by metric; none without autoscaling."""
    prompt_seconds: float
    metric_seconds: float
    model_id: str
    embedding_model_id: str
    max_output_tokens: int
    budgets: Mapping[str, Any]
    detectors: frozenset[str]
    """Kinds of the detectors that are asked."""
    kinds: frozenset[str]
    """Resource types of all templates."""
    address_limit: int | None
    """Requests from one address in five minutes that the firewall lets through; None without a firewall."""

    def has(self, needed: str) -> bool:
        """Return whether the profile has a resource type or a kind of detector; an empty name is always there."""
        return not needed or needed in self.kinds or needed in self.detectors


def serving(templates: Mapping[str, Template]) -> Serving:
    """Return the serving part of the templates. Raises `ops.cost.requests.NoAssistantError`."""
    _, environment = assistant(templates)
    resources = [each for template in templates.values() for each in template["Resources"].values()]
    service = next((each for each in resources if each["Type"] == "AWS::ECS::Service"), None)
    tasks = _tasks(service, templates) if service else _function(resources)
    guardrails = GuardrailSettings.model_validate_json(text(environment["FMOPS_GUARDRAILS"]))
    return Serving(
        **tasks,
        on_lambda=service is None,
        turns_per_task=int(environment["FMOPS_MAX_TURNS"]) if service else 1,
        targets=dict(_targets(resources)),
        prompt_seconds=float(environment["FMOPS_PROMPT_REFRESH_SECONDS"]),
        metric_seconds=float(environment["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000,
        model_id=environment["FMOPS_MODEL_ID"],
        embedding_model_id=environment["FMOPS_EMBEDDING_MODEL_ID"],
        max_output_tokens=int(environment["FMOPS_MAX_OUTPUT_TOKENS"]),
        budgets=json.loads(environment.get("FMOPS_BUDGETS", "{}")),
        detectors=frozenset(each.kind for each in guardrails.detectors.values() if not each.standby),
        kinds=frozenset(each["Type"] for each in resources),
        address_limit=_address_limit(resources),
    )


def _tasks(service: Mapping[str, Any], templates: Mapping[str, Template]) -> dict[str, Any]:
    family = service["Properties"]["TaskDefinition"]["Ref"]
    template = next(each for each in templates.values() if family in each["Resources"])
    desired = int(service["Properties"]["DesiredCount"])
    scaled = next(
        (
            each["Properties"]
            for each in template["Resources"].values()
            if each["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
        ),
        {"MinCapacity": desired, "MaxCapacity": desired},
    )
    return {
        "vcpu": int(template["Resources"][family]["Properties"]["Cpu"]) / CPU_UNITS,
        "min_tasks": int(scaled["MinCapacity"]),
        "max_tasks": int(scaled["MaxCapacity"]),
    }


def _function(resources: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a function as a service that starts from nothing and has one turn in each of its environments."""
    properties = next(
        each["Properties"]
        for each in resources
        if each["Type"] == "AWS::Lambda::Function" and each["Properties"].get("PackageType") == "Image"
    )
    return {
        "vcpu": int(properties["MemorySize"]) / LAMBDA_MIB_PER_CPU,
        "min_tasks": 0,
        "max_tasks": int(properties.get("ReservedConcurrentExecutions", LAMBDA_CONCURRENCY)),
    }


def _targets(resources: list[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for each in resources:
        if each["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy":
            policy = each["Properties"]["TargetTrackingScalingPolicyConfiguration"]
            own = policy.get("CustomizedMetricSpecification", {}).get("MetricName")
            yield (
                own or policy["PredefinedMetricSpecification"]["PredefinedMetricType"],
                float(policy["TargetValue"]),
            )


def _address_limit(resources: list[Mapping[str, Any]]) -> int | None:
    for each in resources:
        if each["Type"] == "AWS::WAFv2::WebACL":
            for rule in each["Properties"].get("Rules", ()):
                if limit := rule["Statement"].get("RateBasedStatement", {}).get("Limit"):
                    return int(limit)
    return None
