"""The knowledge base as the stacks use it: what services require of it, its role, and what its parts agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from constructs.data_lifetime import DataLifetime
from constructs.document_ingestion import DocumentIngestion
from constructs.knowledge_base import KnowledgeBase

import app
from settings import SettingsError
from stacks.knowledge import check_documents
from tests.lambdas.knowledge import World
from tests.synthesized import Assembly, context

WITH_BASE = ("dev", "prod", "serverless", "enclosed")
MODEL = "amazon.titan-embed-text-v2:0"


def build(outdir: Path, **changes: Any) -> tuple[Stack, KnowledgeBase]:
    stack = Stack(App(outdir=str(outdir)), "Desk")
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    bucket = s3.Bucket(stack, "Bucket", encryption_key=key, enforce_ssl=True)
    arguments: dict[str, Any] = {
        "name": "desk",
        "bucket": bucket,
        "prefix": "documents",
        "key": key,
        "embedding_model_id": MODEL,
        "lifetime": DataLifetime.TEMPORARY,
    }
    return stack, KnowledgeBase(stack, "Knowledge", **{**arguments, **changes})


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = template.find_resources(kind).values()
    return dict(found)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.from_stack(build(tmp_path_factory.mktemp("base"))[0])


def statements(template: Template) -> dict[str, dict[str, Any]]:
    """Return the role's statements by their first action and the service that uses the key."""
    policy = only(template, "AWS::IAM::Policy")["Properties"]["PolicyDocument"]["Statement"]
    found = {}
    for each in policy:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        via = json.dumps(each.get("Condition", {})).partition('["", ["')[2].partition(".")[0]
        found[f"{','.join(sorted(actions))} {via}".strip()] = each
    return found


def test_the_role_has_the_documented_statements_and_no_other(template: Template) -> None:
    """Compare with "Create a service role for Amazon Bedrock Knowledge Bases" of the User Guide."""
    found = statements(template)
    assert set(found) == {
        "bedrock:InvokeModel",
        "s3:ListBucket",
        "s3:GetObject",
        "kms:Decrypt s3",
        "s3vectors:DeleteVectors,s3vectors:GetIndex,s3vectors:GetVectors,s3vectors:PutVectors,s3vectors:QueryVectors",
        "kms:Decrypt,kms:GenerateDataKey s3vectors",
    }
    own = {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    assert found["s3:ListBucket"]["Condition"] == found["s3:GetObject"]["Condition"] == own
    assert json.dumps(found["s3:GetObject"]["Resource"]).endswith('"/documents/*"]]}')
    assert all(each["Resource"] != "*" for each in found.values())


def test_only_bedrock_for_a_knowledge_base_of_the_account_takes_the_role(template: Template) -> None:
    (trust,) = only(template, "AWS::IAM::Role")["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert json.dumps(trust["Condition"]["ArnLike"]).endswith(':knowledge-base/*"]]}}')


def test_the_key_lets_s3_vectors_index_in_the_background(template: Template) -> None:
    """Compare with "Data protection and encryption in S3 Vectors" of the S3 User Guide."""
    policy = only(template, "AWS::KMS::Key")["Properties"]["KeyPolicy"]["Statement"]
    (statement,) = [
        each for each in policy if each["Principal"] == {"Service": "indexing.s3vectors.amazonaws.com"}
    ]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert json.dumps(statement["Condition"]["ArnLike"]).endswith(':bucket/*"]]}}')


