"""Identity policies decide as IAM documents it, and each call of a role is held to them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from local.aws.iam import needs
from local.aws.iam.evaluator import PolicyError, evaluate, holds, parse
from local.aws.iam.permissions import AccessDenied, Grant, Permissions, Reviewed, compare, label, reviewed
from local.aws.iam.trust import trusts
from local.aws.kernel.api import Context
from local.aws.kernel.cloud import ACCOUNT, Cloud
from local.aws.server import LocalAws

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "iam.yaml").read_text())
REQUEST = {
    "aws:username": ("jane",),
    "aws:securetransport": ("true",),
    "x:star": ("*",),
    "x:many": ("one", "two"),
}
"""Condition keys of every request in the golden table."""

BUCKET = "arn:aws:s3:::lake/interactions/2026/x.gz"


def verdict(*statements: dict[str, Any], action: str, resource: str = "*", **keys: str) -> bool:
    parsed = parse("p", {"Statement": list(statements)})
    context = {name.replace("__", ":").lower(): (value,) for name, value in keys.items()}
    return evaluate(parsed, action, resource, context).allowed


def allow(actions: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "action", "resource", "allowed"),
    [
        ([], "s3:GetObject", BUCKET, False),
        ([allow("s3:GetObject", BUCKET)], "s3:GetObject", BUCKET, True),
        ([allow("S3:getobject", BUCKET)], "s3:GetObject", BUCKET, True),
        ([allow("s3:Get*", "arn:aws:s3:::lake/*")], "s3:GetObject", BUCKET, True),
        ([allow("s3:GetObject?", "*")], "s3:GetObject", BUCKET, False),
        ([allow("s3:GetObject", "arn:aws:s3:::lake/analysis/*")], "s3:GetObject", BUCKET, False),
        ([allow("s3:GetObject", "arn:aws:s3:::LAKE/*")], "s3:GetObject", BUCKET, False),
        ([allow("s3:*"), {**allow("s3:GetObject"), "Effect": "Deny"}], "s3:GetObject", BUCKET, False),
        ([{**allow("s3:Put*"), "Effect": "Deny"}, allow("s3:*")], "s3:GetObject", BUCKET, True),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], "s3:GetObject", BUCKET, True),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], "s3:GetObject", BUCKET, False),
        ([{"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::lake/*"}], "s3:GetObject", BUCKET, False),
        ([allow("x:A", "arn:aws:x:*:1:thing/*")], "x:A", "arn:aws:x:eu-west-1:1:thing/7", True),
        ([allow("x:A", "arn:aws:x:*:thing/7")], "x:A", "arn:aws:x:eu-west-1:1:thing/7", False),
    ],
)  # fmt: skip
def test_statements(statements: list[dict[str, Any]], action: str, resource: str, allowed: bool) -> None:
    assert verdict(*statements, action=action, resource=resource) is allowed


@pytest.mark.parametrize(
    ("operator", "expected", "value", "result"),
    [
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", ["a"], "A", False),
        ("StringEqualsIgnoreCase", ["a"], "A", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], None, True),
        ("StringEquals", ["a"], None, False),
        ("StringEqualsIfExists", ["a"], None, True),
        ("StringLike", ["inter*"], "interactions/1", True),
        ("StringNotLike", ["inter*"], "analysis", True),
        ("ArnLike", ["arn:aws:iam::*:role/x*"], "arn:aws:iam::1:role/xy", True),
        ("ArnLike", ["arn:aws:*"], "arn:aws:iam::1:role/xy", False),
        ("Bool", ["true"], "True", True),
        ("Bool", ["true"], "false", False),
        ("Bool", ["false"], "true", False),
        ("Null", ["true"], None, True),
        ("Null", ["false"], None, False),
        ("NumericLessThanEquals", ["10"], "9.5", True),
        ("NumericLessThan", ["10"], "10", False),
        ("DateLessThan", ["2027-01-01T00:00:00Z"], "2026-11-25T00:00:00Z", True),
        ("IpAddress", ["10.0.0.0/8"], "10.1.2.3", True),
        ("NotIpAddress", ["10.0.0.0/8"], "10.1.2.3", False),
        ("StringEquals", ["${aws:PrincipalAccount}"], "1", True),
    ],
)
def test_conditions(operator: str, expected: list[str], value: str | None, result: bool) -> None:
    keys = {"aws:principalaccount": ("1",)} | ({"k": (value,)} if value is not None else {})
    assert holds(operator, "K", expected, keys) is result


def test_sets_of_values() -> None:
    keys = {"k": ("a", "b")}
    assert holds("ForAnyValue:StringEquals", "k", ["b", "c"], keys)
    assert not holds("ForAllValues:StringEquals", "k", ["b", "c"], keys)
    assert holds("ForAllValues:StringEquals", "k", ["b"], {})


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringMatches": {"k": "v"}}},
        {"Effect": "Permit", "Action": "*", "Resource": "*"},
        {"Effect": "Allow", "Actions": "*", "Resource": "*"},
    ],
)
def test_what_is_not_known_is_an_error(statement: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="p/0"):
        parse("p", {"Statement": [statement]})


@pytest.mark.parametrize(
    "case", GOLDEN["conditions"], ids=lambda case: f"{case['operator']} {case['expected']} {case.get('key')}"
)
def test_conditions_hold_as_documented(case: dict[str, Any]) -> None:
    key = case.get("key")
    keys = REQUEST | ({} if key is None else {"x:key": tuple(key) if isinstance(key, list) else (key,)})
    condition = {case["operator"]: {"x:Key": case["expected"]}}
    parsed = parse(
        "p", {"Version": "2012-10-17", "Statement": [allow("x:A", Condition=condition), allow("x:B")]}
    )
    assert evaluate(parsed, "x:A", "*", keys).allowed is case["holds"]


@pytest.mark.parametrize(
    "case", GOLDEN["resources"], ids=lambda case: f"{case['resource']} {case['request']}"
)
def test_resources_match_as_documented(case: dict[str, Any]) -> None:
    document = {"Version": case.get("version", "2012-10-17"), "Statement": allow("x:A", case["resource"])}
    assert evaluate(parse("p", document), "x:A", case["request"], REQUEST).allowed is case["holds"]


@pytest.mark.parametrize("case", GOLDEN["trust"], ids=lambda case: f"{case['service']} {case['trusted']}")
def test_roles_trust_as_documented(case: dict[str, Any]) -> None:
    document = {"Version": "2012-10-17", "Statement": case["statements"]}
    source = case.get("source_arn")
    assert trusts(document, case["service"], account=ACCOUNT, source_arn=source) is case["trusted"]


@pytest.mark.parametrize("case", GOLDEN["needs"], ids=lambda case: f"{case['operation']} {case['actions']}")
def test_calls_need_what_is_documented(case: dict[str, Any], cloud: Cloud) -> None:
    context = Context(
        cloud=cloud,
        service=case["service"],
        operation=case["operation"],
        region="us-east-1",
        account=ACCOUNT,
        caller=None,  # type: ignore[arg-type]
        headers=case.get("headers", {}),
    )
    found = needs.needs(context, case["params"])
    assert [each.action for each in found] == case["actions"]


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ({"NumericLessThan": {"x:n": "ten"}}, {"x__n": "5"}),
        ({"NumericNotEquals": {"x:n": "5"}}, {"x__n": "many"}),
        ({"DateLessThan": {"x:n": "tomorrow"}}, {"x__n": "2026-11-28"}),
        ({"IpAddress": {"x:n": "10.0.0.0/99"}}, {"x__n": "10.0.0.1"}),
        ({"BinaryEquals": {"x:n": "%"}}, {"x__n": "a"}),
        ({"Bool": {"x:n": "maybe"}}, {"x__n": "true"}),
        ({"ArnLike": {"x:n": "arn"}}, {"x__n": "arn:aws:s3:::a"}),
    ],
)
def test_what_is_malformed_denies(condition: dict[str, Any], keys: dict[str, str]) -> None:
    assert not verdict(allow("x:A", Condition=condition), action="x:A", **keys)
    denying = {**allow("x:A", Condition=condition), "Effect": "Deny"}
    assert not verdict(allow("x:*"), denying, action="x:A", **keys)


def test_a_role_is_limited_to_its_own_items(cloud: Cloud) -> None:
    """Keys under `ForAllValues` that a request does not have permit it: the calls' rules have to give them."""
    cloud.client("dynamodb").create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "owner", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "owner", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    condition = {
        "ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": ["jane"],
            "dynamodb:Attributes": ["owner", "note", "n"],
        }
    }
    items, query = (allow(action, Condition=condition) for action in ("dynamodb:*Item", "dynamodb:Query"))
    client = Role(cloud, "own-items", items, query).client("dynamodb")
    client.put_item(TableName="items", Item={"owner": {"S": "jane"}, "note": {"S": "x"}})
    client.get_item(TableName="items", Key={"owner": {"S": "jane"}})
    query = {
        "TableName": "items",
        "KeyConditionExpression": "#o = :o",
        "ExpressionAttributeNames": {"#o": "owner"},
    }
    client.query(**query, ExpressionAttributeValues={":o": {"S": "jane"}})
    client.update_item(
        TableName="items",
        Key={"owner": {"S": "jane"}},
        UpdateExpression="SET n = if_not_exists(n, :zero) + :one",
        ExpressionAttributeValues={":zero": {"N": "0"}, ":one": {"N": "1"}},
    )
    for refused in (
        lambda: client.get_item(TableName="items", Key={"owner": {"S": "joe"}}),
        lambda: client.put_item(TableName="items", Item={"owner": {"S": "joe"}}),
        lambda: client.put_item(TableName="items", Item={"owner": {"S": "jane"}, "salary": {"N": "1"}}),
        lambda: client.query(**query, ExpressionAttributeValues={":o": {"S": "joe"}}),
        lambda: client.batch_get_item(RequestItems={"items": {"Keys": [{"owner": {"S": "joe"}}]}}),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert code(error) == "AccessDeniedException"


def test_versions_and_tags_of_objects_need_actions_of_their_own(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="versions", Key="k", Body=b"x")["VersionId"]
    own = allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::versions/*")
    client = Role(cloud, "newest-only", own).client("s3")
    client.get_object(Bucket="versions", Key="k")
    for refused in (
        lambda: client.get_object(Bucket="versions", Key="k", VersionId=version),
        lambda: client.delete_object(Bucket="versions", Key="k", VersionId=version),
        lambda: client.put_object(Bucket="versions", Key="t", Body=b"x", Tagging="a=b"),
        lambda: client.put_object(Bucket="versions", Key="t", Body=b"x", ACL="private"),
        lambda: client.get_object_tagging(Bucket="versions", Key="k"),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert code(error) in ("AccessDenied", "403")
    tagged = allow(
        ["s3:PutObject", "s3:PutObjectTagging"],
        "arn:aws:s3:::versions/*",
        Condition={"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team"]}},
    )
    tagger = Role(cloud, "tagger", tagged).client("s3")
    tagger.put_object(Bucket="versions", Key="t", Body=b"x", Tagging="team=a")
    with pytest.raises(ClientError, match="s3:PutObject"):
        tagger.put_object(Bucket="versions", Key="t", Body=b"x", Tagging="team=a&other=b")


@pytest.mark.parametrize(("source", "trusted"), [("a", True), ("b", False), (None, False)])
def test_a_role_is_assumed_for_the_source_that_it_names(
    cloud: Cloud, source: str | None, trusted: bool
) -> None:
    arn = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnEquals": {"aws:SourceArn": f"{arn}a"}},
    }
    role = cloud.client("iam").create_role(
        RoleName=f"for-{source}", AssumeRolePolicyDocument=json.dumps({"Statement": [statement]})
    )["Role"]["Arn"]
    expected: Any = (
        contextlib.nullcontext() if trusted else pytest.raises(AccessDenied, match="is not trusted by")
    )
    with expected:
        cloud.assume(role, "states.amazonaws.com", source_arn=f"{arn}{source}" if source else None)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One that enforces."""
    with LocalAws(port=0, directory=tmp_path_factory.mktemp("cloud")) as running:
        yield running


class Role:
    """A role of the cloud with one inline policy, and its calls."""

    def __init__(self, cloud: Cloud, name: str, *statements: dict[str, Any]) -> None:
        self.cloud, iam = cloud, cloud.client("iam")
        trust = {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"aws:SourceAccount": cloud.account}},
                }
            ]
        }
        self.arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="P", PolicyDocument=json.dumps(document))

    def client(self, service: str) -> Any:
        return self.cloud.client(service, role=self.cloud.assume(self.arn, "ecs-tasks.amazonaws.com"))


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_role_does_what_its_policy_permits_and_no_more(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="lake-a")
    role = Role(
        cloud,
        "fmops-dev-Capture-WriterRole0A1B2C3D-XYZ",
        allow("s3:PutObject", "arn:aws:s3:::lake-a/interactions/*"),
        allow(
            "s3:ListBucket", "arn:aws:s3:::lake-a", Condition={"StringLike": {"s3:prefix": "interactions/*"}}
        ),
        allow("s3:DeleteObject", "arn:aws:s3:::lake-a/*"),
    )
    s3 = role.client("s3")
    s3.put_object(Bucket="lake-a", Key="interactions/1", Body=b"x")
    s3.list_objects_v2(Bucket="lake-a", Prefix="interactions/2026")
    for refused in (
        lambda: s3.put_object(Bucket="lake-a", Key="other/1", Body=b"x"),
        lambda: s3.get_object(Bucket="lake-a", Key="interactions/1"),
        lambda: s3.list_objects_v2(Bucket="lake-a", Prefix="other/"),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert code(error) == "AccessDenied"
    permissions = cloud.state(Permissions)
    mine = [denial for denial in permissions.denials if denial.role == "Capture/WriterRole"]
    assert {denial.action for denial in mine} == {"s3:PutObject", "s3:GetObject", "s3:ListBucket"}
    assert [grant.action for grant in permissions.unused() if grant.role == "Capture/WriterRole"] == [
        "s3:DeleteObject"
    ]


def test_objects_under_a_customer_key_need_the_key_too(cloud: Cloud) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="lake-b")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket="lake-b", ServerSideEncryptionConfiguration={"Rules": [rule]})
    put = allow("s3:PutObject", "arn:aws:s3:::lake-b/*")
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        Role(cloud, "without-key", put).client("s3").put_object(Bucket="lake-b", Key="k", Body=b"x")
    with_key = Role(cloud, "with-key", put, allow("kms:GenerateDataKey", key))
    with_key.client("s3").put_object(Bucket="lake-b", Key="k", Body=b"x")


def test_a_service_that_the_role_does_not_trust_cannot_act_under_it(cloud: Cloud) -> None:
    role = Role(cloud, "tasks-only", allow("*"))
    with pytest.raises(Exception, match=r"scheduler\.amazonaws\.com is not trusted by"):
        cloud.assume(role.arn, "scheduler.amazonaws.com")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("denied-service", {"Effect": "Deny"}),
        ("denied-to-all", {"Effect": "Deny", "Principal": "*"}),
        ("other-action", {"Action": "sts:TagSession"}),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_a_trust_policy_may_deny_or_allow_something_else(
    cloud: Cloud, name: str, change: dict[str, Any], first: bool
) -> None:
    trusting = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    changed = {**trusting, **change}
    denies = changed["Effect"] == "Deny"
    statements = ([changed, trusting] if first else [trusting, changed]) if denies else [changed]
    role = cloud.client("iam").create_role(
        RoleName=f"{name}-{first}", AssumeRolePolicyDocument=json.dumps({"Statement": statements})
    )["Role"]["Arn"]
    with pytest.raises(Exception, match=r"ecs-tasks\.amazonaws\.com is not trusted by"):
        cloud.assume(role, "ecs-tasks.amazonaws.com")


def test_a_condition_on_the_namespace_is_evaluated(cloud: Cloud) -> None:
    condition = {"StringEquals": {"cloudwatch:namespace": "FMOps"}}
    client = Role(cloud, "metrics", allow("cloudwatch:PutMetricData", Condition=condition)).client(
        "cloudwatch"
    )
    data = [{"MetricName": "m", "Value": 1.0}]
    client.put_metric_data(Namespace="FMOps", MetricData=data)
    with pytest.raises(ClientError) as error:
        client.put_metric_data(Namespace="Other", MetricData=data)
    assert code(error) == "AccessDenied"


def test_an_operation_without_a_rule_is_not_guessed(cloud: Cloud) -> None:
    client = Role(cloud, "curious", allow("*")).client("sqs")
    with pytest.raises(ClientError, match=r"no rule in local/aws/iam/needs\.py"):
        client.list_queues()


def test_the_report_compares_both_ways() -> None:
    grants = [Grant("A/Role", "s3:GetObject", "P/0"), Grant("A/Role", "ecr:GetAuthorizationToken", "P/1")]
    listed = Reviewed({"ecr:GetAuthorizationToken": "why"}, {"B/Role": {"s3:PutObject": "why"}})
    missing, stale = compare(grants, listed, {("A/Role", "s3:GetObject"), ("B/Role", "s3:PutObject")})
    assert "A/Role is granted s3:GetObject (P/0) and never used it" in missing
    assert "lists s3:PutObject of B/Role" in stale
    assert compare(grants, listed, {("B/Role", "s3:GetObject")}) == [missing]


def test_every_reviewed_grant_has_a_reason() -> None:
    listed = reviewed(Path("local/aws/iam/unused.yaml"))
    reasons = [
        *listed.everywhere.values(),
        *(each for role in listed.roles.values() for each in role.values()),
    ]
    assert all(len(reason) > 15 for reason in reasons)


def test_labels_leave_out_what_cloudformation_adds() -> None:
    arn = "arn:aws:iam::123456789012:role/fmops-dev-Assistant-AppTaskRole9B4EA8ED-S95VK9CJ61HU"
    assert label(arn) == "Assistant/AppTaskRole"
