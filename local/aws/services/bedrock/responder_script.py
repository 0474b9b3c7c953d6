"""The stand-in model's knowledge of the agent: when to call which tool, and what to say about the result."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, Template

SCRIPT = Path(__file__).parents[4] / "demo" / "stand_in_model.yaml"
REMEDY = "mend it, or give the local run a real model (FMOPS_LOCAL_MODEL_URL)"


class ScriptError(ValueError):
    """The script cannot be used; the message names the entry and the remedy."""


@dataclass(frozen=True)
class Call:
    """A tool call that the responder wants to make."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One entry of ``calls``."""

    tool: str
    when: Sequence[re.Pattern[str]]
    constant: Mapping[str, Any] = field(default_factory=dict)
    whole: Sequence[str] = ()
    money: Sequence[str] = ()
    number: Sequence[str] = ()
    each: str = ""

    def calls(self, text: str, decoded: Callable[[str], str | None]) -> list[Call]:
        """Return the calls, if every pattern is found."""
        found = [pattern.search(text) for pattern in self.when]
        if not all(found):
            return []
        arguments: dict[str, Any] = {**self.constant, **dict.fromkeys(self.whole, text)}
        for match in found:
            for name, value in (match.groupdict() if match else {}).items():
                # A model that is asked to decode what it writes down does so.
                arguments[name] = decoded(value) or value.strip() or text
        for name in self.money:
            arguments[name] = round(float(arguments[name].replace(",", "")) * 100)
        for name in self.number:
            arguments[name] = int(arguments[name])
        if not self.each:
            return [Call(self.tool, arguments)]
        matches = (
            match[self.each]
            for pattern in self.when
            for match in pattern.finditer(text)
            if self.each in pattern.groupindex
        )
        return [Call(self.tool, arguments | {self.each: value}) for value in dict.fromkeys(matches)]


@dataclass(frozen=True)
class Script:
    """The script's whole file."""

    greeting: str
    in_general: str
    search: str
    rules: Sequence[Rule]
    reports: Mapping[str, Template]

    def calls_for(self, text: str, *, decoded: Callable[[str], str | None]) -> list[Call]:
        """Return the calls of the first rule that fits."""
        return next((calls for rule in self.rules if (calls := rule.calls(text, decoded))), [])

    def report(self, tool: str, result: Any) -> str:
        """Return what to say about a result; empty for a tool without a template."""
        template = self.reports.get(tool)
        return template.render(result).strip() if template and isinstance(result, dict) else ""


@cache
def script(path: Path = SCRIPT) -> Script:
    """Return the script in a file. Raises ``ScriptError``."""
    try:
        given = yaml.safe_load(path.read_text())
        return Script(
            given["greeting"],
            given["in_general"],
            given["search"],
            [_rule(entry) for entry in given["calls"]],
            {tool: _environment().from_string(text) for tool, text in given["reports"].items()},
        )
    except FileNotFoundError as error:
        raise ScriptError(f"{path.name} is not there: {REMEDY}") from error
    except KeyError as error:
        raise ScriptError(f"{path.name} lacks {error}: {REMEDY}") from error


def _rule(entry: Mapping[str, Any]) -> Rule:
    try:
        patterns = [re.compile(pattern) for pattern in entry["when"]]
    except re.error as error:
        raise ScriptError(
            f"{SCRIPT.name}, {entry['tool']}: {error.pattern!r} is no pattern ({error}): {REMEDY}"
        ) from error
    return Rule(
        entry["tool"],
        patterns,
        entry.get("with", {}),
        entry.get("whole", ()),
        entry.get("money", ()),
        entry.get("number", ()),
        entry.get("each", ""),
    )


def _environment() -> Environment:
    environment = Environment(autoescape=False)  # noqa: S701 - plain text, not a page
    environment.filters["money"] = lambda minor: f"{minor / 100:,.2f}"
    return environment
