"""`make smoke` explains why a tour cannot be sent, and leaves untouched what it must not change."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest

from demo import __main__ as smoke
from demo import evaluation, evidence, guide
from demo.accounts import Directory
from demo.outputs import OPTIONAL, STACKS
from demo.tour import Tour
from demo.visit import Visit
from fmops import deployment
from fmops.agent import NAME
from fmops.evaluation.registry import PromptRegistry
from local.aws.kernel.cloud import Cloud
from local.run.report import Section


@pytest.fixture(autouse=True)
def _aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "client", cloud.client)
    monkeypatch.setattr("sys.argv", ["demo", "--environment", "fmops-nothing"])


def test_an_environment_that_is_not_there_is_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_in = SimpleNamespace(Session=lambda: SimpleNamespace(client=cloud.client))
    monkeypatch.setattr(deployment, "boto3", signed_in)
    assert smoke.main() == 2
    assert (
        "fmops-nothing is not deployed in this account and region: give its PROFILE"
        in capsys.readouterr().err
    )


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
    assert read <= {*STACKS, *OPTIONAL}


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


class Guide:
    """A substitute for the tour, which stores what it was given."""

    visit: Visit
    given: dict[str, Any]

    def __call__(self, visit: Visit, **given: Any) -> bool:
        self.visit, self.given = visit, given
        return True


@pytest.fixture
def toured(cloud: Cloud, pool: str, monkeypatch: pytest.MonkeyPatch) -> Guide:
    client = client_of(cloud, pool, "ALLOW_ADMIN_USER_PASSWORD_AUTH")
    outputs = {
        "Identity": {"UserPoolId": pool, "UserPoolClientId": client},
        "Assistant": {"AssistantUrl": cloud.endpoint},
    }
    stand_in = Guide()
    for name, value in {
        "check_reachable": lambda _: None,
        "stack_outputs": lambda _: outputs,
        "guide": stand_in,
    }.items():
        monkeypatch.setattr(smoke, name, value)

    def seeded(_: Any) -> Directory:
        directory = Directory(cloud.client("cognito-idp"), user_pool_id=pool, client_id=client)
        for user in ("carla", "petra", "rita"):
            directory.create(user, {"groups": ["staff"]})
        return directory

    monkeypatch.setattr(smoke.seed, "main", seeded)
    return stand_in


def test_a_smoke_changes_nothing_that_serves_and_links_nobody_in(
    toured: Guide, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo"])
    assert smoke.main() == 0
    assert toured.given == {"chapters": ()}
    left_out = "analysis, review, evaluation, leftovers, documents, gaps, metrics, home (ALL=1)"
    assert f"left out, since they change the deployment: {left_out}" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["demo", "--all"])
    assert smoke.main() == 0
    assert toured.given == {"chapters": guide.CHAPTERS}
    assert not toured.visit.chooses_users
    assert not toured.visit.history, "made-up traffic is for who asks for it"


def test_made_up_traffic_comes_only_with_the_analysis_that_reads_it(
    toured: Guide, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo", "--history"])
    with pytest.raises(SystemExit):
        smoke.main()
    assert "--history is for the analysis, which --all includes: add --all" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["demo", "--all", "--history"])
    assert smoke.main() == 0
    assert toured.visit.history


def test_no_address_holds_a_token() -> None:
    for folder in ("demo", "local", "fmops"):
        for file in (Path(smoke.__file__).parents[1] / folder).rglob("*.py"):
            assert "#token=" not in file.read_text(), file


def test_with_a_token_the_steps_of_everyone_are_sent_and_nobody_is_made(
    cloud: Cloud,
    pool: str,
    toured: Guide,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(smoke, "check_token", lambda *_: None)
    before = cloud.client("cognito-idp").list_users(UserPoolId=pool)["Users"]
    monkeypatch.setenv("TOKEN", "eyJhbGciOi.secret.token")
    monkeypatch.setattr("sys.argv", ["demo", "--token-from", "TOKEN"])
    assert smoke.main() == 0
    assert toured.given == {"chapters": (), "for_anyone": True}
    assert toured.visit.directory.id_token("carla") == "eyJhbGciOi.secret.token"
    said = capsys.readouterr()
    assert "left out: the steps that need the demo's users" in said.out
    assert "eyJ" not in said.out + said.err
    assert cloud.client("cognito-idp").list_users(UserPoolId=pool)["Users"] == before
    monkeypatch.setattr("sys.argv", ["demo", "--token-from", "TOKEN", "--all"])
    with pytest.raises(SystemExit):
        smoke.main()
    assert "leave one of them out" in capsys.readouterr().err
    monkeypatch.delenv("TOKEN")
    with pytest.raises(SystemExit):
        smoke.main()
    assert "TOKEN holds no token" in capsys.readouterr().err


def test_what_is_sent_for_everyone_greets_asks_and_is_refused() -> None:
    everyone = Tour("http://localhost", smoke.Caller("token"), for_anyone=True)
    whole = Tour("http://localhost", smoke.Caller("token"))
    assert (len(everyone.steps) + everyone.left_out, whole.left_out) == (len(whole.steps), 0)
    tools = [step.expect.get("tools") for step in everyone.steps]
    fates = {tool.partition(" ")[2] for each in tools for tool in each or ()}
    assert [] in tools
    assert fates == {"success", "denied"}
    assert {step.expect.get("finish") for step in everyone.steps} >= {"stop", "content_filter"}
    assert {step.user for step in everyone.steps} == {"the caller"}


def test_a_token_that_the_assistant_does_not_take_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def post(*_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(httpx.codes.UNAUTHORIZED)

    monkeypatch.setattr(httpx, "post", post)
    with pytest.raises(smoke.TokenError, match="unexpired ID token"):
        smoke.check_token("http://localhost", "old")


def test_only_what_was_captured_since_the_tour_began_is_read(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence.boto3, "client", cloud.client)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="lake")
    now = datetime.now(UTC)

    def put(day: datetime, name: str, *interactions: str) -> None:
        lines = "\n".join(
            json.dumps({"record_type": "interaction", "interaction_id": each}) for each in interactions
        )
        s3.put_object(
            Bucket="lake",
            Key=f"interactions/dt={day.date()}/{name}.jsonl.gz",
            Body=gzip.compress(lines.encode()),
        )

    put(now - timedelta(days=9), "old", "old")
    put(now, "new", "ours", "ours", "theirs", "theirs")
    read = evidence.Evidence({"Capture": {"LakeBucketName": "lake"}}, since=now)
    assert set(read.read_lake()) == {"ours", "theirs"}
    assert set(evidence.Evidence({"Capture": {"LakeBucketName": "lake"}}).read_lake()) == {
        "old",
        "ours",
        "theirs",
    }
    read.gather([])
    assert (read.records, read.problems) == ({}, [])


def test_a_second_demo_makes_no_version_again_and_gives_back_what_served(tmp_path: Path) -> None:
    registry = PromptRegistry(f"sqlite:///{tmp_path}/mlflow.db")

    def demo() -> evaluation._Chapter:
        chapter = evaluation._Chapter.__new__(evaluation._Chapter)
        chapter._setup = SimpleNamespace(registry=registry)  # type: ignore[assignment]
        chapter._section = Section("evaluation")
        chapter._versions = chapter._register()
        return chapter

    assert demo()._versions == {"as packaged": "1", "careless": "2", "complete": "3"}
    assert registry.serving_version(NAME) == "1"
    assert demo()._versions["as packaged"] == "1"
    made = registry.register(NAME, "Ours.", message="of the deployment")
    registry.promote(NAME, made.version, by="us", reason="ours")
    third = demo()
    assert registry.serving_version(NAME) == "1"
    third._give_back("1")
    assert registry.serving_version(NAME) == made.version == "4"
