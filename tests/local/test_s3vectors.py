"""S3 Vectors answers as documented, and its search finds what a loop over all vectors finds."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from local.aws.kernel.api import ServiceError
from local.aws.kernel.cloud import ACCOUNT, Cloud
from local.aws.vectors import filters
from local.aws.vectors.index import SPARE, SPARSE, Vectors

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "s3vectors.yaml").read_text())
NUMBERS_OF_ROLES = itertools.count()
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1})
EXAMPLES = int(os.environ.get("VECTORS_FUZZ", "150"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def vectors(cloud: Cloud) -> Any:
    """Return a client that sends what it is given, as the service may be sent anything."""
    return cloud.client("s3vectors", config=UNCHECKED)


def make_index(client: Any, bucket: str, *, metric: str = "cosine", dimension: int = 2) -> str:
    """Return the ARN of an index in a new bucket. Its key `text` cannot be filtered."""
    client.create_vector_bucket(vectorBucketName=bucket)
    arn: str = client.create_index(
        vectorBucketName=bucket,
        indexName="index",
        dataType="float32",
        dimension=dimension,
        distanceMetric=metric,
        metadataConfiguration={"nonFilterableMetadataKeys": ["text"]},
    )["indexArn"]
    return arn


def put(client: Any, arn: str, **vectors: dict[str, Any]) -> None:
    """Put vectors of two dimensions that all point the same way."""
    client.put_vectors(
        indexArn=arn,
        vectors=[
            {"key": key, "data": {"float32": [1.0, 0.0]}, "metadata": each} for key, each in vectors.items()
        ],
    )


def repeated(given: Any) -> Any:
    """A value of the golden tables, in which ``repeat`` and ``times`` stand for a long text or list."""
    if isinstance(given, dict) and given.keys() == {"repeat", "times"}:
        return str(given["repeat"]) * given["times"]
    return {key: repeated(each) for key, each in given.items()} if isinstance(given, dict) else given


@contextlib.contextmanager
def answered(case: dict[str, Any]) -> Any:
    """Hold an answer to a row of the golden tables."""
    if case.get("taken"):
        yield
        return
    with pytest.raises(ClientError) as refused:
        yield
    error = refused.value.response["Error"]
    assert error["Code"] == case.get("code", "ValidationException")
    assert error["Message"] == case.get("message", error["Message"])


@pytest.fixture(scope="module")
def films(vectors: Any) -> str:
    arn = make_index(vectors, "films")
    put(vectors, arn, **GOLDEN["vectors"])
    return arn


def search(client: Any, arn: str, **more: Any) -> list[dict[str, Any]]:
    request = {"indexArn": arn, "topK": 10, "queryVector": {"float32": [1.0, 0.0]}, **more}
    return list(client.query_vectors(**request)["vectors"])


@pytest.mark.parametrize("case", GOLDEN["filters"], ids=lambda case: json.dumps(case["filter"]))
def test_filters_accept_what_is_documented(vectors: Any, films: str, case: dict[str, Any]) -> None:
    found = search(vectors, films, filter=case["filter"])
    assert {each["key"] for each in found} == set(case["accepts"])


@pytest.mark.parametrize("case", GOLDEN["refused_filters"], ids=lambda case: json.dumps(case["filter"]))
def test_filters_are_refused_as_documented(vectors: Any, films: str, case: dict[str, Any]) -> None:
    document = case["filter"]
    if isinstance(document, dict) and "repeat" in str(document):
        document = {"genre": {"$in": ["a"] * document["genre"]["$in"]["times"]}}
    with answered(case):
        search(vectors, films, filter=document)


@pytest.fixture(scope="module")
def golden(vectors: Any) -> str:
    return make_index(vectors, "golden")


@pytest.mark.parametrize("case", GOLDEN["puts"], ids=lambda case: str(case)[:90])
def test_vectors_are_taken_as_documented(vectors: Any, golden: str, case: dict[str, Any]) -> None:
    metadata = repeated(case.get("metadata", {}))
    if "keys" in case:
        metadata = {f"key-{number}": number for number in range(case["keys"])}
    vector = {"data": {"float32": case["data"]}, "metadata": metadata}
    keys = (
        [f"k{number}" for number in range(case["count"])]
        if "count" in case
        else [repeated(case.get("key", "k"))]
    )
    with answered(case):
        vectors.put_vectors(indexArn=golden, vectors=[{"key": key, **vector} for key in keys])


@pytest.mark.parametrize(
    "case", GOLDEN["requests"], ids=lambda case: f"{case['operation']} {case['params']}"[:90]
)
def test_requests_are_answered_as_documented(vectors: Any, golden: str, case: dict[str, Any]) -> None:
    params: dict[str, Any] = {
        name: value.replace("{arn}", golden) if isinstance(value, str) else value
        for name, value in case["params"].items()
    }
    if isinstance(params.get("keys"), dict):
        params["keys"] = [f"k{number}" for number in range(params["keys"]["times"])]
    with answered(case):
        getattr(vectors, case["operation"])(**params)


def test_a_refusal_of_one_vector_stores_none_and_names_its_place(vectors: Any) -> None:
    arn = make_index(vectors, "refusal")
    good, bad = {"float32": [1.0, 0.0]}, {"float32": [1.0]}
    with pytest.raises(ClientError) as refused:
        vectors.put_vectors(indexArn=arn, vectors=[{"key": "a", "data": good}, {"key": "b", "data": bad}])
    response: Any = refused.value.response
    assert response["fieldList"][0]["path"] == "vectors[1].data"
    assert vectors.list_vectors(indexArn=arn)["vectors"] == []


def test_buckets_and_indexes_show_what_they_were_made_with(vectors: Any) -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"
    encryption = {"sseType": "aws:kms", "kmsKeyArn": key}
    made = vectors.create_vector_bucket(
        vectorBucketName="shown", encryptionConfiguration=encryption, tags={"team": "claims"}
    )
    bucket = vectors.get_vector_bucket(vectorBucketName="shown")["vectorBucket"]
    assert (
        made["vectorBucketArn"]
        == bucket["vectorBucketArn"]
        == f"arn:aws:s3vectors:us-east-1:{ACCOUNT}:bucket/shown"
    )
    assert (bucket["encryptionConfiguration"], bucket["defaultIndexMode"]) == (encryption, "ENHANCED")
    arn = vectors.create_index(
        vectorBucketArn=bucket["vectorBucketArn"],
        indexName="index",
        dataType="float32",
        dimension=3,
        distanceMetric="euclidean",
        metadataConfiguration={"nonFilterableMetadataKeys": ["text"]},
    )["indexArn"]
    index = vectors.get_index(indexArn=arn)["index"]
    created = index.pop("creationTime")
    assert created >= bucket["creationTime"]
    assert index == {
        "vectorBucketName": "shown",
        "indexName": "index",
        "indexArn": f"{bucket['vectorBucketArn']}/index/index",
        "dataType": "float32",
        "dimension": 3,
        "distanceMetric": "euclidean",
        "metadataConfiguration": {"nonFilterableMetadataKeys": ["text"]},
        "encryptionConfiguration": encryption,  # the bucket's, since it names none of its own
        "indexMode": "ENHANCED",
    }
    vectors.untag_resource(resourceArn=made["vectorBucketArn"], tagKeys=["team"])
    vectors.tag_resource(resourceArn=arn, tags={"team": "desk"})
    assert vectors.list_tags_for_resource(resourceArn=made["vectorBucketArn"])["tags"] == {}
    assert vectors.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "desk"}


def test_a_bucket_is_emptied_and_deleted_with_its_policy(vectors: Any) -> None:
    arn = make_index(vectors, "deleted")
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    vectors.put_vector_bucket_policy(vectorBucketName="deleted", policy=policy)
    assert vectors.get_vector_bucket_policy(vectorBucketName="deleted")["policy"] == policy
    vectors.delete_index(indexArn=arn)
    vectors.delete_vector_bucket(vectorBucketName="deleted")
    listed = vectors.list_vector_buckets(prefix="dele")["vectorBuckets"]
    assert listed == []


def test_a_vector_comes_back_as_it_was_put_and_is_replaced_entirely(vectors: Any) -> None:
    arn = make_index(vectors, "replaced")
    vectors.put_vectors(
        indexArn=arn, vectors=[{"key": "a", "data": {"float32": [0.1, 3.0]}, "metadata": {"first": 1}}]
    )
    vectors.put_vectors(indexArn=arn, vectors=[{"key": "a", "data": {"float32": [0.3, 5.0]}}])
    found = vectors.get_vectors(indexArn=arn, keys=["a", "unknown"], returnData=True, returnMetadata=True)
    stored = [float(np.float32(0.3)), 5.0]
    assert found["vectors"] == [{"key": "a", "data": {"float32": stored}, "metadata": {}}]
    assert vectors.get_vectors(indexArn=arn, keys=["a"])["vectors"] == [{"key": "a"}]


def test_vectors_are_listed_in_pages_that_a_deletion_does_not_upset(vectors: Any) -> None:
    arn = make_index(vectors, "listed")
    put(vectors, arn, **{f"v{number}": {"number": number} for number in range(7)})
    first = vectors.list_vectors(indexArn=arn, maxResults=3, returnMetadata=True)
    vectors.delete_vectors(indexArn=arn, keys=["v0", "v4"])
    second = vectors.list_vectors(indexArn=arn, maxResults=3, nextToken=first["nextToken"])
    assert [each["metadata"]["number"] for each in first["vectors"]] == [0, 1, 2]
    assert [each["key"] for each in second["vectors"]] == ["v3", "v5", "v6"]
    assert "nextToken" not in second


def test_a_page_ends_after_a_megabyte(vectors: Any) -> None:
    arn = make_index(vectors, "megabyte")
    put(vectors, arn, **{f"v{number}": {"text": "x" * 30_000} for number in range(50)})
    first = vectors.list_vectors(indexArn=arn, returnMetadata=True)
    assert 30 < len(first["vectors"]) < 36
    assert len(vectors.list_vectors(indexArn=arn)["vectors"]) == 50


def test_segments_hold_every_vector_once(vectors: Any) -> None:
    arn = make_index(vectors, "segments")
    put(vectors, arn, **{f"v{number}": {} for number in range(10)})
    parts = [
        vectors.list_vectors(indexArn=arn, segmentCount=3, segmentIndex=number)["vectors"]
        for number in range(3)
    ]
    assert sorted(each["key"] for part in parts for each in part) == sorted(
        f"v{number}" for number in range(10)
    )


def test_search_answers_only_what_it_is_asked_for(vectors: Any, films: str) -> None:
    assert search(vectors, films, topK=1) == [{"key": "documentary"}]
    (found,) = search(vectors, films, topK=1, returnDistance=True, returnMetadata=True)
    assert found == {"key": "documentary", "distance": 0.0, "metadata": GOLDEN["vectors"]["documentary"]}


def test_full_text_search_is_not_here(vectors: Any, films: str) -> None:
    with pytest.raises(ClientError, match="queryTexts of QueryVectors") as refused:
        search(vectors, films, queryTexts=[{"text": "sad", "metadataKey": "tags"}])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize(
    ("metric", "distances"),
    [("cosine", [0.0, 1 - 1 / math.sqrt(2), 1.0, 2.0]), ("euclidean", [1.0, 1.0, 2.0, 3.0])],
)
def test_distances_are_those_of_the_metric(vectors: Any, metric: str, distances: list[float]) -> None:
    arn = make_index(vectors, f"metric-{metric}", metric=metric)
    given = {"same": [2.0, 0.0], "near": [1.0, 1.0], "across": [0.0, 1.0], "opposite": [-2.0, 0.0]}
    if metric == "euclidean":
        given["across"] = [1.0, 2.0]
    vectors.put_vectors(
        indexArn=arn, vectors=[{"key": key, "data": {"float32": data}} for key, data in given.items()]
    )
    found = search(vectors, arn, returnDistance=True)
    assert [each["key"] for each in found] == list(given)
    assert [each["distance"] for each in found] == pytest.approx(distances)


NUMBERS = st.floats(-1e6, 1e6, width=32)
VALUES = st.one_of(
    st.sampled_from(["a", "b", ""]), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 1.5]), st.booleans()
)
STORED = st.one_of(VALUES, st.lists(VALUES, max_size=3))
METADATA = st.dictionaries(st.sampled_from(["k", "l"]), STORED, max_size=2)
LEAVES = st.one_of(
    st.builds(lambda key, value: {key: value}, st.sampled_from(["k", "l"]), VALUES),
    st.builds(
        lambda key, name, value: {key: {name: value}},
        st.sampled_from(["k", "l", "m"]),
        st.sampled_from(["$eq", "$ne"]),
        VALUES,
    ),
    st.builds(
        lambda key, name, value: {key: {name: value}},
        st.sampled_from(["k", "l"]),
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        st.integers(-2, 2),
    ),
    st.builds(
        lambda key, name, value: {key: {name: value}},
        st.sampled_from(["k", "l"]),
        st.sampled_from(["$in", "$nin"]),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
    st.builds(lambda key, value: {key: {"$exists": value}}, st.sampled_from(["k", "m"]), st.booleans()),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda name, parts: {name: parts},
        st.sampled_from(["$and", "$or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from([f"v{number}" for number in range(12)]), st.booleans(), st.integers(0, 999), METADATA
    ),
    max_size=40,
)


COMPARED: dict[str, Callable[[float, float], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def naive(document: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Whether a filter accepts a vector, read off the documentation's table without any array."""

    def equal(stored: Any, wanted: Any) -> bool:
        members = stored if isinstance(stored, list) else [stored]
        return any(isinstance(each, bool) == isinstance(wanted, bool) and each == wanted for each in members)

    def holds(key: str, name: str, wanted: Any) -> bool:
        if name == "$exists":
            return bool((key in metadata) == wanted)
        if name in ("$ne", "$nin"):
            return not holds(key, {"$ne": "$eq", "$nin": "$in"}[name], wanted)
        if key not in metadata:
            return False
        stored = metadata[key]
        if name == "$eq":
            return equal(stored, wanted)
        if name == "$in":
            return any(equal(stored, each) for each in wanted)
        return (
            isinstance(stored, int | float)
            and not isinstance(stored, bool)
            and COMPARED[name](stored, wanted)
        )

    results = []
    for key, operand in document.items():
        if key in ("$and", "$or"):
            results.append({"$and": all, "$or": any}[key](naive(each, metadata) for each in operand))
        else:
            conditions = operand if isinstance(operand, dict) else {"$eq": operand}
            results += [holds(key, name, wanted) for name, wanted in conditions.items()]
    return all(results)


