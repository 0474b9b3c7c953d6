"""LayeredGuardrails: refusals, permissions, and the guardrail in Bedrock."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from constructs.guardrail_settings import GuardrailSettingsError
from constructs.layered_guardrails import LayeredGuardrails

from tests.synthesized import Assembly

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "fmops" / "guardrails" / "settings.schema.json"
ONLY_SECRETS = {"pii": None, "toxicity": None, "checks": None}
GUARDRAIL = {"detectors": {**ONLY_SECRETS, "guardrail": {"kind": "bedrock_guardrail", "timeout_ms": 900}}}


def synthesize(settings: dict[str, Any] | None = None, **arguments: Any) -> tuple[dict[str, Any], Any]:
    """Return the template of a stack with the construct and a role that may use it, and the settings
    for the application."""
    stack = Stack(App(), "Chat")
    topic = sns.Topic(stack, "Topic") if arguments.pop("topic", False) else None
    guardrails = LayeredGuardrails(
        stack, "Guardrails", name="chat", schema=SCHEMA, settings=settings, alarm_topic=topic, **arguments
    )
    guardrails.grant_use(iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")))
    return dict(Template.from_stack(stack).to_json().get("Resources", {})), stack.resolve(
        guardrails.settings_json
    )


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources.values() if each["Type"] == kind]


def granted(resources: dict[str, Any]) -> dict[str, Any]:
    """Return the granted resources by action."""
    return {
        action: statement["Resource"]
        for policy in of_type(resources, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }


@pytest.mark.parametrize(
    ("detectors", "actions"),
    [
        ({}, {"bedrock:InvokeGuardrailChecks", "comprehend:DetectPiiEntities", "comprehend:DetectToxicContent"}),
        ({"pii": None}, {"bedrock:InvokeGuardrailChecks", "comprehend:DetectToxicContent"}),
        (ONLY_SECRETS, set()),
        ({**ONLY_SECRETS, "mine": {"kind": "app.detectors:Mine"}}, set()),
        ({**ONLY_SECRETS, "safety": {"kind": "comprehend_prompt_safety"}}, {"comprehend:ClassifyDocument"}),
        ({**ONLY_SECRETS, "guardrail": {"kind": "bedrock_guardrail"}}, {"bedrock:ApplyGuardrail"}),
        (
            {"toxicity": {"kind": "comprehend_toxicity", "standby": True}, "pii": None, "checks": None},
            {"comprehend:DetectToxicContent"},
        ),
    ],
)  # fmt: skip
def test_role_may_ask_the_detectors_that_are_on_and_no_others(
    detectors: dict[str, Any], actions: set[str]
) -> None:
    resources, _ = synthesize({"detectors": detectors})
    assert granted(resources).keys() == actions


def test_no_guardrail_is_made_for_the_defaults() -> None:
    resources, settings = synthesize()
    assert {each["Type"] for each in resources.values()} == {"AWS::IAM::Role", "AWS::IAM::Policy"}
    assert settings == "{}"


def test_the_application_is_told_the_guardrail_that_is_made_for_it() -> None:
    resources, settings = synthesize(GUARDRAIL)
    parts = settings["Fn::Join"][1]
    (guardrail,) = (name for name, each in resources.items() if each["Type"] == "AWS::Bedrock::Guardrail")
    (version,) = (
        name for name, each in resources.items() if each["Type"] == "AWS::Bedrock::GuardrailVersion"
    )
    values = {
        json.dumps({"Fn::GetAtt": [guardrail, "GuardrailId"]}): "g-1",
        json.dumps({"Fn::GetAtt": [version, "Version"]}): "3",
    }
    text = "".join(part if isinstance(part, str) else values[json.dumps(part)] for part in parts)
    assert json.loads(text)["detectors"] == {
        **ONLY_SECRETS,
        "guardrail": {
            "kind": "bedrock_guardrail",
            "timeout_ms": 900,
            "options": {"guardrail_id": "g-1", "guardrail_version": "3"},
        },
    }
    assert granted(resources) == {"bedrock:ApplyGuardrail": {"Fn::GetAtt": [guardrail, "GuardrailArn"]}}


def test_the_guardrail_detects_and_leaves_the_decision_to_the_policy() -> None:
    resources, _ = synthesize(
        GUARDRAIL, denied_words=["Bluebird"], denied_topics={"Advice": "What to do with savings."}
    )
    (guardrail,) = of_type(resources, "AWS::Bedrock::Guardrail")
    actions = set(re.findall(r'"(?:Input|Output|)Action": "(\w+)"', json.dumps(guardrail)))
    assert actions == {"NONE"}
    assert guardrail["ContentPolicyConfig"]["ContentFiltersTierConfig"] == {"TierName": "CLASSIC"}
    assert "CrossRegionConfig" not in guardrail
    assert guardrail["WordPolicyConfig"]["WordsConfig"][0]["Text"] == "Bluebird"
    assert guardrail["TopicPolicyConfig"]["TopicsConfig"][0]["Name"] == "Advice"


def test_a_change_publishes_another_version() -> None:
    def description(**arguments: Any) -> Any:
        (version,) = of_type(synthesize(GUARDRAIL, **arguments)[0], "AWS::Bedrock::GuardrailVersion")
        return version["Description"]

    assert description() == description()
    assert description() != description(denied_words=["Bluebird"])


def test_standard_tier_goes_with_its_cross_region_profile() -> None:
    resources, _ = synthesize(GUARDRAIL, tier="STANDARD", cross_region_profile="us.guardrail.v1:0")
    (guardrail,) = of_type(resources, "AWS::Bedrock::Guardrail")
    assert guardrail["ContentPolicyConfig"]["ContentFiltersTierConfig"] == {"TierName": "STANDARD"}
    assert "guardrail-profile/us.guardrail.v1:0" in json.dumps(guardrail["CrossRegionConfig"])
    assert ":bedrock:*:" in json.dumps(granted(resources)["bedrock:ApplyGuardrail"])


def test_standard_tier_without_a_cross_region_profile_is_refused() -> None:
    with pytest.raises(
        GuardrailSettingsError, match=r"STANDARD needs a cross_region_profile, such as us\.guardrail"
    ):
        synthesize(GUARDRAIL, tier="STANDARD")


def test_a_guardrail_that_is_there_is_asked_and_none_is_made() -> None:
    options = {"guardrail_id": "abc123", "guardrail_version": "7"}
    settings = {"detectors": {**ONLY_SECRETS, "ours": {"kind": "bedrock_guardrail", "options": options}}}
    resources, text = synthesize(settings)
    assert of_type(resources, "AWS::Bedrock::Guardrail") == []
    assert json.loads(text) == settings
    assert ":guardrail/abc123" in json.dumps(granted(resources))


def test_alarms_watch_what_leaves_texts_without_an_answer() -> None:
    resources, _ = synthesize(GUARDRAIL, topic=True)
    alarms = {each["MetricName"]: each for each in of_type(resources, "AWS::CloudWatch::Alarm")}
    assert alarms.keys() == {
        "InvocationClientErrors",
        "InvocationLatency",
        "InvocationServerErrors",
        "InvocationThrottles",
    }
    assert {each["Namespace"] for each in alarms.values()} == {"AWS/Bedrock/Guardrails"}
    assert alarms["InvocationLatency"]["Threshold"] == 900
    dimensions = {each["Name"] for each in alarms["InvocationThrottles"]["Dimensions"]}
    assert dimensions == {"GuardrailArn", "GuardrailVersion"}
    assert all(each["AlarmActions"] and each["OKActions"] for each in alarms.values())
    assert "cloudwatch.amazonaws.com" in json.dumps(of_type(resources, "AWS::SNS::TopicPolicy"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"detectors": {"pii": {"kind": "comprehend_pii", "timeout_ms": "soon"}}},
            "guardrails.detectors.pii.timeout_ms: 'soon' is not of type 'integer'.",
        ),
        ({"deadline": 3}, "guardrails: Additional properties are not allowed ('deadline' was unexpected)."),
        (
            {"rules": [{"categories": ["email"], "action": "delete"}]},
            'guardrails.rules.0.action is "delete", but it should be one of allow, flag, redact, block.',
        ),
        ({"rules": [{"categories": ["ssn"], "action": "block"}]}, 'guardrails.rules.0.categories.0 is "ssn", but'),
        ({"detectors": {"pii": {"kind": "comprehend_piii"}}}, "guardrails.detectors.pii.kind: 'comprehend_piii' does"),
        (
            {"detectors": {"pii": {"kind": "comprehend_pii", "on_error": "shrug"}}},
            'guardrails.detectors.pii.on_error is "shrug", but it should be closed, open or another detector',
        ),
        (
            {"detectors": {"pii": {"kind": "comprehend_pii", "on_error": {"outward": "open"}}}},
            'guardrails.detectors.pii.on_error is "outward", but it should be one of input, output,',
        ),
        (
            {"rules": [{"categories": ["email"], "action": "block", "detectors": ["nobody"]}]},
            "guardrails.rules.0.detectors names nobody, but there are secrets, pii, toxicity, checks.",
        ),
        (
            {"detectors": {"mine": {"kind": "bedrock_guardrail", "options": {"guardrail_id": "a"}}}},
            "guardrails.detectors.mine.options must hold guardrail_id and guardrail_version",
        ),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_its_path(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GuardrailSettingsError, match=re.escape(sentence)):
        synthesize(settings)


def test_several_wrong_settings_are_all_named() -> None:
    with pytest.raises(GuardrailSettingsError, match=r"guardrails\.attempts.* guardrails\.language"):
        synthesize({"language": "english", "attempts": 0})


def test_alarms_reach_the_topic_of_the_deployment(assemblies: dict[str, Assembly]) -> None:
    everything = assemblies["everything"]
    alarms = everything.resources("AWS::CloudWatch::Alarm")
    ours = [each for name, each in alarms.items() if name.startswith("Assistant/Guardrails")]
    assert len(ours) == 4
    assert all("AlertTopic" in json.dumps(each["Properties"]["AlarmActions"]) for each in ours)


def test_the_documented_example_synthesizes(monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "docs" / "guardrails.md").read_text().split("## In CDK\n")[1]
    code = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(code, names)
    resources = Template.from_stack(names["stack"]).to_json()["Resources"]
    assert of_type(resources, "AWS::Bedrock::GuardrailVersion")
    assert "comprehend:DetectPiiEntities" in granted(resources)
    assert "bedrock:InvokeGuardrailChecks" not in granted(resources)
    assert "Fn::Join" in names["stack"].resolve(names["environment"]["FMOPS_GUARDRAILS"])
