"""What `make smoke` says when there is nothing to send a tour to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demo import __main__ as smoke
from demo.accounts import Directory
from local.cloud import Cloud


@pytest.fixture(autouse=True)
def _aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke.boto3, "client", cloud.client)
    monkeypatch.setattr("sys.argv", ["demo", "--environment", "fmops-nothing"])


def test_an_environment_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main() == 2
    assert "fmops-nothing is not deployed in this account and region" in capsys.readouterr().err


def test_an_address_without_an_assistant_is_refused_with_a_remedy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke, "stack_outputs", lambda _: {})
    monkeypatch.setattr("sys.argv", ["demo", "--url", "http://localhost:9"])
    assert smoke.main() == 2
    assert "is the load balancer internal" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["demo", "--url", cloud.endpoint])
    assert smoke.main() == 2
    assert "give the assistant's own address" in capsys.readouterr().err


def test_every_stack_whose_outputs_a_chapter_reads_is_asked() -> None:
    sources = [file.read_text() for file in Path(smoke.__file__).parent.glob("*.py")]
    read = {stack for source in sources for stack in re.findall(r'outputs\["(\w+)"\]', source)}
    assert "Analysis" in read
    assert read <= set(smoke.STACKS)


@pytest.fixture
def pool(cloud: Cloud) -> str:
    cognito = cloud.client("cognito-idp")
    schema = [
        {"Name": name, "AttributeDataType": "String", "Mutable": True} for name in ("region", "department")
    ]
    pool = str(
        cognito.create_user_pool(PoolName="pool", MfaConfiguration="OPTIONAL", Schema=schema)["UserPool"][
            "Id"
        ]
    )
    cognito.create_group(UserPoolId=pool, GroupName="staff")
    return pool


def client_of(cloud: Cloud, pool: str, flow: str) -> str:
    answer = cloud.client("cognito-idp").create_user_pool_client(
        UserPoolId=pool, ClientName=flow, ExplicitAuthFlows=[flow]
    )
    return str(answer["UserPoolClient"]["ClientId"])


def test_without_a_way_to_sign_in_nobody_is_made(
    cloud: Cloud, pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke, "check_reachable", lambda _: None)
    client = client_of(cloud, pool, "ALLOW_USER_SRP_AUTH")
    for identity, said in (
        ({"UserPoolId": pool, "UserPoolClientId": client}, "identity.admin_password_sign_in"),
        ({}, "identity.oidc"),
    ):
        outputs = {"Identity": identity, "Assistant": {"AssistantUrl": "http://localhost"}}
        monkeypatch.setattr(smoke, "stack_outputs", lambda _, outputs=outputs: outputs)
        assert smoke.main() == 2
        assert said in capsys.readouterr().err
    assert cloud.client("cognito-idp").list_users(UserPoolId=pool)["Users"] == []


def test_a_second_tour_signs_in_who_has_a_second_factor_of_the_first(cloud: Cloud, pool: str) -> None:
    client = client_of(cloud, pool, "ALLOW_ADMIN_USER_PASSWORD_AUTH")
    for _ in range(2):
        directory = Directory(cloud.client("cognito-idp"), user_pool_id=pool, client_id=client)
        account = directory.create("amir", {"groups": ["staff"], "mfa": True})
        assert account.totp is not None
    user = cloud.client("cognito-idp").admin_get_user(UserPoolId=pool, Username="amir")
    assert user["UserMFASettingList"] == ["SOFTWARE_TOKEN_MFA"]
