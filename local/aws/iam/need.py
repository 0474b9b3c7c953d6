"""Parts of the rules in `local/aws/iam/needs.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws.kernel.api import Context, Params


@dataclass(frozen=True)
class Need:
    """One action upon one resource, with the condition keys of the request beyond those that every request
    has.
    """

    action: str
    resource: str = "*"
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Rule = Callable[[Params, Context], list[Need]]


def header(context: Context, name: str) -> str | None:
    """A header of the request: of uploads, IAM asks for no more than what stands before the body."""
    return next((value for each, value in context.headers.items() if each.lower() == name), None)


def tag_keys(tags: Any) -> dict[str, tuple[str, ...]]:
    """The condition keys of a request that tags what it makes; none without tags. A map, or a list of keys
    and values.
    """
    if isinstance(tags, list):
        tags = {each.get("Key", each.get("key")): each.get("Value", each.get("value")) for each in tags}
    pairs = tags if isinstance(tags, Mapping) else {}
    if not pairs:
        return {}
    return {
        "aws:tagkeys": tuple(map(str, pairs)),
        **{f"aws:requesttag/{key}".lower(): (str(value),) for key, value in pairs.items()},
    }


def tagging(action: str, resource: str, tags: Any) -> list[Need]:
    """The need to tag, of a call that makes a resource with tags."""
    keys = tag_keys(tags)
    return [Need(action, resource, keys)] if keys else []
