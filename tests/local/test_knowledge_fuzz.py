"""No request to S3 Vectors or to a knowledge base ends in a fault of ours, whatever its JSON holds.

100 requests of each kind in an ordinary run; ``KNOWLEDGE_FUZZ=5000`` for a long one.
"""

from __future__ import annotations

import json
import os
from typing import Any

import botocore.session
import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY
from tests.local.knowledge import Shelf

EXAMPLES = int(os.environ.get("KNOWLEDGE_FUZZ", "100"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
VECTORS = (
    "CreateVectorBucket",
    "CreateIndex",
    "PutVectors",
    "QueryVectors",
    "ListVectors",
    "PutVectorBucketPolicy",
)
BASES = (
    "CreateKnowledgeBase",
    "UpdateKnowledgeBase",
    "CreateDataSource",
    "UpdateDataSource",
    "ListIngestionJobs",
)
DOCUMENTS = ("ListKnowledgeBaseDocuments", "GetKnowledgeBaseDocuments")
CALLS = [
    *(("s3vectors", "s3vectors", name) for name in VECTORS),
    *(("bedrock-agent", "bedrock", name) for name in (*BASES, *DOCUMENTS)),
    ("bedrock-agent-runtime", "bedrock", "Retrieve"),
]
WORDS = st.sampled_from(["", "x", "index", "NaN", "s3://b/k", "ü", "x" * 300, "arn:aws:s3vectors:::x", "7"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def shelf(cloud: Cloud) -> Shelf:
    made = Shelf(cloud, "fuzzed-shelf")
    made.grant()
    return made.open()


def like(shape: Any, known: dict[str, str], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that are almost always of a shape, and sometimes of none."""
    fitting: st.SearchStrategy[Any] = JSON
    kind = shape.type_name
    if kind == "structure" and not shape.is_document_type and depth < 6:
        members = {
            name: st.just(known[name]) if name in known else like(member, known, depth + 1)
            for name, member in shape.members.items()
            if member.serialization.get("location") is None
        }
        required = {name: members[name] for name in shape.required_members if name in members}
        optional = {name: each for name, each in members.items() if name not in required}
        fitting = st.fixed_dictionaries(required, optional=optional)
    elif kind == "list" and depth < 6:
        fitting = st.lists(like(shape.member, known, depth + 1), max_size=3)
    elif kind == "string":
        fitting = st.one_of(st.sampled_from(shape.enum), WORDS) if shape.enum else WORDS
    elif kind in ("integer", "long"):
        fitting = st.integers(-1, 5000)
    elif kind in ("float", "double"):
        fitting = st.floats()
    elif kind == "boolean":
        fitting = st.booleans()
    return st.one_of(fitting, fitting, fitting, JSON) if depth else fitting


def send(cloud: Cloud, scope: str, model: Any, body: Any, known: dict[str, str]) -> urllib3.BaseHTTPResponse:
    signed = f"AWS4-HMAC-SHA256 Credential={ADMIN_ACCESS_KEY}/20261128/us-east-1/{scope}/aws4_request"
    return urllib3.request(
        model.http["method"],
        cloud.endpoint + model.http["requestUri"].format_map(known),
        body=json.dumps(body).encode(),
        headers={
            "Authorization": f"{signed}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/json",
        },
    )


@pytest.mark.parametrize(("service", "scope", "operation"), CALLS)
def test_any_request_is_answered(shelf: Shelf, service: str, scope: str, operation: str) -> None:
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    places = {"indexArn": shelf.index, "knowledgeBaseId": shelf.base_id, "dataSourceId": shelf.source_id}
    known = {**places, "roleArn": shelf.role}

    @FUZZ
    @given(like(model.input_shape, known))
    def answered(body: Any) -> None:
        answer = send(shelf.cloud, scope, model, body, places)
        assert answer.status != 500, (body, answer.data)

    answered()


@pytest.mark.parametrize("body", ["null", "[]", '"text"', "7", "{", ""])
def test_a_body_that_is_no_object_is_refused(cloud: Cloud, body: str) -> None:
    signed = f"AWS4-HMAC-SHA256 Credential={ADMIN_ACCESS_KEY}/20261128/us-east-1/s3vectors/aws4_request"
    headers = {
        "Authorization": f"{signed}, SignedHeaders=host, Signature=0",
        "Content-Type": "application/json",
    }
    answer = urllib3.request("POST", f"{cloud.endpoint}/GetIndex", body=body.encode(), headers=headers)
    assert answer.status == 400
