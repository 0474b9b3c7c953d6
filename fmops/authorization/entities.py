"""Cedar entities and values in Verified Permissions' format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EntityUid:
    """The type of an entity, with its namespace, and its id."""

    type: str
    id: str

    def wire(self) -> dict[str, str]:
        return {"entityType": self.type, "entityId": self.id}

    def __str__(self) -> str:
        return f'{self.type}::"{self.id}"'


Value = bool | int | str | EntityUid | Sequence["Value"] | Mapping[str, "Value"]
"""A Cedar value. Money is an int in minor units: Cedar has no floats."""


@dataclass(frozen=True)
class Entity:
    """An entity with the attributes that policies read, loaded by the server from the system of record."""

    uid: EntityUid
    attributes: Mapping[str, Value] = field(default_factory=dict)
    parents: Sequence[EntityUid] = ()

    def wire(self) -> dict[str, Any]:
        return {
            "identifier": self.uid.wire(),
            "attributes": {name: wire_value(value, name) for name, value in self.attributes.items()},
            "parents": [parent.wire() for parent in self.parents],
        }


def wire_value(value: Value, name: str) -> dict[str, Any]:
    """Return ``value`` as an ``AttributeValue``. Raises ``TypeError``, which names the attribute, for types
    that Cedar lacks."""
    match value:
        case bool():
            return {"boolean": value}
        case int():
            return {"long": value}
        case str():
            return {"string": value}
        case EntityUid():
            return {"entityIdentifier": value.wire()}
        case Mapping():
            return {"record": {key: wire_value(item, f"{name}.{key}") for key, item in value.items()}}
        case Sequence():
            return {"set": [wire_value(item, f"{name}[]") for item in value]}
        case _:
            raise TypeError(
                f"{name}: Cedar has no {type(value).__name__}; give a bool, int, str, entity, list or mapping"
            )
