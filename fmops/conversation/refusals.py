"""Refused requests: one sentence that names the field and the remedy, in OpenAI's shape, for every route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BadRequestError(Exception):
    """A request cannot be answered as it stands. The message names the field; it repeats nothing that was
    sent.
    """

    def __init__(self, param: str, remedy: str, *, code: str = "invalid_body") -> None:
        super().__init__(f"{param}: {remedy}" if param else remedy)
        self.param = param or None
        self.code = code


_KINDS = {
    "string": "give a text",
    "int": "give a whole number",
    "float": "give a number",
    "bool": "give true or false",
    "list": "give a list",
    "tuple": "give a list",
    "dict": "give an object",
    "model": "give an object",
    "dataclass": "give an object",
}


def refusal(errors: list[Any]) -> BadRequestError:
    """Return the first of a validator's errors, in our words."""
    first: Mapping[str, Any] = errors[0]
    kind, context = str(first["type"]), first.get("ctx") or {}
    if kind == "json_invalid":
        return BadRequestError("", "The request body is not valid JSON: send a JSON object in UTF-8.")
    where = [str(part) for part in first["loc"] if part != "body"]
    field = ".".join(where)
    if not field and kind != "value_error":
        return BadRequestError("", "The request needs a body: send a JSON object as application/json.")
    return BadRequestError(field, _remedy(kind, context))


def _remedy(kind: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "missing":
            return "it is missing: add it."
        case "extra_forbidden":
            return "there is no such field: leave it out."
        case "literal_error" | "enum":
            return f"give {context['expected']}."
        case "string_too_short" | "too_short":
            return (
                "it is empty: fill it." if context.get("min_length") == 1 else "it is too short: give more."
            )
        case "string_too_long" | "too_long":
            return f"it is too long: give at most {context['max_length']}."
        case "string_pattern_mismatch":
            return f"it does not have the form {context['pattern']}: give it as the service gave it."
        case "value_error" if isinstance(error := context.get("error"), ValueError):
            return f"{str(error).rstrip('.')}."
        case _ if kind.startswith(("greater_than", "less_than")):
            return "the number is out of range: give another one."
        case _:
            return f"{_KINDS.get(kind.split('_')[0], 'give another value')}."