def distance_of(metric: str, one: Any, other: Any) -> float:
    left, right = [float(each) for each in one], [float(each) for each in other]
    if metric == "euclidean":
        return math.dist(left, right)
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return 1 - product / (math.hypot(*left) * math.hypot(*right))


@pytest.fixture
def few_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let single precision alone choose among as few vectors as a test has."""
    monkeypatch.setattr("local.aws.vectors.index.SPARE", 2)


@pytest.mark.usefixtures("few_spare")
@FUZZ
@given(
    st.sampled_from(["cosine", "euclidean"]),
    st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=40),
    st.lists(METADATA, min_size=1, max_size=7),
    st.lists(NUMBERS, min_size=3, max_size=3),
    st.integers(1, 20),
    st.one_of(st.none(), FILTERS),
)
@example("euclidean", [[9.0, 0.0, 0.0], [1.0, 1.0, 0.0]] * 20, [{}], [1.0, 0.0, 0.0], 3, None)
@example("cosine", [[9.0, 9.0, 0.0], [1.0, 0.1, 0.0]] * 20, [{}], [1.0, 0.0, 0.0], 3, None)
@example(
    "euclidean", [[999_999.0, 1.0, 0.0], [999_999.0, 0.0, 0.0]] * 40, [{}], [999_999.0, 0.0, 0.0], 3, None
)
def test_search_finds_what_a_loop_finds(
    metric: str,
    given_numbers: list[list[float]],
    metadata: list[dict[str, Any]],
    query: list[float],
    limit: int,
    document: dict[str, Any] | None,
) -> None:
    if (
        metric == "cosine"
    ):  # which takes no zeros; very short vectors are zeros for a loop in double precision, too
        given_numbers = [each for each in given_numbers if math.hypot(*each) > 1e-3]
        query = query if math.hypot(*query) > 1e-3 else [1.0, 0.0, 0.0]
    if not given_numbers:
        return
    index, numbers = Vectors(3, metric), np.array(given_numbers, np.float32)
    keys = [f"v{number}" for number in range(len(numbers))]
    each_metadata = [metadata[number % len(metadata)] for number in range(len(numbers))]
    index.put(keys, numbers, each_metadata)
    accepts = None if document is None else (lambda columns: filters.mask(document, columns))
    found = index.search(np.array(query, np.float32), limit, accepts)

    accepted = {
        key: distance_of(metric, row, np.array(query, np.float32))
        for key, row, each in zip(keys, numbers, each_metadata, strict=True)
        if document is None or naive(document, each)
    }
    nearest = sorted(accepted.values())[:limit]
    # Single precision chooses among more candidates than wanted, so that only what it cannot tell apart may differ.
    tolerance = (
        1e-6
        if metric == "cosine"
        else 1e-3 * max(1.0, max(abs(each) for row in given_numbers for each in row))
    )
    assert [distance for distance, _ in found] == pytest.approx(nearest, abs=tolerance)
    assert len({vector.key for _, vector in found}) == len(found)
    for distance, vector in found:
        assert distance == pytest.approx(accepted[vector.key], abs=1e-6, rel=1e-6)


@FUZZ
@given(CHANGES, FILTERS)
@example(
    [("v0", False, 1, {"k": "a"}), ("v1", False, 2, {}), ("v2", True, 0, {}), ("v0", True, 0, {})], {"k": "a"}
)
@example(
    [("v0", False, 1, {}), ("v1", False, 2, {"k": "a"}), ("v2", True, 0, {}), ("v0", True, 0, {})], {"k": "a"}
)
def test_an_index_that_changed_is_like_a_new_one(
    changes: list[tuple[str, bool, int, dict[str, Any]]], document: dict[str, Any]
) -> None:
    index, expected = Vectors(2, "euclidean"), dict[str, tuple[int, dict[str, Any]]]()
    for number, (key, remove, value, metadata) in enumerate(changes):
        if number == len(changes) // 2:
            filters.mask(document, index)  # from here on, its columns change with the vectors
        if remove:
            index.delete([key])
            expected.pop(key, None)
        else:
            index.put([key], np.array([[value, 1]], np.float32), [metadata])
            expected[key] = (value, metadata)
    assert len(index) == len(expected)
    found = index.search(np.zeros(2, np.float32), 100, lambda columns: filters.mask(document, columns))
    assert {each.key: (each.data[0], each.metadata) for _, each in found} == {
        key: (value, metadata) for key, (value, metadata) in expected.items() if naive(document, metadata)
    }
    assert {each.key for _, each in index.page(-1, 100)} == set(expected)


def test_a_rare_value_is_searched_among_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    index, rows = Vectors(2, "cosine"), 50 * SPARSE
    numbers = np.random.default_rng(7).standard_normal((rows, 2), np.float32)
    index.put([str(row) for row in range(rows)], numbers, [{"rare": row % 50 == 0} for row in range(rows)])
    multiplied = []
    nearness = index._nearness

    def counting(query: Any, part: Any, norms: Any) -> Any:
        multiplied.append(len(part))
        return nearness(query, part, norms)

    monkeypatch.setattr(index, "_nearness", counting)
    query = np.array([1, 0], np.float32)
    rare = index.search(query, 100, lambda columns: filters.mask({"rare": True}, columns))
    common = index.search(query, 2, lambda columns: filters.mask({"rare": False}, columns))
    assert multiplied == [SPARSE, rows]
    assert {int(each.key) % 50 for _, each in rare} == {0}
    assert all(int(each.key) % 50 for _, each in common) and len(common) < SPARE


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["k", "$eq", "$in", "$and", "$or", "$gt", "$exists", "$x"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@FUZZ
@given(JSON)
def test_any_json_as_a_filter_is_answered_or_refused(document: Any) -> None:
    index = Vectors(1, "euclidean")
    index.put(["a", "b"], np.ones((2, 1), np.float32), [{"k": 1}, {"k": ["x", True]}])
    try:
        mask = filters.mask(document, index)
    except ServiceError as error:
        assert error.code == "ValidationException"
    else:
        assert mask.shape == (2,)


@FUZZ
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.lists(st.floats(), min_size=1, max_size=3))
def test_any_vector_is_stored_or_refused(vectors: Any, metadata: Any, numbers: list[float]) -> None:
    with contextlib.suppress(vectors.exceptions.ConflictException):
        make_index(vectors, "fuzzed")
    arn = f"arn:aws:s3vectors:us-east-1:{ACCOUNT}:bucket/fuzzed/index/index"
    vector = {"key": "k", "data": {"float32": numbers}, "metadata": metadata}
    try:
        vectors.put_vectors(indexArn=arn, vectors=[vector])
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException"
    else:
        assert search(vectors, arn, returnMetadata=True)[0]["metadata"] == metadata


@pytest.mark.parametrize(
    ("granted", "call", "denied"),
    [
        (["s3vectors:QueryVectors"], {}, None),
        (["s3vectors:QueryVectors"], {"returnDistance": True}, None),
        (["s3vectors:QueryVectors"], {"returnMetadata": True}, "s3vectors:GetVectors"),
        (["s3vectors:QueryVectors"], {"filter": {"a": 1}}, "s3vectors:GetVectors"),
        (
            ["s3vectors:QueryVectors", "s3vectors:GetVectors"],
            {"returnMetadata": True, "filter": {"a": 1}},
            None,
        ),
        (["s3vectors:GetVectors"], {}, "s3vectors:QueryVectors"),
    ],
)
def test_a_filter_and_metadata_need_the_permission_to_read(
    enforcing: Cloud, granted: list[str], call: dict[str, Any], denied: str | None
) -> None:
    """Source: "Permissions" of QueryVectors in the S3 API reference."""
    admin = enforcing.client("s3vectors")
    with contextlib.suppress(admin.exceptions.ConflictException):
        make_index(admin, "permissions")
    arn = f"arn:aws:s3vectors:us-east-1:{ACCOUNT}:bucket/permissions/index/index"
    role = f"reader-{next(NUMBERS_OF_ROLES)}"
    iam = enforcing.client("iam")
    role_arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": granted, "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document)
    client = enforcing.client("s3vectors", role=enforcing.credentials.issue(role_arn, "test"))
    if denied is None:
        assert search(client, arn, **call) == []
    else:
        with pytest.raises(client.exceptions.AccessDeniedException, match=denied):
            search(client, arn, **call)
