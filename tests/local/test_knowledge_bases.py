"""Knowledge bases: what Bedrock asks of their role, what ingestion makes of files, and what Retrieve finds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.aws.cloudformation.provisioner import install
from local.aws.iam.permissions import Permissions
from local.aws.kernel.cloud import ACCOUNT, Cloud
from local.aws.server import LocalAws
from local.aws.services.bedrock_agent.retrieval import score
from tests.local.knowledge import MODEL, Shelf, pdf, trust, word

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "knowledge_bases.yaml").read_text())
NUMBERS = itertools.count()
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud that holds every call of a role to its policies."""
    with LocalAws(port=0, directory=tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture
def shelf(cloud: Cloud, request: pytest.FixtureRequest) -> Shelf:
    """An open knowledge base for one test."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = Shelf(cloud, f"{name}-{next(NUMBERS)}")
    made.grant()
    return made.open()


def refusal(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The status, the code and the message of an error."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    response: Any = refused.value.response
    return {"status": response["ResponseMetadata"]["HTTPStatusCode"], **response["Error"]}


def hold(case: dict[str, Any], call: Callable[..., Any], **arguments: Any) -> None:
    """Hold an answer to a row of the golden tables."""
    if case.get("taken"):
        call(**arguments)
        return
    found = refusal(call, **arguments)
    assert found["status"] == case.get("status", 400)
    assert case.get("message", "") in found["Message"]
    if "status" not in case:
        assert found["Code"] == "ValidationException"


# Roles


def test_a_base_needs_a_role_that_may_embed_and_reach_the_index(cloud: Cloud) -> None:
    shelf = Shelf(cloud, "role-checks")
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
def test_a_role_that_does_not_trust_bedrock_for_this_base_is_refused(cloud: Cloud, condition: Any) -> None:
    shelf = Shelf(cloud, f"trust-{next(iter(condition)).lower()}")
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


def test_customer_keys_are_used_under_the_role(cloud: Cloud) -> None:
    keys = [cloud.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    shelf = Shelf(cloud, "keys", key=keys[0])
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


def test_no_run_of_a_base_is_denied_or_leaves_a_documented_permission_unused(cloud: Cloud) -> None:
    shelf = Shelf(cloud, "unused")
    shelf.grant()
    shelf.open()
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    shelf.put("hail.txt", "Hail is not covered.")
    shelf.ingest()
    shelf.retrieve("hail")
    permissions = cloud.state(Permissions)
    assert [each for each in permissions.denials if each.role == "unused"] == []
    assert [each.action for each in permissions.unused() if each.role == "unused"] == []


# Knowledge bases and data sources


@pytest.mark.parametrize("case", GOLDEN["bases"], ids=lambda case: str(case)[:90])
def test_bases_are_taken_as_documented(cloud: Cloud, case: dict[str, Any]) -> None:
    name = f"bases-{next(NUMBERS)}"
    shelf = Shelf(cloud, name)
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
    hold(case, cloud.client("bedrock-agent", config=UNCHECKED).create_knowledge_base, **request)


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
    cloud: Cloud, policy: str, left: int, whole: bool
) -> None:
    shelf = Shelf(cloud, f"policy-{policy.lower()}-{str(whole).lower()}")
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


# Ingestion


def body_of(case: dict[str, Any]) -> bytes:
    if "pdf" in case:
        return pdf(*case["pdf"], password=case.get("password"))
    return str(case["body"]).encode()


def sidecar_of(case: dict[str, Any]) -> Any:
    if "sidecar_text" in case:
        return str(case["sidecar_text"]).encode()
    if "sidecar_bytes" in case:
        empty = json.dumps({"metadataAttributes": {"title": ""}}, separators=(",", ":"))
        return empty.replace('""', '"' + "x" * (case["sidecar_bytes"] - len(empty)) + '"').encode()
    return case.get("sidecar")


@pytest.mark.parametrize("case", GOLDEN["files"], ids=lambda case: case["key"])
def test_files_are_taken_as_documented(shelf: Shelf, case: dict[str, Any]) -> None:
    sidecar = sidecar_of(case)
    shelf.put(case["key"], body_of(case), case["kind"], sidecar)
    job = shelf.ingest()
    scanned = {"numberOfDocumentsScanned": 1}
    if sidecar is not None:
        scanned["numberOfMetadataDocumentsScanned"] = 1
    counted = {case["counted"]: 1} if "counted" in case else {}
    assert (job["status"], job["statistics"]) == ("COMPLETE", {**scanned, **counted})
    assert shelf.documents() == ({case["key"]: case["status"]} if "status" in case else {})
    assert sorted(each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()) == case.get("texts", [])
    reasons = job.get("failureReasons", [])
    assert len(reasons) == ("reason" in case)
    assert all(case["reason"] in each for each in reasons)


def test_a_file_over_50_megabytes_is_ignored(shelf: Shelf) -> None:
    shelf.put("large.txt", b"x" * (50 * 1024 * 1024 + 1))
    job = shelf.ingest()
    assert job["statistics"] == {"numberOfDocumentsScanned": 1}
    assert "MaximumFileSizeSupported: 52428800 bytes" in job["failureReasons"][0]
    assert shelf.documents() == {}


def test_a_second_job_takes_only_what_changed(shelf: Shelf) -> None:
    shelf.put("same.txt", "Storms are covered.", sidecar={"audience": "public"})
    shelf.put("text.txt", "Hail is covered.", sidecar={"audience": "public"})
    shelf.put("sidecar.txt", "Floods are covered.", sidecar={"audience": "public"})
    shelf.put("gone.txt", "Fire is covered.")
    first = shelf.ingest()
    assert first["statistics"]["numberOfNewDocumentsIndexed"] == 4
    before = {each["AMAZON_BEDROCK_TEXT"]: each["key"] for each in shelf.stored()}

    shelf.put("text.txt", "Hail is not covered.")
    shelf.put("sidecar.txt", "Floods are covered.", sidecar={"audience": "staff"})
    shelf.put("new.txt", "Theft is covered.")
    shelf.remove("gone.txt")
    second = shelf.ingest()
    assert second["statistics"] == {
        "numberOfDocumentsScanned": 4,
        "numberOfMetadataDocumentsScanned": 3,
        "numberOfNewDocumentsIndexed": 1,
        "numberOfModifiedDocumentsIndexed": 1,
        "numberOfMetadataDocumentsModified": 1,
        "numberOfDocumentsDeleted": 1,
    }
    stored = {each["AMAZON_BEDROCK_TEXT"]: each for each in shelf.stored()}
    assert set(stored) == {
        "Storms are covered.",
        "Hail is not covered.",
        "Floods are covered.",
        "Theft is covered.",
    }
    assert stored["Floods are covered."]["audience"] == "staff"
    assert stored["Storms are covered."]["key"] == before["Storms are covered."]

    third = shelf.ingest()
    assert third["statistics"] == {"numberOfDocumentsScanned": 4, "numberOfMetadataDocumentsScanned": 3}
    assert shelf.stored() == list(stored.values())


def test_a_document_whose_sidecar_grew_too_large_vanishes(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.", sidecar={"audience": "public"})
    shelf.ingest()
    shelf.put("hail.txt", "Hail is covered.", sidecar={"audience": "x" * 1100})
    job = shelf.ingest()
    assert (job["status"], job["statistics"].get("numberOfDocumentsFailed", 0)) == ("COMPLETE", 0)
    assert (shelf.documents(), shelf.stored()) == ({}, [])


def test_a_failed_document_is_tried_again_and_keeps_its_old_vectors_until_then(shelf: Shelf) -> None:
    shelf.put("hail.pdf", pdf("Hail"), "application/pdf")
    shelf.ingest()
    shelf.put("hail.pdf", b"torn", "application/pdf")
    for _ in range(2):
        assert shelf.ingest()["statistics"]["numberOfDocumentsFailed"] == 1
        assert shelf.documents() == {"hail.pdf": "FAILED"}
        assert [each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()] == ["Hail"]
    shelf.put("hail.pdf", pdf("Storm"), "application/pdf")
    shelf.ingest()
    assert shelf.documents() == {"hail.pdf": "INDEXED"}
    assert [each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()] == ["Storm"]


def test_an_index_that_counts_the_text_as_filterable_refuses_long_chunks(cloud: Cloud) -> None:
    """The list says INDEXED, as public reports have it; only the job tells."""
    shelf = Shelf(cloud, "filterable-text", hidden=["other"])
    shelf.grant()
    large = {
        "chunkingStrategy": "FIXED_SIZE",
        "fixedSizeChunkingConfiguration": {"maxTokens": 600, "overlapPercentage": 1},
    }
    shelf.open(vectorIngestionConfiguration={"chunkingConfiguration": large})
    shelf.put("long.txt", "covered hail " * 400)
    job = shelf.ingest()
    assert (job["status"], job["statistics"]["numberOfDocumentsFailed"]) == ("COMPLETE", 1)
    assert "Filterable metadata must have at most 2048 bytes (Service: S3Vectors" in job["failureReasons"][0]
    assert (shelf.documents(), shelf.stored()) == ({"long.txt": "INDEXED"}, [])
    assert shelf.ingest()["statistics"]["numberOfDocumentsFailed"] == 1


def test_vectors_carry_what_bedrock_writes(shelf: Shelf) -> None:
    shelf.put(
        "guide.pdf",
        pdf("One hail", "Two storms"),
        "application/pdf",
        {"audience": "public", "title": "Guide"},
    )
    shelf.ingest()
    first, second = shelf.stored()
    assert len(first.pop("key")) == 36
    assert json.loads(first.pop("AMAZON_BEDROCK_METADATA")) == {"source": shelf.uri("guide.pdf")}
    assert first == {
        "audience": "public",
        "title": "Guide",
        "AMAZON_BEDROCK_TEXT": "One hail",
        "x-amz-bedrock-kb-source-uri": shelf.uri("guide.pdf"),
        "x-amz-bedrock-kb-data-source-id": shelf.source_id,
        "x-amz-bedrock-kb-document-page-number": 0.0,
    }
    assert isinstance(first["x-amz-bedrock-kb-document-page-number"], float)
    assert second["x-amz-bedrock-kb-document-page-number"] == 1.0


def test_a_sidecar_cannot_say_where_a_document_comes_from(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.", sidecar={"x-amz-bedrock-kb-source-uri": "s3://elsewhere/x"})
    shelf.ingest()
    assert shelf.stored()[0]["x-amz-bedrock-kb-source-uri"] == shelf.uri("hail.txt")


def test_only_the_prefix_is_read(shelf: Shelf) -> None:
    shelf.s3.put_object(Bucket=shelf.name, Key="elsewhere/hail.txt", Body=b"Hail", ContentType="text/plain")
    shelf.s3.put_object(Bucket=shelf.name, Key="documents/folder/", Body=b"")
    assert shelf.ingest()["statistics"] == {}


def test_a_word_document_is_read_with_its_tables(shelf: Shelf) -> None:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    shelf.put("hail.docx", word("Hail", "is covered", table=("up to", "500")), kind)
    shelf.ingest()
    assert shelf.stored()[0]["AMAZON_BEDROCK_TEXT"] == "Hail\nis covered\nup to\t500"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a.txt", "b.txt", "c.txt"]),
        st.sampled_from(["put", "put", "restrict", "overload", "remove", "ingest"]),
        st.sampled_from(["Hail", "Storm", "Flood"]),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_after_a_job_the_index_holds_what_the_folder_holds(
    shelf: Shelf, steps: list[tuple[str, str, str]]
) -> None:
    folder: dict[str, tuple[str, str]] = {}
    for key in ("a.txt", "b.txt", "c.txt"):
        shelf.remove(key)
    for key, step, text in steps:
        if step == "put":
            shelf.put(key, text, sidecar={"audience": "public"})
            folder[key] = (text, "public")
        elif step in ("restrict", "overload") and key in folder:
            audience = "staff" if step == "restrict" else "x" * 1100
            shelf.put(key, folder[key][0], sidecar={"audience": audience})
            folder[key] = (folder[key][0], audience)
        elif step == "remove":
            shelf.remove(key)
            folder.pop(key, None)
        elif step == "ingest":
            shelf.ingest()
    shelf.ingest()
    visible = {key: each for key, each in folder.items() if len(each[1]) < 1000}
    assert shelf.documents() == dict.fromkeys(visible, "INDEXED")
    stored = [
        (
            each["x-amz-bedrock-kb-source-uri"].rpartition("/")[2],
            each["AMAZON_BEDROCK_TEXT"],
            each["audience"],
        )
        for each in shelf.stored()
    ]
    assert sorted(stored) == sorted((key, *each) for key, each in visible.items())


# Jobs


@pytest.fixture
def held(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """The work of jobs, which waits until a test does it."""
    work: list[Callable[[], None]] = []
    monkeypatch.setattr(shelf.state, "run", work.append)
    return work


def test_one_job_at_a_time_for_all_sources_of_a_base(shelf: Shelf, held: list[Callable[[], None]]) -> None:
    other = shelf.agent.create_data_source(**shelf.source_request(name="other"))["dataSource"]["dataSourceId"]
    job = shelf.agent.start_ingestion_job(**shelf.ids)["ingestionJob"]
    assert job["status"] == "STARTING"
    for source in (shelf.source_id, other):
        found = refusal(shelf.agent.start_ingestion_job, knowledgeBaseId=shelf.base_id, dataSourceId=source)
        assert (found["status"], found["Code"]) == (409, "ConflictException")
        assert "maximum number of concurrent ingestion jobs per knowledge base: 1" in found["Message"]
    for call in (shelf.agent.delete_data_source, shelf.agent.delete_knowledge_base):
        named = shelf.ids if call == shelf.agent.delete_data_source else {"knowledgeBaseId": shelf.base_id}
        assert refusal(call, **named)["Code"] == "ConflictException"
    held.pop()()
    assert shelf.job(job["ingestionJobId"])["status"] == "COMPLETE"
    shelf.agent.start_ingestion_job(**shelf.ids)


def test_a_job_starts_every_ten_seconds_at_most(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: the quota of StartIngestionJob, 0.1 requests a second."""
    moment = [1000.0]
    monkeypatch.setattr(shelf.state, "clock", lambda: moment[0])
    monkeypatch.setattr(shelf.state, "seconds_between_starts", 10.0)
    monkeypatch.setattr(shelf.state, "_last_start", None)
    shelf.ingest()
    moment[0] += 9.9
    found = refusal(shelf.agent.start_ingestion_job, **shelf.ids)
    assert (found["status"], found["Code"]) == (429, "ThrottlingException")
    moment[0] += 0.1
    assert shelf.ingest()["status"] == "COMPLETE"


def test_a_job_that_is_stopped_leaves_the_rest(shelf: Shelf, held: list[Callable[[], None]]) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    job = shelf.agent.start_ingestion_job(**shelf.ids)["ingestionJob"]["ingestionJobId"]
    stopped = shelf.agent.stop_ingestion_job(**shelf.ids, ingestionJobId=job)["ingestionJob"]
    assert stopped["status"] == "STOPPING"
    held.pop()()
    assert (shelf.job(job)["status"], shelf.stored()) == ("STOPPED", [])
    again = refusal(shelf.agent.stop_ingestion_job, **shelf.ids, ingestionJobId=job)
    assert again["Code"] == "ConflictException"


def test_jobs_are_listed_by_status_and_page(shelf: Shelf) -> None:
    started = [shelf.ingest()["ingestionJobId"] for _ in range(2)]
    shelf.grant("s3:ListBucket")
    failed = shelf.ingest()["ingestionJobId"]
    ask = shelf.agent.list_ingestion_jobs
    listed = ask(**shelf.ids, maxResults=2)
    assert [each["ingestionJobId"] for each in listed["ingestionJobSummaries"]] == [failed, started[1]]
    rest = ask(**shelf.ids, maxResults=2, nextToken=listed["nextToken"])["ingestionJobSummaries"]
    assert [each["ingestionJobId"] for each in rest] == [started[0]]
    only = ask(**shelf.ids, filters=[{"attribute": "STATUS", "operator": "EQ", "values": ["FAILED"]}])
    assert [each["ingestionJobId"] for each in only["ingestionJobSummaries"]] == [failed]


def test_documents_are_asked_for_by_name(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    names = [{"dataSourceType": "S3", "s3": {"uri": shelf.uri(key)}} for key in ("hail.txt", "unknown.txt")]
    found = shelf.agent.get_knowledge_base_documents(**shelf.ids, documentIdentifiers=names)[
        "documentDetails"
    ]
    assert [each["status"] for each in found] == ["INDEXED", "NOT_FOUND"]


# Retrieve


@pytest.fixture(scope="module")
def library(cloud: Cloud) -> Shelf:
    """A knowledge base with the documents of the golden filters."""
    shelf = Shelf(cloud, "library")
    shelf.grant()
    shelf.open()
    for key, attributes in GOLDEN["documents"].items():
        shelf.put(key, f"Hail of {key}", sidecar=attributes)
    shelf.ingest()
    return shelf


@pytest.mark.parametrize("case", GOLDEN["filters"], ids=lambda case: json.dumps(case["filter"]))
def test_filters_accept_what_is_documented(library: Shelf, case: dict[str, Any]) -> None:
    document = json.loads(json.dumps(case["filter"]).replace("{bare.txt}", library.uri("bare.txt")))
    client = library.cloud.client("bedrock-agent-runtime", config=UNCHECKED)
    ask = {
        "knowledgeBaseId": library.base_id,
        "retrievalQuery": {"text": "hail"},
        "retrievalConfiguration": {"vectorSearchConfiguration": {"filter": document}},
    }
    if case.get("refused"):
        assert refusal(client.retrieve, **ask)["Code"] == "ValidationException"
        return
    found = client.retrieve(**ask)["retrievalResults"]
    names = {each["location"]["s3Location"]["uri"].rpartition("/")[2] for each in found}
    assert names == set(case["accepts"])


@pytest.mark.parametrize("case", GOLDEN["queries"], ids=lambda case: str(case["params"])[:90])
def test_queries_are_answered_as_documented(library: Shelf, case: dict[str, Any]) -> None:
    params = {"knowledgeBaseId": library.base_id, **case["params"]}
    query = params["retrievalQuery"]
    if isinstance(query.get("text"), dict):
        params["retrievalQuery"] = {"text": query["text"]["repeat"] * query["text"]["times"]}
    hold(case, library.cloud.client("bedrock-agent-runtime", config=UNCHECKED).retrieve, **params)


def test_a_result_has_the_chunk_its_place_and_its_metadata(library: Shelf) -> None:
    best, *_ = library.retrieve("Hail of staff.txt")
    (stored,) = (each for each in library.stored() if each["AMAZON_BEDROCK_TEXT"] == "Hail of staff.txt")
    assert best["content"] == {"type": "TEXT", "text": "Hail of staff.txt"}
    assert best["location"] == {"type": "S3", "s3Location": {"uri": library.uri("staff.txt")}}
    assert best["score"] == pytest.approx(1.0, abs=1e-5)
    assert best["metadata"] == {
        "audience": "staff",
        "year": 2024,
        "draft": True,
        "x-amz-bedrock-kb-source-uri": library.uri("staff.txt"),
        "x-amz-bedrock-kb-data-source-id": library.source_id,
        "x-amz-bedrock-kb-chunk-id": stored["key"],
    }


def test_results_come_nearest_first_and_in_pages(library: Shelf) -> None:
    client = library.cloud.client("bedrock-agent-runtime")
    ask = {
        "knowledgeBaseId": library.base_id,
        "retrievalQuery": {"text": "Hail of public.txt"},
        "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 2}},
    }
    first = client.retrieve(**ask)
    second = client.retrieve(**ask, nextToken=first["nextToken"])
    found = [*first["retrievalResults"], *second["retrievalResults"]]
    assert len(found) == 3 and "nextToken" not in second
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    assert len({each["metadata"]["x-amz-bedrock-kb-chunk-id"] for each in found}) == 3


def test_five_results_are_the_default(shelf: Shelf) -> None:
    for number in range(7):
        shelf.put(f"{number}.txt", f"Hail number {number}")
    shelf.ingest()
    assert len(shelf.retrieve("hail")) == 5
    assert len(shelf.retrieve("hail", numberOfResults=7)) == 7


def test_scores_are_similarities() -> None:
    assert [score(each, "cosine") for each in (0.0, 0.25, 2.0)] == [1.0, 0.75, -1.0]
    assert [score(each, "euclidean") for each in (0.0, 1.0)] == [1.0, 0.5]


# CloudFormation


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


def test_cloudformation_creates_a_knowledge_base_with_names_of_its_own(cloud: Cloud) -> None:
    """Source: "Return values" of the types in the CloudFormation Template Reference."""
    report = install(cloud)
    formation = cloud.client("cloudformation")
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
    tags = cloud.client("s3vectors").list_tags_for_resource(resourceArn=bucket)["tags"]
    assert tags["team"] == "x"
    base = cloud.client("bedrock-agent").get_knowledge_base(knowledgeBaseId=out["BaseRef"])["knowledgeBase"]
    assert base["storageConfiguration"]["s3VectorsConfiguration"]["indexArn"] == out["IndexRef"]


def test_a_stack_fails_whose_base_comes_before_its_role_has_a_policy(cloud: Cloud) -> None:
    install(cloud)
    broken = template("early")
    del broken["Resources"]["RolePolicy"]
    del broken["Resources"]["Base"]["DependsOn"]
    found = refusal(
        cloud.client("cloudformation").create_stack, StackName="Early", TemplateBody=json.dumps(broken)
    )
    assert "Base (AWS::Bedrock::KnowledgeBase)" in found["Message"]
    assert "is not able to call specified bedrock embedding model" in found["Message"]