def test_the_index_is_as_bedrock_needs_it(template: Template) -> None:
    index = only(template, "AWS::S3Vectors::Index")["Properties"]
    base = only(template, "AWS::Bedrock::KnowledgeBase")["Properties"]
    model = base["KnowledgeBaseConfiguration"]["VectorKnowledgeBaseConfiguration"]
    dimensions = model["EmbeddingModelConfiguration"]["BedrockEmbeddingModelConfiguration"]
    assert (index["DataType"], index["DistanceMetric"]) == ("float32", "cosine")
    assert index["Dimension"] == dimensions["Dimensions"] == 1024
    assert index["MetadataConfiguration"]["NonFilterableMetadataKeys"] == [
        "AMAZON_BEDROCK_TEXT",
        "AMAZON_BEDROCK_METADATA",
    ]
    assert "IndexName" not in index
    assert base["StorageConfiguration"]["S3VectorsConfiguration"].keys() == {"IndexArn"}


def test_the_policy_is_there_before_the_base_and_until_after_the_data_source(template: Template) -> None:
    (policy,) = template.find_resources("AWS::IAM::Policy")
    for kind in ("AWS::Bedrock::KnowledgeBase", "AWS::Bedrock::DataSource"):
        assert policy in only(template, kind)["DependsOn"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("AWS::Bedrock::DataSource", {"chunk_tokens": 400}),
        ("AWS::Bedrock::DataSource", {"overlap_percent": 10}),
        ("AWS::Bedrock::KnowledgeBase", {"dimension": 512}),
        ("AWS::Bedrock::KnowledgeBase", {"embedding_model_id": "cohere.embed-v4:0"}),
    ],
)
def test_what_is_replaced_gets_another_name_and_nothing_else_does(
    kind: str, changes: dict[str, Any], tmp_path: Path, template: Template
) -> None:
    changed = Template.from_stack(build(tmp_path, **changes)[0])
    kinds = {"AWS::Bedrock::DataSource", "AWS::Bedrock::KnowledgeBase"}
    renamed = {
        each
        for each in kinds
        if only(changed, each)["Properties"]["Name"] != only(template, each)["Properties"]["Name"]
    }
    assert renamed == {kind}


@pytest.mark.parametrize(
    ("lifetime", "deletion", "policy"),
    [(DataLifetime.TEMPORARY, "Delete", "DELETE"), (DataLifetime.RETAINED, "RetainExceptOnCreate", "RETAIN")],
)
def test_the_lifetime_decides_what_becomes_of_the_vectors(
    lifetime: DataLifetime, deletion: str, policy: str, tmp_path: Path
) -> None:
    template = Template.from_stack(build(tmp_path, lifetime=lifetime)[0])
    for kind in ("AWS::S3Vectors::Index", "AWS::S3Vectors::VectorBucket"):
        assert only(template, kind)["DeletionPolicy"] == deletion
    assert only(template, "AWS::Bedrock::DataSource")["Properties"]["DataDeletionPolicy"] == policy


def test_an_inference_profile_is_invoked_through_itself(tmp_path: Path) -> None:
    template = Template.from_stack(build(tmp_path, embedding_model_id="eu.cohere.embed-v4:0")[0])
    base = json.dumps(only(template, "AWS::Bedrock::KnowledgeBase")["Properties"])
    assert ":inference-profile/eu.cohere.embed-v4:0" in base
    assert ":inference-profile/eu.cohere.embed-v4:0" in json.dumps(only(template, "AWS::IAM::Policy"))


def ingestion(tmp_path: Path, **changes: Any) -> Template:
    stack, base = build(tmp_path)
    arguments: dict[str, Any] = {
        "knowledge_base": base,
        "manifest_bucket": base.bucket,
        "manifest_prefix": "knowledge",
        "metric_namespace": "desk/knowledge",
        "lifetime": DataLifetime.TEMPORARY,
        "log_retention": logs.RetentionDays.ONE_WEEK,
    }
    DocumentIngestion(stack, "Ingestion", **{**arguments, **changes})
    return Template.from_stack(stack)


