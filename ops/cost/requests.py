"""The price of a thousand ordinary requests, according to the services that the templates make them pass
through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from fmops.guardrails.settings import DetectorSettings, GuardrailSettings
from fmops.telemetry import prices as models
from ops.cost.idle import Line, Template
from ops.cost.prices import Prices

THOUSAND = 1000
MEBIBYTES_OF_GB = 1024
CHECK_GROUPS = 2
"""Number of kinds of checks that our `InvokeGuardrailChecks` asks for by default: content and prompt attack.
"""
FIREHOSE_STEP_KB = 5


class NoAssistantError(LookupError):
    """The templates hold no container or function with the assistant's environment."""


def requests(templates: Mapping[str, Template], prices: Prices) -> tuple[list[Line], list[str]]:
    """Return lines in USD for a thousand requests, and what could not be priced."""
    stack, environment = assistant(templates)
    unpriced: list[str] = []
    lines = [
        *_models(stack, environment, prices, unpriced),
        *_guardrails(stack, environment, prices, unpriced),
        *_compute(templates, prices),
        *_platform(templates, prices),
        *_budgets(stack, environment, prices),
    ]
    return lines, unpriced


def assistant(templates: Mapping[str, Template]) -> tuple[str, Mapping[str, Any]]:
    """Return the stack that serves, and its environment by name."""
    for stack, template in templates.items():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            found = (
                [properties.get("Environment", {}).get("Variables", {})]
                if "Environment" in properties
                else []
            )
            found += [
                {variable["Name"]: variable.get("Value") for variable in container.get("Environment", ())}
                for container in properties.get("ContainerDefinitions", ())
            ]
            for environment in found:
                if "FMOPS_MODEL_ID" in environment and "FMOPS_PORT" in environment:
                    return stack, environment
    raise NoAssistantError("no template has a container or function with FMOPS_MODEL_ID and FMOPS_PORT")


def _models(
    stack: str, environment: Mapping[str, Any], prices: Prices, unpriced: list[str]
) -> Iterator[Line]:
    usage = prices.request
    for what, model_id, tokens_in, tokens_out in (
        (
            "chat model",
            environment["FMOPS_MODEL_ID"],
            usage.model_calls * usage.input_tokens,
            usage.model_calls * usage.output_tokens,
        ),
        ("embedding model", environment["FMOPS_EMBEDDING_MODEL_ID"], usage.embedding_tokens, 0),
    ):
        price = models.prices().price(model_id)
        if price is None:
            unpriced.append(f"{what} {model_id}: add it to fmops/telemetry/prices.toml")
        else:
            usd = (tokens_in * price.input + tokens_out * price.output) / 1e6
            yield Line(stack, f"{what} {model_id}", THOUSAND * usd)


def _guardrails(
    stack: str, environment: Mapping[str, Any], prices: Prices, unpriced: list[str]
) -> Iterator[Line]:
    usage = prices.request
    texts = [usage.question_characters, usage.answer_characters]
    texts += [usage.tool_characters] * math.ceil(usage.tool_calls)
    settings = GuardrailSettings.model_validate_json(text(environment["FMOPS_GUARDRAILS"]))
    for name, detector in settings.detectors.items():
        if detector.standby or detector.kind == "secrets":
            continue
        usd = _checks(detector, texts, prices)
        if usd is None:
            unpriced.append(f"detector {name} ({detector.kind})")
        else:
            yield Line(stack, f"detector {name}", THOUSAND * usd)


def text(value: Any) -> str:
    """Return a template's value as text; unresolved references become 1, since no price depends on them."""
    if isinstance(value, dict):
        return "".join(part if isinstance(part, str) else "1" for part in value["Fn::Join"][1])
    return str(value)


def _checks(detector: DetectorSettings, texts: list[float], prices: Prices) -> float | None:
    """Return USD for one request's texts."""
    kilo = sum(math.ceil(text / 1000) for text in texts) / 1000
    match detector.kind:
        case "comprehend_pii" | "comprehend_toxicity":
            return sum(max(3, math.ceil(text / 100)) for text in texts) * prices.of("comprehend", "unit")
        case "bedrock_checks":
            groups = len(detector.options.get("groups", ())) or CHECK_GROUPS
            return kilo * groups * prices.of("guardrail_checks", "thousand_units")
        case "bedrock_guardrail":
            return kilo * prices.of("bedrock_guardrail", "thousand_units")
        case _:
            return None


