"""The dataset is the same in Athena and in DuckDB, and anything unreadable is named and counted."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from constructs import hive

from fmops.capture import lake
from fmops.interaction import (
    SCHEMA_VERSION,
    Embedding,
    Feedback,
    GuardrailFinding,
    GuardrailOutcome,
    Interaction,
    RetrievedDocument,
)
from local.aws.kernel.cloud import Cloud

DAY = "interactions/dt=2026-11-20/hour=09/"


def interaction(**changes: Any) -> Interaction:
    finding = GuardrailFinding(category="insult", score=0.4, detector="checks")
    return Interaction(
        user="u1",
        input="What is covered?",
        retrieved=[RetrievedDocument(document_id="motor", score=0.7)],
        embedding=Embedding.encode("m", [1.0, 2.0]),
        guardrails=[GuardrailOutcome(direction="input", action="allow", findings=[finding])],
        **changes,
    )


def packed(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(lines))


def read(directory: Path, objects: dict[str, bytes]) -> duckdb.DuckDBPyConnection:
    for key, body in objects.items():
        path = directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return lake.connect(directory)


def rows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    relation = lake.dataset(connection)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def test_a_page_is_read_and_records_from_before_pages_have_none(tmp_path: Path) -> None:
    new = Interaction(retrieved=[RetrievedDocument(document_id="hail", score=0.5, page=3)])
    old = {**json.loads(interaction().line()), "retrieved": [{"document_id": "motor", "score": 0.7}]}
    connection = read(tmp_path, {f"{DAY}a": packed(new.line(), json.dumps(old).encode() + b"\n")})
    found = {row["retrieved"][0]["document_id"]: row["retrieved"][0]["page"] for row in rows(connection)}
    assert found == {"hail": 3, "motor": None}
    assert Interaction.model_validate(old).retrieved[0].page is None


def test_an_interaction_is_one_row_with_the_last_rating_of_its_own_user(tmp_path: Path) -> None:
    asked = interaction()
    ratings = [
        Feedback(interaction_id=asked.interaction_id, user="u1", rating="up", started_at="2026-11-20T09:00Z"),
        Feedback(
            interaction_id=asked.interaction_id,
            user="u1",
            rating="down",
            comment="wrong",
            started_at="2026-11-20T10:00Z",
        ),
        Feedback(
            interaction_id=asked.interaction_id,
            user="stranger",
            rating="up",
            started_at="2026-11-20T11:00Z",
        ),
        Feedback(interaction_id="int-of-nobody", user="u1", rating="up"),
    ]
    connection = read(
        tmp_path,
        {
            f"{DAY}a": packed(asked.line(), asked.line(), *(each.line() for each in ratings)),
            "interactions/dt=2026-11-21/hour=00/b": packed(asked.line()),
        },
    )
    (row,) = rows(connection)
    assert (row["rating"], row["comment"], row["rated_at"]) == ("down", "wrong", "2026-11-20T10:00Z")
    assert row["retrieved"] == [{"document_id": "motor", "score": 0.7, "page": None}]
    assert row["guardrails"][0]["findings"][0]["score"] == 0.4
    assert (row["dt"], row["hour"]) == ("2026-11-20", "09")


def test_the_view_of_athena_has_the_columns_that_duckdb_finds(tmp_path: Path) -> None:
    import app
    from tests.synthesized import context

    assembly = app.build(context("dev"), str(tmp_path / "cdk.out")).synth()
    template = assembly.get_stack_by_name("fmops-dev-Capture").template
    (view,) = [
        each["Properties"]["TableInput"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Glue::Table"
        and each["Properties"]["TableInput"]["TableType"] == "VIRTUAL_VIEW"
    ]
    encoded = view["ViewOriginalText"].removeprefix("/* Presto View: ").removesuffix(" */")
    document = json.loads(base64.b64decode(encoded))
    relation = lake.dataset(read(tmp_path, {f"{DAY}a": packed(interaction().line())}))
    assert document["originalSql"] == lake.DATASET.read_text()
    assert [each["name"] for each in document["columns"]] == relation.columns
    in_glue = {each["Name"]: each["Type"] for each in view["StorageDescriptor"]["Columns"]}
    in_duckdb = {name: in_hive(str(of)) for name, of in zip(relation.columns, relation.types, strict=True)}
    assert in_glue == in_duckdb
    assert {each["name"]: each["type"] for each in document["columns"]} == {
        name: hive.presto(of) for name, of in in_glue.items()
    }


def in_hive(duckdb_type: str) -> str:
    """Translate DuckDB's name of a column type to Hive's."""
    if duckdb_type.endswith("[]"):
        return f"array<{in_hive(duckdb_type[:-2])}>"
    if duckdb_type.startswith("STRUCT("):
        fields = hive._split(duckdb_type[len("STRUCT(") : -1].replace("(", "<").replace(")", ">"))
        pairs = (field.strip().replace("<", "(").replace(">", ")").split(" ", 1) for field in fields)
        return f"struct<{','.join(f'{name.strip(chr(34))}:{in_hive(of)}' for name, of in pairs)}>"
    return {"VARCHAR": "string", "BIGINT": "bigint", "DOUBLE": "double", "BOOLEAN": "boolean"}[duckdb_type]


def test_the_query_is_valid_for_athena() -> None:
    sqlglot = pytest.importorskip("sqlglot", reason="in requirements/dev.txt")
    (statement,) = sqlglot.parse(lake.DATASET.read_text(), dialect="athena")
    assert statement.key == "select"
    assert {each.sql_name() for each in statement.find_all(sqlglot.exp.Anonymous)} == set()


def test_foreign_lines_and_newer_records_are_counted_and_not_read(tmp_path: Path) -> None:
    newer = {**json.loads(interaction().line()), "schema_version": 2, "mood": "good"}
    foreign = [b"garbage\n", b'{"other": 1}\n', b"[1]\n", interaction().line()[:50] + b"\n"]
    good = interaction()
    connection = read(
        tmp_path, {f"{DAY}a": packed(good.line(), *foreign, json.dumps(newer).encode() + b"\n")}
    )
    reading = lake.Reading()
    lake.count_unread(connection, reading)
    assert (reading.foreign_lines, reading.newer_records) == (4, 1)
    assert [row["interaction_id"] for row in rows(connection)] == [good.interaction_id]


def test_the_query_itself_passes_over_what_is_no_record_or_is_newer(tmp_path: Path) -> None:
    """As Athena runs it: on every line of the table, NULL where it cannot be read."""
    good, rated = interaction(), interaction()
    newer = {**json.loads(interaction().line()), "schema_version": SCHEMA_VERSION + 1}
    ratings = [
        {**json.loads(Feedback(interaction_id=rated.interaction_id, user="u1", rating="up").line()), **change}
        for change in ({}, {"schema_version": SCHEMA_VERSION + 1, "rating": "down", "started_at": "2031"})
    ]
    lines = [good.line(), rated.line(), b"garbage\n"]
    lines += [json.dumps(each).encode() + b"\n" for each in (newer, *ratings)]
    connection = read(tmp_path, {f"{DAY}a": packed(*lines)})
    connection.execute("CREATE OR REPLACE VIEW interactions AS SELECT * FROM lines")
    found = {row["interaction_id"]: row["rating"] for row in rows(connection)}
    assert found == {good.interaction_id: None, rated.interaction_id: "up"}


def test_the_table_of_athena_reads_on_after_a_bad_line(tmp_path: Path) -> None:
    import app
    from tests.synthesized import context

    template = (
        app.build(context("dev"), str(tmp_path)).synth().get_stack_by_name("fmops-dev-Capture").template
    )
    (serde,) = [
        each["Properties"]["TableInput"]["StorageDescriptor"]["SerdeInfo"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Glue::Table"
        and each["Properties"]["TableInput"]["TableType"] == "EXTERNAL_TABLE"
    ]
    assert serde == {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        "Parameters": {"ignore.malformed.json": "TRUE", "use.null.for.invalid.data": "TRUE"},
    }


def test_no_records_are_an_empty_dataset(tmp_path: Path) -> None:
    assert rows(lake.connect(tmp_path)) == []


def test_corrupt_objects_are_named_and_the_rest_is_read(cloud: Cloud, tmp_path: Path) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="broken")
    good, other = interaction(), interaction()
    objects = {
        f"{DAY}whole": packed(good.line()),
        f"{DAY}two-members": packed(other.line()) + packed(good.line()),
        f"{DAY}cut": packed(interaction().line())[:-9],
        f"{DAY}foreign": b"PAR1 is not gzip",
        f"{DAY}empty": b"",
        "interactions/dt=2026-11-19/hour=09/too-early": packed(interaction().line()),
    }
    for key, body in objects.items():
        s3.put_object(Bucket="broken", Key=key, Body=body)
    reading = lake.fetch(s3, "broken", tmp_path, first=date(2026, 11, 20), last=date(2026, 11, 20))
    assert reading.objects == 2
    assert sorted(reading.corrupt) == [f"{DAY}cut", f"{DAY}empty", f"{DAY}foreign"]
    assert {row["interaction_id"] for row in rows(lake.connect(tmp_path))} == {
        good.interaction_id,
        other.interaction_id,
    }


@pytest.mark.parametrize(
    "folder", ["user=eve", "interactions/dt=1999-01-01/hour=23", "[a]", "it's", "a*b?", "input=x [1]'s"]
)
def test_a_copy_of_the_lake_is_read_below_a_folder_of_any_name(folder: str, tmp_path: Path) -> None:
    directory = tmp_path / folder
    connection = read(directory, {f"{DAY}a.gz": packed(interaction(interaction_id="int-1").line())})
    [found] = connection.execute("SELECT interaction_id, user, input, dt, hour FROM interactions").fetchall()
    assert found == ("int-1", "u1", "What is covered?", "2026-11-20", "09")
    assert len(rows(connection)) == 1
