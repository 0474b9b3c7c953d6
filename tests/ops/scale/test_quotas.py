"""The list of limits: sources, settings that exist, and codes that other parts of the project know too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from local.aws.kernel.cloud import Cloud
from ops.doctor import quotas as doctor
from ops.scale.quotas import FILE, Quota, read
from settings.assistant import BedrockGuardrail, Budgets, Firewall
from settings.environment import Settings
from tests.ops.scale.conftest import PLAN

LIMITS = read()
NAMED = re.compile(r"\b(assistant|knowledge|observability)\.([a-z_]+)(?:\.([a-z_]+))?")
NESTED: dict[str, Any] = {"budgets": Budgets, "firewall": Firewall, "bedrock_guardrail": BedrockGuardrail}
NO_API = {"execute-api"}


@pytest.mark.parametrize("quota", LIMITS.quota, ids=lambda quota: f"{quota.service}-{quota.name}")
def test_each_limit_has_a_source_with_a_date(quota: Quota) -> None:
    assert quota.date <= LIMITS.as_of
    if quota.evidence == "documentation":
        assert re.match(r"https://docs\.aws\.amazon\.com/[\w./-]+\.html$", quota.source)
    else:
        assert quota.source
    if quota.evidence == "none":
        assert quota.note or quota.moves


@pytest.mark.parametrize("quota", LIMITS.quota, ids=lambda quota: f"{quota.service}-{quota.name}")
def test_each_setting_that_moves_a_limit_exists(quota: Quota) -> None:
    for section, field, inner in NAMED.findall(quota.moves):
        model: Any = Settings.model_fields[section].annotation
        assert field in model.model_fields, f"{section}.{field}"
        if inner and field in NESTED:
            assert inner in NESTED[field].model_fields, f"{section}.{field}.{inner}"


@pytest.mark.parametrize("quota", LIMITS.quota, ids=lambda quota: f"{quota.service}-{quota.name}")
def test_each_operation_is_one_of_the_service(quota: Quota) -> None:
    session = botocore.session.get_session()
    for name in quota.operations:
        service, _, operation = name.partition(":")
        if service not in NO_API:
            assert operation in session.get_service_model(service).operation_names


def test_codes_are_those_that_the_doctor_asks_for() -> None:
    known = {service: code for service, code, _ in (doctor.FARGATE, doctor.LAMBDA)}
    mine = {
        quota.service.lower(): quota.code for quota in LIMITS.quota if quota.service in ("Fargate", "Lambda")
    }
    assert mine == known


def test_the_local_aws_has_the_same_defaults(cloud: Cloud) -> None:
    client = cloud.client("service-quotas")
    for quota in LIMITS.quota:
        if quota.service in ("Fargate", "Lambda"):
            found = client.get_service_quota(ServiceCode=quota.service.lower(), QuotaCode=quota.code)
            assert found["Quota"]["Value"] == quota.limit


def test_regions_differ() -> None:
    searches = next(quota for quota in LIMITS.quota if quota.name == "searches of the knowledge base")
    assert (searches.in_region("us-east-1"), searches.in_region("eu-west-1")) == (20, 5)


def test_a_limit_of_a_minute_is_a_rate_of_seconds() -> None:
    checks = next(quota for quota in LIMITS.quota if quota.name == "InvokeGuardrailChecks")
    assert checks.in_region("us-east-1") == 25


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ('evidence = "reading"', "without evidence there is no limit"),
        ("limit = 20", "operations belong to the demand"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, changed: str, message: str) -> None:
    text = FILE.read_text("utf-8")
    start = text.index('name = "DetectPiiEntities"')
    entry = text[start:]
    if changed.startswith("evidence"):
        entry = entry.replace(changed, 'evidence = "none"', 1)
    else:
        entry = entry.replace('operations = ["comprehend:DetectPiiEntities"]\n', "", 1)
    file = tmp_path / "quotas.toml"
    file.write_text(text[:start] + entry)
    with pytest.raises(ValueError, match=rf"quotas\.toml cannot be used(.|\n)*{message}"):
        read(file)


def test_what_is_unknown_is_marked_and_breaks_nowhere() -> None:
    unknown = [line for line in PLAN.lines(1e9) if line.limit is None]
    assert {line.name for line in unknown} >= {"DetectToxicContent", "reads of the prompt"}
    assert all(line.mark == "?" and line.breaks_at is None and line.used is None for line in unknown)