def _compute(templates: Mapping[str, Template], prices: Prices) -> Iterator[Line]:
    usage = prices.request
    for stack, template in templates.items():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::ElasticLoadBalancingV2::LoadBalancer":
                # A unit covers 25 new connections per second or 3,000 open ones. Long answers stay open, so
                # that the open ones count.
                units = THOUSAND * usage.seconds / 3600 / 3000
                yield Line(stack, "load balancer units", units * prices.of("elb", "lcu"))
            if resource["Type"] == "AWS::Lambda::Function" and properties.get("PackageType") == "Image":
                seconds = THOUSAND * usage.seconds * properties["MemorySize"] / MEBIBYTES_OF_GB
                architecture = properties.get("Architectures", ["x86_64"])[0]
                usd = seconds * prices.of("lambda", f"{architecture}_gb_second")
                usd += THOUSAND / 1e6 * prices.of("lambda", "million_requests")
                yield Line(stack, f"function of {properties['MemorySize']} MB", usd)
                samples = THOUSAND * usage.series / 1e6
                yield Line(
                    stack,
                    "metrics, sent after each request when requests come one at a time",
                    samples * prices.of("aps", "million_samples"),
                )
            if resource["Type"] == "AWS::ApiGateway::RestApi":
                yield Line(stack, "API Gateway", THOUSAND / 1e6 * prices.of("apigateway", "million_requests"))
            if resource["Type"] == "AWS::WAFv2::WebACL":
                yield Line(stack, "web ACL", THOUSAND / 1e6 * prices.of("waf", "million_requests"))


def _platform(templates: Mapping[str, Template], prices: Prices) -> Iterator[Line]:
    usage = prices.request
    present = {
        resource["Type"]: stack
        for stack, template in templates.items()
        for resource in template["Resources"].values()
    }
    if stack := present.get("AWS::VerifiedPermissions::PolicyStore"):
        # One call is a single request; several decisions at once are a batch, which costs more.
        usd = THOUSAND * usage.tool_calls * prices.of("verified_permissions", "single")
        yield Line(stack, "authorization of tool calls", usd)
        usd = THOUSAND * usage.document_batches * prices.of("verified_permissions", "batch")
        yield Line(stack, "authorization of documents", usd)
    if stack := present.get("AWS::Bedrock::KnowledgeBase"):
        queries = THOUSAND * usage.tool_calls / 1e6 * prices.of("s3vectors", "million_queries")
        yield Line(stack, "searches of documents", queries)
    if stack := present.get("AWS::KinesisFirehose::DeliveryStream"):
        billed = math.ceil(usage.record_kb / FIREHOSE_STEP_KB) * FIREHOSE_STEP_KB
        yield Line(stack, "Firehose", THOUSAND * billed / 1e6 * prices.of("firehose", "gb"))
    if stack := present.get("AWS::DynamoDB::Table"):
        reads = THOUSAND * usage.tool_calls / 1e6 * prices.of("dynamodb", "million_reads")
        yield Line(stack, "tables", reads)
    if stack := present.get("AWS::ECS::Service") or present.get("AWS::ApiGateway::RestApi"):
        yield Line(stack, "traces", THOUSAND / 1e6 * prices.of("xray", "million_traces"))
        yield Line(stack, "logs", THOUSAND * usage.log_kb / 1e6 * prices.of("cloudwatch", "log_gb"))


def _budgets(stack: str, environment: Mapping[str, Any], prices: Prices) -> Iterator[Line]:
    """Price one counter for each window in which a user, their team and the deployment have limits."""
    limits = json.loads(environment.get("FMOPS_BUDGETS", "{}"))
    counters = sum(
        len({limit.rpartition("_")[2] for limit in limits.get(scope, ())})
        for scope in ("user", "team", "deployment")
    )
    if counters:
        changes = THOUSAND * prices.request.model_calls * 2 * counters
        usd = changes / 1e6 * prices.of("dynamodb", "million_writes")
        yield Line(stack, "budgets, counted before and after each model call", usd)
