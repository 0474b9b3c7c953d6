"""Storage of an agent's records: a DynamoDB table whose key is ``kind`` and ``id``, or a copy of a fixture in
memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

Record = dict[str, Any]

DOCUMENT = "document"
"""Kind of the records of documents, whose ids are the documents'."""
BATCH = 100
"""Maximum items of one BatchGetItem call (DynamoDB API Reference)."""

_deserializer, _serializer = TypeDeserializer(), TypeSerializer()


class RecordTable:
    """Read and change records. An agent derives its own class, with methods for what its tools do."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, kind: str, record_id: str) -> Record | None:
        """Return the record with its ``kind`` and ``id``, as it is now; numbers are integers."""
        key = {"kind": {"S": kind}, "id": {"S": record_id}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return _plain(item) if item else None

    def update(
        self, kind: str, record_id: str, expression: str, values: Mapping[str, Any], *, condition: str = ""
    ) -> Record:
        """Return the record after DynamoDB's update ``expression``; only an existing record is changed.

        Raises ``ClientError`` with ``ConditionalCheckFailedException``.
        """
        there = "attribute_exists(id)"
        answer = self._client.update_item(
            TableName=self._table,
            Key={"kind": {"S": kind}, "id": {"S": record_id}},
            UpdateExpression=expression,
            ConditionExpression=f"{there} AND {condition}" if condition else there,
            ExpressionAttributeValues={name: _serializer.serialize(value) for name, value in values.items()},
            ReturnValues="ALL_NEW",
        )
        return _plain(answer["Attributes"])

    def is_suspended(self, subject: str) -> bool:
        """Return whether this person is suspended, whatever their token says; ``person`` records have the
        token's subject as id."""
        person = self.get("person", subject)
        return bool(person and person.get("suspended"))

    def withdrawn(self, document_ids: Sequence[str]) -> set[str]:
        """Return which of the documents are withdrawn now, by one call for each 100 of them.

        A record that DynamoDB does not return in time counts as withdrawn.
        """
        found: set[str] = set()
        for start in range(0, len(document_ids), BATCH):
            ids = document_ids[start : start + BATCH]
            keys = [{"kind": {"S": DOCUMENT}, "id": {"S": each}} for each in ids]
            wanted = {"Keys": keys, "ConsistentRead": True}
            answer = self._client.batch_get_item(RequestItems={self._table: wanted})
            items = map(_plain, answer["Responses"].get(self._table, ()))
            found |= {str(item["id"]) for item in items if item.get("withdrawn")}
            unread = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", ())
            found |= {str(key["id"]["S"]) for key in unread}
        return found


def run_of(runtime: Any) -> str:
    """Return an id of this run of a tool, for writes that must happen once; ``runtime`` is its ``ToolRuntime``.

    The server makes it, and a run that is repeated after a crash gets it again. The tool call's own id is
    chosen by the model.
    """
    run = runtime.config["configurable"]
    return f"{run['thread_id']}/{run['checkpoint_ns']}"


class RecordsInMemory(RecordTable):
    """A copy of ``records`` by kind and id, for the sandbox. Override the methods that change records with
    ``update``."""

    def __init__(self, records: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self._records: dict[str, dict[str, Record]] = copy.deepcopy(
            {
                kind: {each: dict(fields) for each, fields in of_kind.items()}
                for kind, of_kind in records.items()
            }
        )

    def get(self, kind: str, record_id: str) -> Record | None:
        record = self._records.get(kind, {}).get(record_id)
        return None if record is None else {"kind": kind, "id": record_id, **record}

    def withdrawn(self, document_ids: Sequence[str]) -> set[str]:
        records = self._records.get(DOCUMENT, {})
        return {each for each in document_ids if records.get(each, {}).get("withdrawn")}

    def update(self, kind: str, record_id: str, *_: Any, **__: Any) -> Record:
        raise NotImplementedError(f"the sandbox cannot change {kind} {record_id} with DynamoDB's expressions")


def _plain(item: Mapping[str, Any]) -> Record:
    return {name: _integers(_deserializer.deserialize(value)) for name, value in item.items()}


def _integers(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value
