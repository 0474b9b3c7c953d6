"""Limits of Verified Permissions on schemas, templates and requests that the Cedar engine would take.

Sources: the operations' pages of its API reference, "Quotas" and "Differences between Amazon Verified Permissions
and the Cedar policy language" of its user guide.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from local.aws.kernel.api import Params, ServiceError, validation_error
from local.aws.kernel.constraints import constrained

SERVICE = "verifiedpermissions"
MAX_SCHEMA_BYTES = 100_000
MAX_NAMESPACES = 1
"""The user guide's. Botocore's model says that there may be more since May 2026: the stricter of the two
holds.
"""
RESERVED = frozenset({"aws", "amazon", "cedar"})
MAX_REQUEST_BYTES = 1024 * 1024
MAX_BATCH = 30
MAX_ENTITIES = 100
"""Principals of a batch, and resources of a batch."""
MAX_PARENTS = 99
MAX_TEMPLATES = 40
MAX_BYTES_PER_RESOURCE = 200_000

checked = functools.partial(constrained, SERVICE, error="ValidationException")
"""Register an operation of the service, for requests within its model's limits."""

Uid = tuple[str, str]


def check_schema(text: str) -> None:
    """Raise for a schema that Cedar may take, and the service does not."""
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise validation_error(f"The schema is larger than {MAX_SCHEMA_BYTES} bytes")
    schema = parse_json(text, "schema")
    if not isinstance(schema, dict):
        raise validation_error("Invalid schema: it is no JSON object")
    if len(schema) > MAX_NAMESPACES:
        raise validation_error(
            f"Invalid schema: it has {len(schema)} namespaces, of at most {MAX_NAMESPACES}"
        )
    for namespace in schema:
        if RESERVED & {part.strip().lower() for part in namespace.split("::")}:
            raise validation_error(f"Invalid schema: the namespace {namespace} is reserved")
    if "" in _names(schema):
        raise validation_error("Invalid schema: names of namespaces, types and attributes cannot be empty")


def _names(value: Any) -> Iterable[str]:
    """Every key of a JSON document."""
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _names(each)


def parse_json(text: str, what: str) -> Any:
    """The content of a `cedarJson`. ValidationException when it is no JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise validation_error(f"Invalid {what}: it is no JSON") from error


def check_template_scope(parsed: Params) -> None:
    """Raise for a template whose principal or resource is anything."""
    for part in ("principal", "resource"):
        if parsed[part]["op"] == "All":
            raise validation_error(f"Invalid policy template: its {part} must be constrained")


def check_size(params: Params) -> None:
    """Raise for a request that is too large."""
    if len(json.dumps(params, default=str).encode()) > MAX_REQUEST_BYTES:
        raise validation_error(f"The request is larger than {MAX_REQUEST_BYTES} bytes")


def check_batch(requests: list[Params]) -> None:
    """Raise unless a batch is small enough, and about one principal or one resource."""
    if not 1 <= len(requests) <= MAX_BATCH:
        raise validation_error(f"A batch has 1 to {MAX_BATCH} requests, this one has {len(requests)}")
    if all(len({str(each.get(part)) for each in requests}) > 1 for part in ("principal", "resource")):
        raise validation_error("The requests of a batch must share the principal or the resource")


def last_of_each(entities: list[Params]) -> list[Params]:
    """The entities, of several with one identifier the last. ValidationException for one without an
    identifier.
    """
    return list({uid(entity): entity for entity in entities}.values())


def uid(entity: Params) -> Uid:
    """Type and id of an entity in Cedar's JSON."""
    try:
        return _identifier(entity["uid"])
    except (KeyError, TypeError) as error:
        raise validation_error("Invalid entities: each has a uid with a type and an id") from error


def _identifier(given: Params) -> Uid:
    inner = given.get("__entity", given)
    if not inner["type"] or not inner["id"]:
        raise validation_error("Invalid input: the type and the id of an entity cannot be empty")
    return str(inner["type"]), str(inner["id"])


def is_action(entity_type: str) -> bool:
    return entity_type == "Action" or entity_type.endswith("::Action")


def check_entities(entities: list[Params], principals: Iterable[str], *, batch: bool) -> None:
    """Raise for too many parents of one entity, and for too many principals or resources of a batch.

    ``principals``: the types of the request's principals. What these are members of is no resource.
    """
    parents = {uid(each): {_identifier(parent) for parent in each.get("parents") or ()} for each in entities}
    above = {each: _ancestors(each, parents) for each in parents}
    for each, found in above.items():
        if len(found) > MAX_PARENTS:
            raise validation_error(
                f"An entity of type {each[0]} has more than {MAX_PARENTS} transitive parents"
            )
    if not batch:
        return
    acting = {each for each in parents if each[0] in principals}
    groups = {parent for each in acting for parent in above[each]}
    resources = [each for each in parents if each not in acting | groups and not is_action(each[0])]
    for what, count in (("principals", len(acting)), ("resources", len(resources))):
        if count > MAX_ENTITIES:
            raise validation_error(f"A batch has at most {MAX_ENTITIES} {what}, this one has {count}")


def _ancestors(entity: Uid, parents: Mapping[Uid, set[Uid]]) -> set[Uid]:
    """All parents and their parents, as many of them as it takes to be too many."""
    found: set[Uid] = set()
    waiting = list(parents.get(entity, ()))
    while waiting and len(found) <= MAX_PARENTS:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += parents.get(each, ())
    return found


def quota_exceeded(message: str, kind: str) -> ServiceError:
    """The error of a quota, with the kind of resource that there are too many of."""
    return ServiceError("ServiceQuotaExceededException", message, resourceType=kind, serviceCode=SERVICE)
