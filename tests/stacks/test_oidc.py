"""With your own issuer there is no user pool, and everything asks that issuer."""

import json
from pathlib import Path
from typing import Any

import pytest

import app
import settings
from tests.synthesized import context

OIDC = {"issuer": "https://login.example.com/acme", "audience": "claims-desk", "group_claim": "roles"}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = tmp_path_factory.mktemp("oidc")
    app.build(context("own", data_lifetime="temporary", identity={"oidc": OIDC}), str(directory)).synth()
    files = sorted(directory.glob("*.template.json"))
    return {file.name.removesuffix(".template.json"): json.loads(file.read_text()) for file in files}


def test_there_is_no_user_pool(templates: dict[str, Any]) -> None:
    types = {each["Type"] for template in templates.values() for each in template["Resources"].values()}
    assert not {each for each in types if each.startswith("AWS::Cognito")}
    assert set(templates["Identity"]["Outputs"]) >= {"PolicyStoreId"}


def test_the_policy_store_and_the_assistant_accept_the_same_tokens(templates: dict[str, Any]) -> None:
    resources = templates["Identity"]["Resources"].values()
    (source,) = (each for each in resources if each["Type"] == "AWS::VerifiedPermissions::IdentitySource")
    configuration = source["Properties"]["Configuration"]["OpenIdConnectConfiguration"]
    assert configuration["Issuer"] == OIDC["issuer"]
    assert configuration["GroupConfiguration"]["GroupClaim"] == "roles"
    (task,) = (
        each
        for each in templates["Assistant"]["Resources"].values()
        if each["Type"] == "AWS::ECS::TaskDefinition"
    )
    assistant = next(
        each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] == "assistant"
    )
    environment = {pair["Name"]: pair["Value"] for pair in assistant["Environment"]}
    assert environment["FMOPS_OIDC_ISSUER"] == OIDC["issuer"]
    assert environment["FMOPS_OIDC_GROUP_CLAIM"] == "roles"
    assert environment["FMOPS_PRINCIPAL_PREFIX"] == configuration["EntityIdPrefix"]
    assert "FMOPS_USER_POOL_ID" not in environment
    policy = next(each for each in resources if each["Type"] == "AWS::VerifiedPermissions::Policy")
    assert 'Group::"oidc|' in policy["Properties"]["Definition"]["Static"]["Statement"]


def test_a_pools_settings_contradict_an_issuer_of_ones_own() -> None:
    with pytest.raises(settings.SettingsError, match="admin_password_sign_in is true, but with oidc"):
        settings.load(context("own", identity={"oidc": OIDC, "admin_password_sign_in": True}))


def test_an_issuer_must_be_an_https_url() -> None:
    with pytest.raises(settings.SettingsError, match=r"fmops\.own\.identity\.oidc\.issuer"):
        settings.load(context("own", identity={"oidc": {**OIDC, "issuer": "http://login.example.com"}}))


@pytest.mark.parametrize(
    "issuer",
    [
        "https://tenant.eu.auth0.com/",
        "https://sts.windows.net/00000000-aaaa-bbbb-cccc-000000000000/",
        "https://login.microsoftonline.com/00000000-aaaa-bbbb-cccc-000000000000/v2.0",
        "https://login.example.com:8443/realms/desk/",
        "https://accounts.google.com",
    ],
)
def test_any_https_issuer_stands_as_it_is(issuer: str) -> None:
    loaded = settings.load(context("own", identity={"oidc": {**OIDC, "issuer": issuer}}))
    assert loaded.identity.oidc
    assert loaded.identity.oidc.issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    ["https://", "https:///path", "https://a b", "https://a/?x=1", "https://a#b", "https://me@a", "ftp://a"],
)
def test_what_is_no_issuer_is_refused(issuer: str) -> None:
    with pytest.raises(settings.SettingsError, match=r"fmops\.own\.identity\.oidc\.issuer"):
        settings.load(context("own", identity={"oidc": {**OIDC, "issuer": issuer}}))
