"""The demo's users sign in at the deployed user pool: at its page, and by `make token`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from demo import seed, token
from demo.accounts import load, person
from fmops.identity.sign_in import SignIn
from fmops.identity.tokens import TokenVerifier
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY
from local.aws.server import LocalAws
from local.run.deploy import Deployment, deploy
from local.run.sign_in import allow_sign_in_at
from local.run.synthesis import synthesize
from tests.local.sign_in_client import CALLBACK, Browser, SignInPool

USERS: dict[str, Any] = load()["users"]
WITH_FACTOR = next(name for name, profile in USERS.items() if profile.get("mfa"))
WITHOUT_FACTOR = next(name for name, profile in USERS.items() if not profile.get("mfa"))


class Deployed:
    """The templates of `dev` in a local AWS."""

    def __init__(self, cloud: LocalAws, deployment: Deployment) -> None:
        self.cloud, self.deployment = cloud, deployment
        self.identity = deployment.outputs["Identity"]

    def browser(self) -> Browser:
        """Return a browser with the assistant's page open."""
        pool = SignInPool.__new__(SignInPool)
        pool.cloud, pool.cognito = self.cloud, self.cloud.client("cognito-idp")
        pool.id, pool.client_id = self.identity["UserPoolId"], self.identity["UserPoolClientId"]
        pool.domain = self.identity["SignInUrl"].removeprefix("https://").partition(".")[0]
        return Browser(pool)

    def verifier(self) -> TokenVerifier:
        """Return the assistant's check of tokens."""
        pool = self.identity["UserPoolId"]
        return TokenVerifier(
            issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{pool}",
            audience=self.identity["UserPoolClientId"],
            jwks_url=f"{self.cloud.endpoint}/{pool}/.well-known/jwks.json",
        )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory: Path = tmp_path_factory.mktemp("sign-in")
    synthesize(directory / "cdk.out", context={"profile": "dev"})
    with LocalAws(port=0, directory=directory) as cloud:
        yield Deployed(cloud, deploy(cloud, directory / "cdk.out"))


def point_at(deployed: Deployed, patch: pytest.MonkeyPatch) -> None:
    """Set the variables that `LOCAL=1` gives to a command of the Makefile."""
    for name, value in {
        "AWS_ENDPOINT_URL": deployed.cloud.endpoint,
        "AWS_ACCESS_KEY_ID": ADMIN_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET_KEY,
        "AWS_DEFAULT_REGION": deployed.cloud.region,
    }.items():
        patch.setenv(name, value)
    patch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture(scope="module")
def seeded(deployed: Deployed) -> Deployed:
    with pytest.MonkeyPatch.context() as patch:
        point_at(deployed, patch)
        seed.main(deployed.deployment.outputs)
    return deployed


def test_the_templates_sign_in_as_any_client_would(seeded: Deployed) -> None:
    browser = seeded.browser()
    tokens = browser.sign_in(WITH_FACTOR)
    principal = seeded.verifier().verify(f"Bearer {tokens['id_token']}")
    assert (principal.username, principal.mfa) == (WITH_FACTOR, True)
    assert principal.groups == set(USERS[WITH_FACTOR]["groups"])
    for name, value in person(WITH_FACTOR, USERS[WITH_FACTOR]).attributes.items():
        assert principal.claims[f"custom:{name}"] == value
    renewed = browser.refresh(tokens["refresh_token"]).raise_for_status().json()
    again = seeded.verifier().verify(f"Bearer {renewed['id_token']}")
    assert (again.mfa, again.signed_in_at) == (True, principal.signed_in_at)
    plain = seeded.browser().sign_in(WITHOUT_FACTOR)["id_token"]
    assert seeded.verifier().verify(f"Bearer {plain}").mfa is False


def test_the_page_says_of_each_user_what_they_may_do(seeded: Deployed) -> None:
    page = seeded.browser().login_page().text
    for user, profile in USERS.items():
        assert f'value="{user}"' in page
        assert profile["about"].replace("'", "&#x27;") in page


