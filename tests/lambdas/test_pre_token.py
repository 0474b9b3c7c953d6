"""The claim `mfa` in ID tokens, against Cognito's answers."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.stub import Stubber

HANDLER = Path(__file__).parents[2] / "lambdas" / "pre_token" / "handler.py"


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the function's module, which Lambda loads by its path."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    spec = importlib.util.spec_from_file_location("pre_token_handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cognito(handler: ModuleType) -> Iterator[Stubber]:
    """Return Cognito's answers."""
    with Stubber(handler.cognito) as stubber:
        yield stubber


@pytest.mark.parametrize(
    ("methods", "claim"),
    [
        ({}, "false"),
        ({"UserMFASettingList": []}, "false"),
        ({"UserMFASettingList": ["SOFTWARE_TOKEN_MFA"]}, "true"),
    ],
)
def test_claim_says_whether_the_user_is_challenged(
    handler: ModuleType, cognito: Stubber, methods: dict[str, Any], claim: str
) -> None:
    expected = {"UserPoolId": "us-east-1_pool", "Username": "maria"}
    cognito.add_response("admin_get_user", {"Username": "maria", **methods}, expected)
    event = {"userPoolId": "us-east-1_pool", "userName": "maria", "response": {}}
    assert handler.handler(event, None)["response"] == {
        "claimsAndScopeOverrideDetails": {"idTokenGeneration": {"claimsToAddOrOverride": {"mfa": claim}}}
    }


def test_no_token_without_an_answer_of_cognito(handler: ModuleType, cognito: Stubber) -> None:
    cognito.add_client_error("admin_get_user", "TooManyRequestsException")
    with pytest.raises(handler.cognito.exceptions.TooManyRequestsException):
        handler.handler({"userPoolId": "us-east-1_pool", "userName": "maria", "response": {}}, None)
