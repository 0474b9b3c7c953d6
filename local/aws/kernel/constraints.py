"""The limits of botocore's service models (lengths, ranges, patterns, values), which AWS holds requests to
and clients do not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import botocore.session

from local.aws.kernel.api import Context, Handler, Params, ServiceError, operation

TYPES: dict[str, Any] = {
    "structure": Mapping,
    "map": Mapping,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": int | float,
    "double": int | float,
}
"""Types of values as they are parsed."""


def constrained(
    service: str, name: str, *, error: str, ignoring: tuple[str, ...] = ()
) -> Callable[[Handler], Handler]:
    """Register an operation as ``local.aws.kernel.api.operation`` does, for requests within the model's limits only.

    Others are answered with the error. ``ignoring`` names shapes whose limits the operation answers in words of its
    own.
    """

    def register(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def checked(params: Params, context: Context) -> Any:
            shape = _model(service).operation_model(name).input_shape
            found = next(violations(shape, params, ignoring=frozenset(ignoring)), None)
            if found:
                raise ServiceError(error, f"1 validation error detected: {found}")
            return handler(params, context)

        operation(service, name)(checked)
        return checked

    return register


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def violations(
    shape: Any, value: Any, place: str = "", *, ignoring: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Say each limit of the shape that a value does not keep."""
    if value is None:
        return
    if not isinstance(value, TYPES.get(shape.type_name, object)) and not getattr(
        shape, "is_document_type", False
    ):
        yield f"Value at '{place}' failed to satisfy constraint: Member must be of the type {shape.type_name}"
        return
    if shape.name not in ignoring and (broken := _broken(shape, value)):
        # The value itself is left out: it may be a token or a text.
        yield f"Value at '{place}' failed to satisfy constraint: {broken}"
    children: list[tuple[str, Any, Any]] = []
    if shape.type_name == "structure" and shape.is_document_type:
        return  # any JSON
    if shape.type_name == "structure":
        if shape.metadata.get("union") and sum(each is not None for each in value.values()) != 1:
            yield f"Value at '{place}' failed to satisfy constraint: Member must have exactly one of its members"
        missing = [name for name in shape.required_members if value.get(name) is None]
        yield from (
            f"Value at '{_below(place, name)}' failed to satisfy constraint: Member must not be null"
            for name in missing
        )
        children = [
            (_below(place, name), shape.members[name], each)
            for name, each in value.items()
            if name in shape.members
        ]
    elif shape.type_name == "list" and None in value:
        yield f"Value at '{place}' failed to satisfy constraint: Member must not be null"
    elif shape.type_name == "list" and not _is_free(shape.member):
        children = [(f"{place}.{number}", shape.member, each) for number, each in enumerate(value, 1)]
    elif shape.type_name == "map":
        children = [(_below(place, str(name)), shape.value, each) for name, each in value.items()]
        children += [(_below(place, str(name)), shape.key, name) for name in value]
    for where, member, each in children:
        yield from violations(member, each, where, ignoring=ignoring)


def _is_free(shape: Any) -> bool:
    """Whether any number fits: a thousand vectors have a million of them, which need no look each."""
    return shape.type_name in ("float", "double") and not shape.metadata.keys() & {"min", "max"}


def _below(place: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{place}.{name}" if place else name


def _broken(shape: Any, value: Any) -> str | None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    number = shape.type_name in ("integer", "long", "float", "double")
    if number or hasattr(value, "__len__"):
        size, word = (value, "value") if number else (len(value), "length")
        if least is not None and size < least:
            return f"Member must have {word} greater than or equal to {least}"
        if most is not None and size > most:
            return f"Member must have {word} less than or equal to {most}"
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            return f"Member must satisfy regular expression pattern: {pattern}"
    return None


@functools.cache
def _compiled(pattern: str) -> Any:
    if "\\p{" in pattern:  # classes of letters, which the standard library does not know
        import re2

        return re2.compile(f"(?s){pattern}")
    # A dot stands for line ends too: descriptions, policies and ids may have them.
    return re.compile(pattern, re.DOTALL)
