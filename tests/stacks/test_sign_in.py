"""Sign-in at the pages: the pool's domain, its branding, and the app client with PKCE's flow."""

import json
from pathlib import Path
from typing import Any

import pytest

import app
from tests.synthesized import Assembly, context

OWN = {"issuer": "https://login.example.com/acme", "audience": "claims-desk"}
RESERVED = ("aws", "amazon", "cognito")


def properties(assembly: Assembly, kind: str, stack: str = "Identity") -> dict[str, Any]:
    """Return the properties of a stack's one resource of a type."""
    (found,) = (
        each
        for name, each in assembly.resources(f"AWS::Cognito::{kind}").items()
        if name.startswith(f"{stack}/")
    )
    return dict(found["Properties"])


def synthesized(directory: Path, **changes: Any) -> Assembly:
    app.build(context("own", data_lifetime="temporary", **changes), str(directory)).synth()
    files = sorted(directory.glob("*.template.json"))
    return Assembly("own", {file.name.split(".")[0]: json.loads(file.read_text()) for file in files}, [])


@pytest.fixture(params=["dev", "prod", "serverless", "everything"])
def with_pages(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies[request.param]


def test_the_client_has_the_code_flow_and_nothing_else(with_pages: Assembly) -> None:
    client = properties(with_pages, "UserPoolClient")
    assert client["AllowedOAuthFlows"] == ["code"]
    assert client["AllowedOAuthScopes"] == ["openid"], "another scope would narrow the ID token"
    assert client["AllowedOAuthFlowsUserPoolClient"] is True
    assert client["GenerateSecret"] is False
    assert client["SupportedIdentityProviders"] == ["COGNITO"]
    assert client["EnableTokenRevocation"] is True
    assert client["RefreshTokenRotation"] == {"Feature": "ENABLED", "RetryGracePeriodSeconds": 60}
    assert "ALLOW_REFRESH_TOKEN_AUTH" not in client["ExplicitAuthFlows"], "Cognito refuses it with rotation"
    assert 8 * 60 <= client["RefreshTokenValidity"] <= 12 * 60
    assert client["TokenValidityUnits"]["RefreshToken"] == "minutes"


def test_the_domain_has_the_new_pages_and_each_client_a_branding(with_pages: Assembly) -> None:
    assert properties(with_pages, "UserPoolDomain")["ManagedLoginVersion"] == 2
    clients = with_pages.resources("AWS::Cognito::UserPoolClient")
    branded = {
        each["Properties"]["ClientId"]["Ref"]: each["Properties"]["UseCognitoProvidedValues"]
        for each in with_pages.resources("AWS::Cognito::ManagedLoginBranding").values()
    }
    assert branded == {name.split("/")[1]: True for name in clients}
    assert len(with_pages.resources("AWS::Cognito::UserPoolDomain")) == 1, "a pool has one domain"
    assert "SignInUrl" in with_pages.templates["Identity"]["Outputs"]


@pytest.mark.parametrize(
    ("profile", "origin"),
    [
        ("dev", "http://localhost:8080"),
        ("serverless", "http://localhost:8080"),
        ("everything", "https://assistant.example.com"),
    ],
)
def test_a_sign_in_returns_to_the_pages_only(
    assemblies: dict[str, Assembly], profile: str, origin: str
) -> None:
    client = properties(assemblies[profile], "UserPoolClient")
    assert client["CallbackURLs"] == [f"{origin}/signed-in"]
    assert client["LogoutURLs"] == [f"{origin}/"]


def test_a_profile_names_its_own_addresses_and_prefix(tmp_path: Path) -> None:
    given = {
        "domain_prefix": "acme-desk",
        "origins": ["https://a.example.com/live/", "http://localhost:9080"],
    }
    assembly = synthesized(tmp_path, identity={"sign_in": given})
    client = properties(assembly, "UserPoolClient")
    assert client["CallbackURLs"] == [
        "https://a.example.com/live/signed-in",
        "http://localhost:9080/signed-in",
    ]
    assert client["LogoutURLs"] == ["https://a.example.com/live/", "http://localhost:9080/"]
    assert properties(assembly, "UserPoolDomain")["Domain"] == "acme-desk"


@pytest.mark.parametrize("prefix", ["fmops", *(f"my{word}" for word in RESERVED)])
def test_the_usual_prefix_is_unique_and_never_refused(tmp_path: Path, prefix: str) -> None:
    domain = properties(synthesized(tmp_path, prefix=prefix), "UserPoolDomain")["Domain"]
    name, unique = domain["Fn::Join"][1]
    assert not [word for word in RESERVED if word in name]
    assert "AWS::StackId" in json.dumps(unique)
    assert len(name) + 12 <= 63


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"egress": "endpoints"}}, "set network.egress to nat"),
        ({"identity": {"sign_in": {"enabled": False}}}, "set identity.sign_in.enabled to true"),
        ({"identity": {"oidc": OWN, "sign_in": {"enabled": False}}}, "set identity.sign_in.enabled to true"),
    ],
)
def test_where_nobody_can_sign_in_there_are_no_pages_and_the_assistant_says_why(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    assembly = synthesized(tmp_path, **changes)
    assert not assembly.resources("AWS::Cognito::UserPoolDomain", "AWS::Cognito::ManagedLoginBranding")
    assert "SignInUrl" not in assembly.templates["Identity"]["Outputs"]
    for client in assembly.resources("AWS::Cognito::UserPoolClient").values():
        assert client["Properties"]["AllowedOAuthFlowsUserPoolClient"] is False
        assert "CallbackURLs" not in client["Properties"]
    assert words in environment(assembly)["FMOPS_NO_SIGN_IN"]


def test_an_issuer_of_ones_own_signs_in_too(tmp_path: Path) -> None:
    assert "FMOPS_NO_SIGN_IN" not in environment(synthesized(tmp_path, identity={"oidc": OWN}))


def environment(assembly: Assembly) -> dict[str, Any]:
    """Return the assistant's variables."""
    (task,) = assembly.resources("AWS::ECS::TaskDefinition").values()
    (assistant,) = (
        each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] == "assistant"
    )
    return {pair["Name"]: pair["Value"] for pair in assistant["Environment"]}
