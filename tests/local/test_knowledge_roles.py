"""Calls under a knowledge base's role, and the checks of that role at creation: each is held to its policies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.aws.iam.permissions import Permissions
from local.aws.kernel.cloud import ACCOUNT, Cloud
from tests.local.knowledge import MODEL, Shelf, refusal, trust


def test_a_base_needs_a_role_that_may_embed_and_reach_the_index(enforcing: Cloud) -> None:
    shelf = Shelf(enforcing, "role-checks")
    create = shelf.agent.create_knowledge_base
    shelf.grant("bedrock:InvokeModel")
    message = refusal(create, **shelf.request())["Message"]
    assert f"role {shelf.role} is not able to call specified bedrock embedding model {MODEL}" in message
    shelf.grant("s3vectors:GetIndex")
    message = refusal(create, **shelf.request())["Message"]
    assert "storage configuration provided is invalid" in message and "s3vectors:GetIndex" in message
    shelf.grant()
    assert create(**shelf.request())["knowledgeBase"]["status"] == "CREATING"


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/OTHERBASE0"}},
        {"StringEquals": {"aws:SourceAccount": "999999999999"}},
    ],
)
def test_a_role_that_does_not_trust_bedrock_for_this_base_is_refused(
    enforcing: Cloud, condition: Any
) -> None:
    shelf = Shelf(enforcing, f"trust-{next(iter(condition)).lower()}")
    other = shelf.make_role(f"{shelf.name}-other", trust(**condition))
    shelf.grant(role=f"{shelf.name}-other")
    found = refusal(shelf.agent.create_knowledge_base, **shelf.request(roleArn=other))
    assert "was unable to assume the given role" in found["Message"]
    missing = f"arn:aws:iam::{ACCOUNT}:role/missing"
    found = refusal(shelf.agent.create_knowledge_base, **shelf.request(roleArn=missing))
    assert "was unable to assume the given role" in found["Message"]


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("s3:ListBucket", "not authorized to perform: s3:ListBucket"),
        ("s3:GetObject", "not authorized to perform: s3:GetObject"),
        ("s3vectors:PutVectors", "not authorized to perform: s3vectors:PutVectors"),
    ],
)
def test_a_job_fails_with_the_permission_that_its_role_lacks(shelf: Shelf, without: str, reason: str) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    shelf.grant(without)
    job = shelf.ingest()
    assert job["status"] == "FAILED"
    assert reason in job["failureReasons"][0]
    assert shelf.stored() == []
    assert "INDEXED" not in shelf.documents().values()
    shelf.grant()
    assert shelf.ingest()["statistics"]["numberOfNewDocumentsIndexed"] == 1


def test_a_deletion_that_the_role_may_not_do_fails_the_job(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    shelf.remove("hail.txt")
    shelf.grant("s3vectors:DeleteVectors")
    job = shelf.ingest()
    assert job["status"] == "FAILED" and "s3vectors:DeleteVectors" in job["failureReasons"][0]
    assert len(shelf.stored()) == 1


def test_bedrock_tries_the_model_before_it_starts_a_job(shelf: Shelf) -> None:
    shelf.grant("bedrock:InvokeModel")
    message = refusal(shelf.agent.start_ingestion_job, **shelf.ids)["Message"]
    assert "is not able to call specified bedrock embedding model" in message


def test_customer_keys_are_used_under_the_role(enforcing: Cloud) -> None:
    keys = [enforcing.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    shelf = Shelf(enforcing, "keys", key=keys[0])
    shelf.grant()
    shelf.open(serverSideEncryptionConfiguration={"kmsKeyArn": keys[1]})
    shelf.put("hail.txt", "Hail is covered.")

    def may(key: str, *actions: str, **condition: Any) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": actions, "Resource": key, **condition}

    transient = may(keys[1], "kms:GenerateDataKey", "kms:Decrypt")
    via = {"Condition": {"StringEquals": {"kms:ViaService": "s3vectors.us-east-1.amazonaws.com"}}}
    job = shelf.ingest()
    assert "kms:GenerateDataKey" in job["failureReasons"][0] and keys[1] in job["failureReasons"][0]
    shelf.grant(more=(transient,))
    job = shelf.ingest()
    assert "kms:GenerateDataKey" in job["failureReasons"][0] and keys[0] in job["failureReasons"][0]
    shelf.grant(more=(transient, may(keys[0], "kms:GenerateDataKey", "kms:Decrypt", **via)))
    assert shelf.ingest()["status"] == "COMPLETE"
    assert len(shelf.retrieve("hail")) == 1
    shelf.grant(more=(transient,))
    assert "kms:Decrypt" in refusal(shelf.retrieve, text="hail")["Message"]


def test_retrieval_needs_the_right_of_the_caller_and_of_the_base(shelf: Shelf) -> None:
    caller = shelf.make_role(f"{shelf.name[:50]}-caller", {})
    runtime = shelf.cloud.client("bedrock-agent-runtime", role=shelf.cloud.credentials.issue(caller, "test"))
    ask = {"knowledgeBaseId": shelf.base_id, "retrievalQuery": {"text": "hail"}}
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/{shelf.base_id}"
    found = refusal(runtime.retrieve, **ask)
    assert (
        found["Code"] == "AccessDeniedException"
        and f"bedrock:Retrieve on resource: {arn}" in found["Message"]
    )
    statement = {"Effect": "Allow", "Action": "bedrock:Retrieve", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    name = caller.rpartition("/")[2]
    shelf.cloud.client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    assert runtime.retrieve(**ask)["retrievalResults"] == []
    assert runtime.retrieve(**{**ask, "knowledgeBaseId": arn})["retrievalResults"] == []
    for lacking in ("s3vectors:QueryVectors", "s3vectors:GetVectors", "bedrock:InvokeModel"):
        shelf.grant(lacking)
        assert lacking in refusal(runtime.retrieve, **ask)["Message"]


def test_no_run_of_a_base_is_denied_or_leaves_a_documented_permission_unused(enforcing: Cloud) -> None:
    shelf = Shelf(enforcing, "unused")
    shelf.grant()
    shelf.open()
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    shelf.put("hail.txt", "Hail is not covered.")
    shelf.ingest()
    shelf.retrieve("hail")
    permissions = enforcing.state(Permissions)
    assert [each for each in permissions.denials if each.role == "unused"] == []
    assert [each.action for each in permissions.unused() if each.role == "unused"] == []
