"""Clients, domains and brandings of managed login, with what Cognito's API refuses."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud
from tests.local.sign_in_client import OAUTH, Browser, SignInPool, refusal


def test_a_client_with_a_secret_must_give_it(cloud: Cloud) -> None:
    pool = SignInPool(cloud, GenerateSecret=True)
    secret = pool.cognito.describe_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id)[
        "UserPoolClient"
    ]["ClientSecret"]
    visitor = Browser(pool)
    assert refusal(visitor.exchange(visitor.code())) == "invalid_client"
    assert visitor.exchange(Browser.code(visitor, prompt="login"), client_secret=secret).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CallbackURLs": ["http://desk.example.com/signed-in"]}, "HTTP protocol"),
        ({"LogoutURLs": ["http://10.0.0.1/"]}, "HTTP protocol"),
        ({"CallbackURLs": ["https://desk.example.com/#a"]}, "not a valid redirect"),
        ({"CallbackURLs": []}, "CallbackURLs"),
        ({"AllowedOAuthScopes": []}, "AllowedOAuthScopes"),
        ({"ExplicitAuthFlows": ["ALLOW_REFRESH_TOKEN_AUTH"]}, "rotation"),
        ({"RefreshTokenRotation": {"Feature": "ENABLED", "RetryGracePeriodSeconds": 61}}, "60"),
    ],
)
def test_clients_that_cognito_refuses(pool: SignInPool, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        pool.cognito.create_user_pool_client(UserPoolId=pool.id, ClientName="bad", **{**OAUTH, **changes})


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/x", "http://[::1]:9/x", "https://desk.example.com/x"]
)
def test_addresses_that_cognito_takes(pool: SignInPool, address: str) -> None:
    pool.cognito.create_user_pool_client(
        UserPoolId=pool.id, ClientName="good", **{**OAUTH, "CallbackURLs": [address]}
    )


def test_an_update_of_a_client_replaces_everything(cloud: Cloud) -> None:
    pool = SignInPool(cloud)
    pool.cognito.update_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id, ClientName="app")
    found = pool.cognito.describe_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id)
    assert not found["UserPoolClient"].get("CallbackURLs")


def test_domains_and_brandings_are_described_and_refused(pool: SignInPool) -> None:
    cognito = pool.cognito
    described = cognito.describe_user_pool_domain(Domain=pool.domain)["DomainDescription"]
    assert (described["UserPoolId"], described["ManagedLoginVersion"]) == (pool.id, 2)
    with pytest.raises(ClientError, match="already has a domain"):
        cognito.create_user_pool_domain(UserPoolId=pool.id, Domain="another-one")
    other = cognito.create_user_pool(PoolName="other")["UserPool"]["Id"]
    with pytest.raises(ClientError, match="already exists"):
        cognito.create_user_pool_domain(UserPoolId=other, Domain=pool.domain)
    for word in ("aws", "amazon", "cognito"):
        with pytest.raises(ClientError, match=f"reserved word: {word}"):
            cognito.create_user_pool_domain(UserPoolId=other, Domain=f"my-{word}-desk")
    branding = cognito.describe_managed_login_branding_by_client(UserPoolId=pool.id, ClientId=pool.client_id)[
        "ManagedLoginBranding"
    ]
    assert branding["UseCognitoProvidedValues"] is True
    with pytest.raises(cognito.exceptions.ManagedLoginBrandingExistsException):
        cognito.create_managed_login_branding(UserPoolId=pool.id, ClientId=pool.client_id)
    with pytest.raises(cognito.exceptions.ResourceNotFoundException):
        cognito.describe_managed_login_branding(UserPoolId=other, ManagedLoginBrandingId=pool.branding)