def test_a_batch_without_a_window_is_as_small_as_lambda_demands(tmp_path: Path) -> None:
    """Check the limit of CreateEventSourceMapping: more than ten messages need a window of a second."""
    sizes = {}
    for seconds in (0, 20):
        source = only(
            ingestion(tmp_path / str(seconds), batch_window=Duration.seconds(seconds)),
            "AWS::Lambda::EventSourceMapping",
        )["Properties"]
        sizes[source["MaximumBatchingWindowInSeconds"]] = source["BatchSize"]
    assert sizes == {0: 10, 20: 10_000}


def test_without_a_topic_no_alarm_has_an_action_and_nothing_is_published(tmp_path: Path) -> None:
    template = ingestion(tmp_path)
    assert len(template.find_resources("AWS::CloudWatch::Alarm")) == 4
    template.resource_properties_count_is("AWS::CloudWatch::Alarm", {"AlarmActions": Match.any_value()}, 0)
    assert "sns:Publish" not in json.dumps(template.to_json())


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nightly is '2:30', but must be a time in UTC such as 02:30"):
        ingestion(tmp_path, nightly="2:30")


@pytest.fixture(params=WITH_BASE)
def knowledge(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> dict[str, Any]:
    resources: dict[str, Any] = assemblies[request.param].templates["Knowledge"]["Resources"]
    return resources


def of(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources.values() if each["Type"] == kind]


def test_the_bucket_tells_eventbridge_without_a_custom_resource(knowledge: dict[str, Any]) -> None:
    (bucket,) = of(knowledge, "AWS::S3::Bucket")
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    custom = {each["Type"] for each in knowledge.values() if each["Type"].startswith("Custom::")}
    assert custom <= {"Custom::S3AutoDeleteObjects"}


def test_what_arrives_reaches_the_function_through_the_queue(knowledge: dict[str, Any]) -> None:
    (rule,) = of(knowledge, "AWS::Events::Rule")
    assert rule["EventPattern"]["detail-type"] == ["Object Created", "Object Deleted"]
    assert rule["EventPattern"]["detail"]["object"] == {"key": [{"prefix": "documents/"}]}
    (source,) = of(knowledge, "AWS::Lambda::EventSourceMapping")
    assert source["EventSourceArn"] == rule["Targets"][0]["Arn"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    (source_of_base,) = of(knowledge, "AWS::Bedrock::DataSource")
    prefixes = source_of_base["DataSourceConfiguration"]["S3Configuration"]["InclusionPrefixes"]
    assert prefixes == ["documents/"], "S3 takes exactly one"


def test_no_message_is_lost_while_a_job_runs(knowledge: dict[str, Any]) -> None:
    (queue,) = [each for each in of(knowledge, "AWS::SQS::Queue") if "RedrivePolicy" in each]
    (function,) = [
        each for each in of(knowledge, "AWS::Lambda::Function") if each["Handler"] == "handler.handler"
    ]
    (source,) = of(knowledge, "AWS::Lambda::EventSourceMapping")
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 20
    assert queue["VisibilityTimeout"] >= function["Timeout"] + source["MaximumBatchingWindowInSeconds"]
    assert queue["SqsManagedSseEnabled"]


def test_no_service_but_the_rule_may_send(knowledge: dict[str, Any]) -> None:
    (rule,) = (name for name, each in knowledge.items() if each["Type"] == "AWS::Events::Rule")
    for policy in of(knowledge, "AWS::SQS::QueuePolicy"):
        allowed = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
        assert [each["Principal"] for each in allowed] == [{"Service": "events.amazonaws.com"}]
        assert allowed[0]["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule, "Arn"]}}}


def test_the_alarm_watches_the_metric_that_the_function_prints(knowledge: dict[str, Any]) -> None:
    (alarm,) = [each for each in of(knowledge, "AWS::CloudWatch::Alarm") if each["MetricName"] == "Problems"]
    (function,) = [
        each for each in of(knowledge, "AWS::Lambda::Function") if each["Handler"] == "handler.handler"
    ]
    assert alarm["Namespace"] == function["Environment"]["Variables"]["METRIC_NAMESPACE"]
    assert alarm["Namespace"].endswith("/knowledge")
    assert "Dimensions" not in alarm
    assert alarm["TreatMissingData"] == "ignore"


def test_the_function_is_given_every_variable_that_it_reads_and_no_other(knowledge: dict[str, Any]) -> None:
    (function,) = [
        each for each in of(knowledge, "AWS::Lambda::Function") if each["Handler"] == "handler.handler"
    ]
    names = World.environment(_Anything())
    assert function["Environment"]["Variables"].keys() == names.keys()


class _Anything:
    """An object with every attribute."""

    def __getattr__(self, name: str) -> str:
        return name


def test_who_searches_may_retrieve_from_this_base_and_the_analysis_reads_manifests(
    assemblies: dict[str, Assembly],
) -> None:
    retrieving = set()
    for name, policy in assemblies["dev"].resources("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "bedrock:Retrieve" in json.dumps(statement["Action"]):
                retrieving.add(name.rpartition("Role")[0])
                assert "KnowledgeBaseArn" in json.dumps(statement["Resource"])
    assert retrieving == {"Assistant/AppTask", "Review/EvaluationJob", "Review/Job"}
    analysis = json.dumps(assemblies["dev"].templates["Analysis"])
    assert "/knowledge/*" in analysis


@pytest.mark.parametrize("profile", WITH_BASE)
def test_the_assistant_writes_drafted_documents_drafts_and_their_cases_and_nothing_else(
    profile: str, assemblies: dict[str, Assembly]
) -> None:
    policies = assemblies[profile].resources("AWS::IAM::Policy")
    keys = {
        resource["Fn::Join"][1][-1]
        for name, policy in policies.items()
        if name.startswith("Assistant/")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "s3:PutObject"
        for resource in statement["Resource"]
    }
    assert keys == {"/documents/drafted/*", "/evaluation/gaps.jsonl", "/knowledge/drafts/*"}


def test_packaged_documents_leave_no_trace_of_the_base(assemblies: dict[str, Assembly]) -> None:
    text = json.dumps(assemblies["everything"].templates)
    assert "FMOPS_KNOWLEDGE_BASE_ID" not in text
    assert "FMOPS_DOCUMENTS_BUCKET" not in text
    assert "knowledge/drafts" not in text
    assert "bedrock:Retrieve" not in text
    assert "s3vectors" not in text.casefold()


def test_documents_can_be_packaged_where_there_is_no_way_to_the_internet(tmp_path: Path) -> None:
    changes = {"network": {"egress": "endpoints"}, "knowledge": {"documents": "packaged"}}
    app.build({**context("dev", **changes), "aws:cdk:bundling-stacks": []}, str(tmp_path)).synth()
    foundation = (tmp_path / "Foundation.template.json").read_text()
    assert "bedrock-runtime" in foundation
    assert "bedrock-agent-runtime" not in foundation


def test_documents_that_cannot_be_published_stop_the_synthesis(tmp_path: Path) -> None:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "hail.md").write_text("title: Hail\nclassification: public\n---\nHail breaks glass.\n")
    check_documents(folder)
    (folder / "storm.md").write_text("title: Storm\n---\nStorms break roofs.\n")
    (folder / "tool.exe").write_bytes(b"MZ")
    with pytest.raises(SettingsError, match=r"Documents in knowledge/ cannot be published\.\n") as refused:
        check_documents(folder)
    assert {"storm.md", "tool.exe"} <= {line.partition(" ")[0] for line in str(refused.value).splitlines()}


def test_the_documents_of_this_repository_are_checked_whenever_it_is_synthesized(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise SettingsError("storm.md is refused")

    monkeypatch.setattr(app, "check_documents", refuse)
    for documents in ("knowledge_base", "packaged"):
        with pytest.raises(SettingsError, match="is refused"):
            app.build(context("dev", knowledge={"documents": documents}), str(tmp_path))
