"""The front of the assistant: names, certificates and the firewall, on ECS and on Lambda alike."""

import json
from typing import Any

import pytest

from tests.synthesized import Assembly


@pytest.fixture(params=["everything", "enclosed"])
def in_front(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies[request.param]


def test_the_name_leads_to_the_assistant(in_front: Assembly) -> None:
    (record,) = in_front.resources("AWS::Route53::RecordSet").values()
    assert record["Properties"]["Name"] == "assistant.example.com."
    assert record["Properties"]["AliasTarget"]
    outputs = in_front.templates["Assistant"]["Outputs"]
    assert outputs["AssistantUrl"]["Value"].rstrip("/") == "https://assistant.example.com"


def test_a_certificate_is_made_only_where_none_was_given(assemblies: dict[str, Assembly]) -> None:
    certificates = {
        name: len(assemblies[name].resources("AWS::CertificateManager::Certificate"))
        for name in ("everything", "enclosed")
    }
    assert certificates == {"everything": 1, "enclosed": 0}


def test_the_api_is_reached_by_its_name_and_from_the_ranges_only(assemblies: dict[str, Assembly]) -> None:
    (api,) = assemblies["enclosed"].resources("AWS::ApiGateway::RestApi").values()
    assert api["Properties"]["DisableExecuteApiEndpoint"] is True
    assert "203.0.113.0/24" in json.dumps(api["Properties"]["Policy"])


def test_the_firewall_limits_and_has_awss_rules(in_front: Assembly) -> None:
    (acl,) = in_front.resources("AWS::WAFv2::WebACL").values()
    rules: list[dict[str, Any]] = acl["Properties"]["Rules"]
    limit = {"everything": 300, "enclosed": 1000}[in_front.profile]
    assert rules[0]["Statement"]["RateBasedStatement"]["Limit"] == limit
    managed = [rule["Statement"]["ManagedRuleGroupStatement"]["Name"] for rule in rules[1:]]
    assert "AWSManagedRulesCommonRuleSet" in managed
    assert "AWSManagedRulesKnownBadInputsRuleSet" in managed
    assert len(in_front.resources("AWS::WAFv2::WebACLAssociation")) == 1


def test_the_firewalls_log_holds_no_token(in_front: Assembly) -> None:
    (logging,) = in_front.resources("AWS::WAFv2::LoggingConfiguration").values()
    assert logging["Properties"]["RedactedFields"] == [{"SingleHeader": {"Name": "authorization"}}]
    assert logging["Properties"]["LoggingFilter"]["DefaultBehavior"] == "DROP"


def test_without_settings_there_is_neither(assemblies: dict[str, Assembly]) -> None:
    for name in ("dev", "serverless"):
        assert assemblies[name].resources("AWS::WAFv2::WebACL", "AWS::Route53::RecordSet") == {}
