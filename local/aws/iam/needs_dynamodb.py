"""Permissions that calls of DynamoDB need, with the condition keys that limit items and attributes.

Source: "Using IAM policy conditions for fine-grained access control" of DynamoDB's developer guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from local.aws.iam.need import Need, Rule
from local.aws.kernel.api import Context, Params

NAME = re.compile(r"(?<![:\w])#?[A-Za-z_][\w.-]*")
EQUALS = re.compile(r"(#?[\w.-]+)\s*=\s*(:\w+)")
EXPRESSIONS = (
    "ProjectionExpression",
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "UpdateExpression",
)
WORDS = frozenset(
    "and or not between in set remove add delete attribute_exists attribute_not_exists attribute_type begins_with"
    " contains size if_not_exists list_append".split()
)
Keys = dict[str, tuple[str, ...]]


def on_table(action: str) -> Rule:
    """A table, or an index of it."""

    def rule(params: Params, context: Context) -> list[Need]:
        table = _name(params["TableName"])
        index = f"/index/{params['IndexName']}" if params.get("IndexName") else ""
        items = [each for name in ("Key", "Item") if isinstance(each := params.get(name), dict)]
        keys = _keys(context, table, items, params) | _single(params)
        return [Need(action, context.arn("dynamodb", f"table/{table}{index}"), keys)]

    return rule


def on_tables(action: str) -> Rule:
    """The tables of a batch."""

    def rule(params: Params, context: Context) -> list[Need]:
        found = []
        for given, requests in params["RequestItems"].items():
            table = _name(given)
            reads = requests if isinstance(requests, dict) else {}
            keys = _keys(context, table, _batched(requests), reads)
            found.append(Need(action, context.arn("dynamodb", f"table/{table}"), keys))
        return found

    return rule


def _batched(requests: Any) -> list[Params]:
    """The items, or their keys, of a table's part in a batch."""
    if isinstance(requests, dict):
        return list(requests.get("Keys") or ())
    kinds = (("PutRequest", "Item"), ("DeleteRequest", "Key"))
    return [each[kind][item] for each in requests for kind, item in kinds if each.get(kind)]


def _name(table: str) -> str:
    return table.rsplit("/", 1)[-1]


def _single(params: Params) -> Keys:
    names = {"Select": "dynamodb:select", "ReturnValues": "dynamodb:returnvalues"}
    return {key: (str(params[name]),) for name, key in names.items() if params.get(name)}


def _keys(context: Context, table: str, items: Iterable[Params], params: Params) -> Keys:
    """The values of the partition key, and the attributes that the request names."""
    attributes = _attributes(items, params)
    keys: Keys = {"dynamodb:attributes": tuple(sorted(attributes))} if attributes else {}
    hash_key = _hash_key(context, table, params.get("IndexName"))
    values = [_text(item[hash_key]) for item in items if hash_key in item]
    values += _queried(params, hash_key)
    if values:
        keys["dynamodb:leadingkeys"] = tuple(dict.fromkeys(values))
    return keys


def _hash_key(context: Context, table: str, index: str | None) -> str | None:
    from moto.dynamodb.models import dynamodb_backends

    known = dynamodb_backends[context.account][context.region].tables.get(table)
    if known is None:
        return None
    if index is None:
        return str(known.hash_key_attr)
    schemas = (each.schema for each in (*known.indexes, *known.global_indexes) if each.name == index)
    return next(
        (str(each["AttributeName"]) for schema in schemas for each in schema if each["KeyType"] == "HASH"),
        None,
    )


def _queried(params: Params, hash_key: str | None) -> list[str]:
    """The value that a query asks the partition key for."""
    if old := _map(params, "KeyConditions").get(hash_key or ""):
        return [_text(each) for each in old["AttributeValueList"]]
    names, values = _map(params, "ExpressionAttributeNames"), _map(params, "ExpressionAttributeValues")
    return [
        _text(values[value])
        for name, value in EQUALS.findall(params.get("KeyConditionExpression") or "")
        if names.get(name, name) == hash_key and value in values
    ]


def _attributes(items: Iterable[Params], params: Params) -> set[str]:
    names = _map(params, "ExpressionAttributeNames")
    found = {name for item in items for name in item}
    found |= {*(params.get("AttributesToGet") or ()), *_map(params, "KeyConditions")}
    for expression in EXPRESSIONS:
        for name in NAME.findall(params.get(expression) or ""):
            if name.lower() not in WORDS:
                # Of a path into a document, the attribute is the first part.
                first = name.split(".", 1)[0]
                found.add(names.get(first, first))
    return found


def _map(params: Params, name: str) -> Params:
    value = params.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """The text of a typed value, such as `{"S": "a"}`."""
    ((_, inner),) = value.items()
    return inner if isinstance(inner, str) else str(inner)


RULES: dict[tuple[str, str], Rule] = {
    ("dynamodb", "BatchGetItem"): on_tables("dynamodb:BatchGetItem"),
    ("dynamodb", "BatchWriteItem"): on_tables("dynamodb:BatchWriteItem"),
    ("dynamodb", "DeleteItem"): on_table("dynamodb:DeleteItem"),
    ("dynamodb", "GetItem"): on_table("dynamodb:GetItem"),
    ("dynamodb", "PutItem"): on_table("dynamodb:PutItem"),
    ("dynamodb", "Query"): on_table("dynamodb:Query"),
    ("dynamodb", "UpdateItem"): on_table("dynamodb:UpdateItem"),
}
