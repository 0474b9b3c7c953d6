"""Configurations with which the collector starts, and those that it or only the stand-in refuses, by the
table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.collector.processors import apply_actions, detect
from local.collector.supported import check_supported
from observability.collector.component import seconds
from observability.collector.config import AttributeAction, ResourceDetection, load
from observability.collector.patterns import compile_pattern
from observability.collector.template import _merged

TABLE: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("golden").joinpath("collector_configs.yaml").read_text()
)
CASES: list[dict[str, Any]] = TABLE["cases"]


def text(case: dict[str, Any]) -> str:
    given: str = case["text"] if "text" in case else yaml.safe_dump(_merged(TABLE["base"], case["over"]))
    return given


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_configuration_is_taken_or_refused_as_the_table_says(case: dict[str, Any]) -> None:
    assert case["source"]
    if "refused" not in case:
        load(text(case))
        return
    with pytest.raises(ValueError, match=r"^\S*\w") as refused:
        load(text(case))
    assert case["refused"] in str(refused.value)


def test_the_table_is_large_on_both_sides() -> None:
    refused = [case for case in CASES if "refused" in case]
    assert len(refused) >= 35
    assert len(CASES) - len(refused) >= 35


@pytest.mark.parametrize(
    ("over", "place"),
    [
        (
            {
                "processors": {
                    "attributes": {"actions": [{"key": "a", "from_context": "x", "action": "insert"}]}
                }
            },
            "from_context",
        ),
        (
            {"processors": {"tail_sampling": {"policies": [{"name": "r", "type": "rate_limiting"}]}}},
            "rate_limiting",
        ),
        ({"processors": {"filter": {"traces": {"span": ["IsRootSpan()"]}}}}, "IsRootSpan"),
        (
            {"exporters": {"prometheusremotewrite": {"translation_strategy": "NoTranslation"}}},
            "translation_strategy",
        ),
        (
            {"exporters": {"file": {}}, "service": {"pipelines": {"traces": {"exporters": ["file"]}}}},
            "exporters.file",
        ),
        ({"service": {"pipelines": {"metrics": {"processors": ["attributes"]}}}}, "attributes"),
        (
            {
                "processors": {
                    "memory_limiter": {"limit_mib": None, "spike_limit_mib": None, "limit_percentage": 80}
                }
            },
            "limit_percentage",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_stand_in_refuses_what_it_does_not_implement(over: dict[str, Any], place: str) -> None:
    config = load(text({"over": over}))
    with pytest.raises(ValueError, match="put a real collector on PATH") as refused:
        check_supported(config)
    assert place in str(refused.value)


def test_the_stand_in_implements_the_base() -> None:
    check_supported(load(text({"over": {}})))


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("1m30s", 90.0), ("200ms", 0.2), ("1.5h", 5400.0), ("-1s", -1.0), ("0", 0.0), ("1h2m3s4ms", 3723.004)],
)
def test_a_duration_is_read_as_go_reads_it(duration: str, expected: float) -> None:
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        (r"^gen_ai\.(input|output)$", True),
        (r"(?P<name>a)|[[:digit:]]+\pL\p{Greek}\z", True),
        (r"(?i:abc)\bx{2,5}\B", True),
        ("a{1000}", True),
        ("a{1001}", False),
        ("a(?=b)", False),
        ("(?<!a)b", False),
        (r"(a)\1", False),
        ("(?P<n>a)(?P=n)", False),
        ("(?>a)", False),
        ("a++", False),
        ("(?(1)a|b)", False),
        (r"a\Z", False),
        ("(?#c)a", False),
        ("[", False),
    ],
)
def test_patterns_are_those_of_re2(pattern: str, known: bool) -> None:
    """Source: RE2's syntax (google/re2, doc/syntax.txt)."""
    if known:
        compile_pattern(pattern)
    else:
        with pytest.raises(ValueError, match="not a pattern of RE2"):
            compile_pattern(pattern)


def test_an_action_takes_another_attributes_value() -> None:
    """Source: contrib attraction.go Process: nothing is done where the other attribute is missing."""
    values: dict[str, Any] = {"b": 1, "c": 2}
    actions = [
        AttributeAction(key="a", from_attribute="b", action="insert"),
        AttributeAction(key="c", from_attribute="b", action="update"),
        AttributeAction(key="d", from_attribute="missing", action="upsert"),
        AttributeAction(key="b", pattern="^x", action="delete"),
    ]
    apply_actions(values, actions)
    assert values == {"a": 1, "c": 1}


def test_the_lambda_detector_finds_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: contrib processor/resourcedetectionprocessor internal/aws/lambda."""
    settings = ResourceDetection(detectors=["lambda"])
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    assert detect(settings) == {}
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "chat")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "3")
    found = detect(settings)
    assert (found["cloud.platform"], found["faas.name"], found["faas.version"]) == ("aws_lambda", "chat", "3")


def test_a_variable_is_named_with_and_without_its_source() -> None:
    """Source: core docs, "Environment variables": env is the default."""
    config = text({"over": {"exporters": {"awsxray": {"region": "${REGION}"}}}})
    assert load(config, {"REGION": "eu-west-1"}).exporters["awsxray"].region == "eu-west-1"
    with pytest.raises(ValueError, match="REGION"):
        load(config, {})
