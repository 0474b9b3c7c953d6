"""Knowledge bases and data sources: what is taken, shown, changed and deleted, by the API and by CloudFormation."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.aws.cloudformation.provisioner import install
from local.aws.kernel.cloud import ACCOUNT, Cloud
from tests.local.knowledge import MODEL, UNCHECKED, Shelf, hold, refusal, trust

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "knowledge_bases.yaml").read_text())
NUMBERS = itertools.count()


@pytest.mark.parametrize("case", GOLDEN["bases"], ids=lambda case: str(case)[:90])
def test_bases_are_taken_as_documented(enforcing: Cloud, case: dict[str, Any]) -> None:
    name = f"bases-{next(NUMBERS)}"
    shelf = Shelf(enforcing, name)
    shelf.grant()
    text = json.dumps(case.get("change", {}))
    text = text.replace("{index}", shelf.index).replace("{bucket}", shelf.index.partition("/index/")[0])
    request = shelf.request(**json.loads(text))
    vector = request["knowledgeBaseConfiguration"].get("vectorKnowledgeBaseConfiguration", {})
    if "dimensions" in case or "type" in case:
        wanted = {
            "dimensions": case.get("dimensions", 1024),
            "embeddingDataType": case.get("type", "FLOAT32"),
        }
        vector["embeddingModelConfiguration"] = {"bedrockEmbeddingModelConfiguration": wanted}
    if "model" in case:
        vector["embeddingModelArn"] = case["model"]
    request = {key: value for key, value in request.items() if value is not None}
    hold(case, enforcing.client("bedrock-agent", config=UNCHECKED).create_knowledge_base, **request)


def test_a_base_is_shown_changed_and_deleted(shelf: Shelf) -> None:
    agent = shelf.agent
    shown = agent.get_knowledge_base(knowledgeBaseId=shelf.base_id)["knowledgeBase"]
    assert shown["status"] == "ACTIVE"
    assert shown["knowledgeBaseArn"] == f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/{shelf.base_id}"
    assert {name: shown[name] for name in shelf.request()} == shelf.request()
    assert refusal(agent.create_knowledge_base, **shelf.request())["Code"] == "ConflictException"
    changed = shelf.request(name=f"{shelf.name}-new", description="Claims")
    agent.update_knowledge_base(knowledgeBaseId=shelf.base_id, **changed)
    listed = agent.list_knowledge_bases()["knowledgeBaseSummaries"]
    (found,) = (each for each in listed if each["knowledgeBaseId"] == shelf.base_id)
    assert (found["name"], found["description"]) == (f"{shelf.name}-new", "Claims")
    other = shelf.request(
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": MODEL}}
    )
    assert (
        "cannot be changed"
        in refusal(agent.update_knowledge_base, knowledgeBaseId=shelf.base_id, **{**changed, **other})[
            "Message"
        ]
    )
    agent.tag_resource(resourceArn=shown["knowledgeBaseArn"], tags={"team": "claims"})
    assert agent.list_tags_for_resource(resourceArn=shown["knowledgeBaseArn"])["tags"] == {"team": "claims"}
    assert agent.delete_knowledge_base(knowledgeBaseId=shelf.base_id)["status"] == "DELETING"
    gone = refusal(agent.get_knowledge_base, knowledgeBaseId=shelf.base_id)
    assert gone["Code"] == "ResourceNotFoundException"


def test_a_data_source_is_shown_and_changed_but_not_how_it_is_cut(shelf: Shelf) -> None:
    shown = shelf.agent.get_data_source(**shelf.ids)["dataSource"]
    assert (shown["status"], shown["dataDeletionPolicy"]) == ("AVAILABLE", "DELETE")
    again = refusal(shelf.agent.create_data_source, **shelf.source_request())
    assert again["Code"] == "ConflictException"
    change = {**shelf.source_request(description="Claims"), **shelf.ids}
    assert shelf.agent.update_data_source(**change)["dataSource"]["description"] == "Claims"
    cut = {"chunkingConfiguration": {"chunkingStrategy": "NONE"}}
    found = refusal(shelf.agent.update_data_source, **change, vectorIngestionConfiguration=cut)
    assert "cannot be changed" in found["Message"]
    (listed,) = shelf.agent.list_data_sources(knowledgeBaseId=shelf.base_id)["dataSourceSummaries"]
    assert listed["dataSourceId"] == shelf.source_id


@pytest.mark.parametrize(
    "change",
    [
        {"dataSourceConfiguration": {"type": "WEB"}},
        {"vectorIngestionConfiguration": {"chunkingConfiguration": {"chunkingStrategy": "SEMANTIC"}}},
        {
            "vectorIngestionConfiguration": {
                "parsingConfiguration": {"parsingStrategy": "BEDROCK_DATA_AUTOMATION"}
            }
        },
    ],
    ids=str,
)
def test_what_is_not_emulated_says_so(shelf: Shelf, change: dict[str, Any]) -> None:
    request = {**shelf.source_request(name="other"), **change}
    assert refusal(shelf.agent.create_data_source, **request)["status"] == 501


@pytest.mark.parametrize(("policy", "left"), [("DELETE", 0), ("RETAIN", 1)])
@pytest.mark.parametrize("whole", [True, False], ids=["base", "source"])
def test_the_deletion_policy_decides_about_the_vectors(
    enforcing: Cloud, policy: str, left: int, whole: bool
) -> None:
    shelf = Shelf(enforcing, f"policy-{policy.lower()}-{str(whole).lower()}")
    shelf.grant()
    shelf.open(dataDeletionPolicy=policy)
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    if whole:
        shelf.agent.delete_knowledge_base(knowledgeBaseId=shelf.base_id)
    else:
        shelf.agent.delete_data_source(**shelf.ids)
    assert len(shelf.stored()) == left


def test_a_source_whose_vectors_cannot_be_deleted_stays(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    shelf.grant("s3vectors:DeleteVectors")
    shelf.agent.delete_data_source(**shelf.ids)
    source = shelf.agent.get_data_source(**shelf.ids)["dataSource"]
    assert source["status"] == "DELETE_UNSUCCESSFUL"
    assert "s3vectors:DeleteVectors" in source["failureReasons"][0]


def template(name: str) -> dict[str, Any]:
    """The resources of a knowledge base without any name that CloudFormation can make."""
    model = {"Dimensions": 1024, "EmbeddingDataType": "FLOAT32"}
    statements = [
        {"Effect": "Allow", "Action": ["bedrock:InvokeModel", "s3vectors:GetIndex"], "Resource": "*"}
    ]
    resources = {
        "Documents": {"Type": "AWS::S3::Bucket"},
        "Vectors": {
            "Type": "AWS::S3Vectors::VectorBucket",
            "Properties": {"Tags": [{"Key": "team", "Value": "x"}]},
        },
        "VectorsPolicy": {
            "Type": "AWS::S3Vectors::VectorBucketPolicy",
            "Properties": {
                "VectorBucketArn": {"Fn::GetAtt": ["Vectors", "VectorBucketArn"]},
                "Policy": {"Version": "2012-10-17", "Statement": []},
            },
        },
        "Index": {
            "Type": "AWS::S3Vectors::Index",
            "Properties": {
                "VectorBucketArn": {"Ref": "Vectors"},
                "DataType": "float32",
                "Dimension": 1024,
                "DistanceMetric": "cosine",
                "MetadataConfiguration": {"NonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT"]},
            },
        },
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust()}},
        "RolePolicy": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "knowledge",
                "Roles": [{"Ref": "Role"}],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
            },
        },
        "Base": {
            "Type": "AWS::Bedrock::KnowledgeBase",
            "DependsOn": ["RolePolicy"],
            "Properties": {
                "Name": name,
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "KnowledgeBaseConfiguration": {
                    "Type": "VECTOR",
                    "VectorKnowledgeBaseConfiguration": {
                        "EmbeddingModelArn": MODEL,
                        "EmbeddingModelConfiguration": {"BedrockEmbeddingModelConfiguration": model},
                    },
                },
                "StorageConfiguration": {
                    "Type": "S3_VECTORS",
                    "S3VectorsConfiguration": {"IndexArn": {"Fn::GetAtt": ["Index", "IndexArn"]}},
                },
            },
        },
        "Source": {
            "Type": "AWS::Bedrock::DataSource",
            "Properties": {
                "KnowledgeBaseId": {"Ref": "Base"},
                "Name": name,
                "DataDeletionPolicy": "RETAIN",
                "DataSourceConfiguration": {
                    "Type": "S3",
                    "S3Configuration": {
                        "BucketArn": {"Fn::GetAtt": ["Documents", "Arn"]},
                        "InclusionPrefixes": ["documents/"],
                    },
                },
            },
        },
    }
    wanted = {
        "VectorsRef": {"Ref": "Vectors"},
        "IndexRef": {"Ref": "Index"},
        "PolicyRef": {"Ref": "VectorsPolicy"},
        "BaseRef": {"Ref": "Base"},
        "BaseArn": {"Fn::GetAtt": ["Base", "KnowledgeBaseArn"]},
        "BaseStatus": {"Fn::GetAtt": ["Base", "Status"]},
        "SourceRef": {"Ref": "Source"},
        "SourceId": {"Fn::GetAtt": ["Source", "DataSourceId"]},
        "SourceStatus": {"Fn::GetAtt": ["Source", "DataSourceStatus"]},
    }
    return {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in wanted.items()}}


def test_cloudformation_creates_a_knowledge_base_with_names_of_its_own(enforcing: Cloud) -> None:
    """Source: "Return values" of the types in the CloudFormation Template Reference."""
    report = install(enforcing)
    formation = enforcing.client("cloudformation")
    formation.create_stack(StackName="Claims-Knowledge", TemplateBody=json.dumps(template("claims")))
    (stack,) = formation.describe_stacks(StackName="Claims-Knowledge")["Stacks"]
    out = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert (report.stand_in_types, report.dropped) == (set(), set())
    bucket, _, index = out["IndexRef"].partition("/index/")
    assert bucket == out["VectorsRef"] == out["PolicyRef"]
    assert bucket.startswith(f"arn:aws:s3vectors:us-east-1:{ACCOUNT}:bucket/claims-knowledge-vectors-")
    assert index.startswith("claims-knowledge-index-")
    assert out["BaseArn"].endswith(f":knowledge-base/{out['BaseRef']}")
    assert out["SourceRef"] == f"{out['BaseRef']}|{out['SourceId']}"
    assert (out["BaseStatus"], out["SourceStatus"]) == ("ACTIVE", "AVAILABLE")
    tags = enforcing.client("s3vectors").list_tags_for_resource(resourceArn=bucket)["tags"]
    assert tags["team"] == "x"
    base = enforcing.client("bedrock-agent").get_knowledge_base(knowledgeBaseId=out["BaseRef"])[
        "knowledgeBase"
    ]
    assert base["storageConfiguration"]["s3VectorsConfiguration"]["indexArn"] == out["IndexRef"]


def test_a_stack_fails_whose_base_comes_before_its_role_has_a_policy(enforcing: Cloud) -> None:
    install(enforcing)
    broken = template("early")
    del broken["Resources"]["RolePolicy"]
    del broken["Resources"]["Base"]["DependsOn"]
    found = refusal(
        enforcing.client("cloudformation").create_stack, StackName="Early", TemplateBody=json.dumps(broken)
    )
    assert "Base (AWS::Bedrock::KnowledgeBase)" in found["Message"]
    assert "is not able to call specified bedrock embedding model" in found["Message"]
