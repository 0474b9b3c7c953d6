"""The agent's tools as `make check` sees them: with their actions, resources, cases, sandbox and stand-in lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from langchain_core.tools import BaseTool

from fmops.agent.resources import Resolver
from fmops.agent.sandbox import SandboxRecords
from fmops.agent.tools import build_tools
from fmops.authorization import Authorizer
from fmops.evaluation.cases import Case
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.toolkit.context import RequestContext
from fmops.variants.sandbox import records

SAMPLES = {"string": "check", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
_PERMIT = re.compile(r"(?:^|\n)\s*permit\s*\((?P<head>.*?)\)\s*(?:when|unless|;)", re.DOTALL)


def built() -> list[BaseTool]:
    """Return the agent's tools over the sandbox's records, with a search that finds nothing."""
    kept = SandboxRecords(records())
    nothing: Any = SimpleNamespace(search=lambda *_: [], minimum_similarity=0.0, check_all_sync=lambda *_: [])
    return build_tools(kept, nothing, Resolver(kept, "check").readable(Authorizer(None, "check")), nothing)


def actions(schema: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the actions of a Cedar schema in JSON form, each with the groups of actions that it is in."""
    (namespace,) = schema.values()
    declared = namespace["actions"]
    return {name: set(_groups(name, declared)) for name in declared}


def permitted(policies: Iterable[str], known: Mapping[str, set[str]]) -> set[str]:
    """Return the actions that some policy may permit: those it names, those of a group it names, or all."""
    found: set[str] = set()
    for text in policies:
        for head in (match["head"] for match in _PERMIT.finditer(text)):
            named = set(re.findall(r'Action::"([^"]+)"', head))
            found |= {name for name, groups in known.items() if not named or name in named or groups & named}
    return found


def asked(cases: Iterable[Case]) -> dict[str, dict[str, str | int]]:
    """Return the tools that cases expect to be called, each with the first arguments that a case names."""
    found: dict[str, dict[str, str | int]] = {}
    for case in cases:
        for call in case.expected.tools or ():
            if not found.get(call.name):
                found[call.name] = dict(call.arguments)
    return found


def spoken(script: Mapping[str, Any]) -> set[str]:
    """Return the tools that the stand-in model calls, by its script."""
    return {script.get("search", ""), *(entry["tool"] for entry in script.get("calls", ()))}


def resource_problem(tool: BaseTool) -> str:
    """Return why no Cedar resource is found for a call of the tool; empty if one is."""
    try:
        Resolver(SandboxRecords(records()), "check").on(tool.name, _arguments(tool, {}), _context())
    except ValueError as error:
        return str(error)
    return ""


def sandbox_problem(tool: BaseTool, arguments: Mapping[str, Any]) -> str:
    """Return why the tool cannot run in the sandbox, whose records are in memory; empty if it can."""
    run: Any = getattr(tool, "func", None)
    if run is None:
        return ""
    configured = {"configurable": {"thread_id": "check", "checkpoint_ns": "check"}}
    runtime = SimpleNamespace(context=_context(), config=configured, tool_call_id="check")
    given = _arguments(tool, arguments)
    try:
        run(**given, **({"runtime": runtime} if "runtime" in run.__annotations__ else {}))
    except (AttributeError, NotImplementedError) as error:
        return f"the tool {tool.name!r} fails in the sandbox ({error})"
    except Exception:  # noqa: BLE001 - the sample is no real call: what else it meets says nothing
        return ""
    return ""


def _arguments(tool: BaseTool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of the right types, with those that are given."""
    properties = tool.tool_call_schema.model_json_schema()["properties"]  # type: ignore[union-attr]
    return {
        name: given.get(name, SAMPLES.get(each.get("type", ""), "check")) for name, each in properties.items()
    }


def _context() -> RequestContext:
    return RequestContext(Principal("check", "check", frozenset(), True, "check", {}), Interaction())


def _groups(name: str, declared: Mapping[str, Any]) -> Iterator[str]:
    for group in declared[name].get("memberOf") or ():
        yield group["id"]
        yield from _groups(group["id"], declared)