def test_the_runtime_finds_the_same_endpoints(deployed: Deployed) -> None:
    pool, client = deployed.identity["UserPoolId"], deployed.identity["UserPoolClientId"]
    sign_in = SignIn(
        f"https://cognito-idp.us-east-1.amazonaws.com/{pool}",
        client,
        document_url=f"{deployed.cloud.endpoint}/{pool}/.well-known/openid-configuration",
        logout="cognito",
    )
    sign_in.refresh()
    told = sign_in.described()
    assert (told["available"], told["client_id"]) == (True, client)
    assert sign_in.connect_origins() == (deployed.cloud.endpoint,)


@pytest.mark.parametrize("base", ["http://localhost:9080", "http://localhost:8081/live"])
def test_a_run_at_another_address_signs_in_there_too(deployed: Deployed, base: str) -> None:
    def client() -> dict[str, Any]:
        ids = {
            "UserPoolId": deployed.identity["UserPoolId"],
            "ClientId": deployed.identity["UserPoolClientId"],
        }
        found = deployed.cloud.client("cognito-idp").describe_user_pool_client(**ids)["UserPoolClient"]
        return {name: value for name, value in found.items() if name != "LastModifiedDate"}

    before = client()
    assert CALLBACK in before["CallbackURLs"]
    for _ in range(2):
        allow_sign_in_at(deployed.cloud, deployed.identity, base)
    after = client()
    there = base.replace("localhost", "127.0.0.1")
    assert after["CallbackURLs"] == [*before["CallbackURLs"], f"{base}/signed-in", f"{there}/signed-in"]
    assert after["LogoutURLs"] == [*before["LogoutURLs"], f"{base}/", f"{there}/"]
    urls = {"CallbackURLs": [], "LogoutURLs": []}
    assert {**after, **urls} == {**before, **urls}, "nothing else has changed"
    assert deployed.browser().authorize(redirect_uri=f"{base}/signed-in").status_code == 302


def test_without_sign_in_pages_no_address_is_added(deployed: Deployed) -> None:
    allow_sign_in_at(deployed.cloud, {"UserPoolId": "nothing"}, "http://localhost:9080")


@pytest.fixture
def shell(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    point_at(deployed, monkeypatch)
    return deployed


@pytest.mark.parametrize("user", [WITHOUT_FACTOR, WITH_FACTOR])
def test_make_token_prints_one_token(shell: Deployed, capsys: pytest.CaptureFixture[str], user: str) -> None:
    assert token.main(["--environment", "fmops-dev", "--user", user]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert shell.verifier().verify(f"Bearer {said.out.strip()}").username == user


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "root"], "root is not a user of the demo: give USER= one of"),
        (["--user", ""], "nobody is not a user of the demo"),
        (["--environment", "fmops-nothing", "--user", WITHOUT_FACTOR], "fmops-nothing is not deployed"),
    ],
)
def test_make_token_says_what_is_wrong(
    shell: Deployed, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert token.main(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, words in said.err) == ("", True)


def test_without_sign_in_by_password_make_token_touches_nobody(
    shell: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SignInPool(shell.cloud)
    identity = {"UserPoolId": pool.id, "UserPoolClientId": pool.client_id}
    monkeypatch.setattr(token.Deployment, "outputs", lambda *_: identity)
    assert token.main(["--user", WITHOUT_FACTOR]) == 2
    assert "identity.admin_password_sign_in" in capsys.readouterr().err
    monkeypatch.setattr(token.Deployment, "outputs", lambda *_: {})
    assert token.main(["--user", WITHOUT_FACTOR]) == 2
    assert "identity.oidc" in capsys.readouterr().err
    users = pool.cognito.list_users(UserPoolId=pool.id)["Users"]
    assert [user["Username"] for user in users] == ["ada"]


def test_a_challenge_that_only_a_person_can_answer_is_named(
    shell: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = person(WITHOUT_FACTOR, USERS[WITHOUT_FACTOR]).attributes
    schema = [{"Name": name, "AttributeDataType": "String", "Mutable": True} for name in names]
    pool = SignInPool(
        shell.cloud, mfa="ON", pool={"Schema": schema}, ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )
    for group in USERS[WITHOUT_FACTOR]["groups"]:
        pool.cognito.create_group(UserPoolId=pool.id, GroupName=group)
    identity = {"UserPoolId": pool.id, "UserPoolClientId": pool.client_id}
    monkeypatch.setattr(token.Deployment, "outputs", lambda *_: identity)
    assert token.main(["--user", WITHOUT_FACTOR]) == 2
    assert "MFA_SETUP first" in capsys.readouterr().err
