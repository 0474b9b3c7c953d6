"""X-Ray's segment documents as spans, with the attributes that may be shown and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmops.telemetry import attributes as names

SHOWN = (
    names.INTERACTION_ID,
    names.INTERACTION_FINISH_REASON,
    names.ERROR_TYPE,
    names.PROMPT_NAME,
    names.PROMPT_VERSION,
    names.AUTHORIZATION_ACTION,
    names.AUTHORIZATION_DECISION,
    names.AUTHORIZATION_POLICIES,
    names.AUTHORIZATION_REASON,
    names.GUARDRAIL_DIRECTION,
    names.GUARDRAIL_ACTION,
    names.GUARDRAIL_DETECTOR,
    names.GUARDRAIL_RESULT,
    names.GUARDRAIL_FINDINGS,
    names.GUARDRAIL_REQUESTS,
    names.RETRIEVAL_FOUND,
    names.RETRIEVAL_READABLE,
    names.GEN_AI_OPERATION,
    names.GEN_AI_AGENT_NAME,
    names.GEN_AI_DATA_SOURCE,
    names.GEN_AI_TOOL_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_INPUT_TOKENS,
    names.GEN_AI_OUTPUT_TOKENS,
    names.USAGE_INPUT_TOKENS,
    names.USAGE_OUTPUT_TOKENS,
    names.COST_USD,
    "http.route",
    "http.response.status_code",
)
"""Attributes that may be shown. Any other one may hold what was said, or who said it."""
READ = (
    *SHOWN,
    names.USER_HASH,
    names.GUARDRAIL_CHECKS,
    names.AUTHORIZATION_DECISIONS,
    names.TOOL_CALLS,
)
"""Attributes that are read at all; the last ones are shown in another form."""
KNOWN = {name.replace(".", "_"): name for name in READ}
"""Names by their form in annotations, whose keys may have had their dots replaced."""
LISTS = (names.GUARDRAIL_CHECKS, names.AUTHORIZATION_DECISIONS, names.TOOL_CALLS)
"""Attributes whose values are lists of entries, each of several words."""
WORD = re.compile(r"[\w.:/@|+{}\-]{1,200}")
"""A value that may be shown: one word, which no sentence is, even under the name of a known attribute."""
ENTRY = re.compile(r"[\w.:/@|+,\-]{1,1000}( [\w.:/@|+,\-]{1,1000}){0,9}")
NAME = re.compile(r"[\w.:/@+{}\-]{1,100}( [\w.:/@+{}\-]{1,100}){0,3}")
"""A span's name: a few words, of which the first is what is done. Another name may be a text, and is not shown."""
UNNAMED = "unnamed"
MOST_SPANS = 2_000
"""Maximum number of spans that are read of one trace."""

Value = str | int | float | bool | list[str]


@dataclass(frozen=True)
class Span:
    """A span: names, times in seconds since the epoch, and the attributes that may be read."""

    span_id: str
    parent_id: str
    name: str
    start: float
    end: float
    error: bool
    attributes: Mapping[str, Value]
    namespace: str = ""
    is_open: bool = False
    """Whether it had not ended when it was sent."""

    @property
    def shown(self) -> dict[str, Value]:
        """Return the attributes that may be shown."""
        return {name: self.attributes[name] for name in SHOWN if name in self.attributes}

    @property
    def user(self) -> str:
        """Return the pseudonym of the person whose request it is; empty for a span that is no request."""
        return str(self.attributes.get(names.USER_HASH, ""))

    def words(self, name: str) -> list[str]:
        """Return an attribute as a list of words."""
        value = self.attributes.get(name, [])
        return value if isinstance(value, list) else [str(value)]

    def number(self, name: str) -> float:
        """Return an attribute as a number; 0 without one."""
        value = self.attributes.get(name, 0)
        return value if isinstance(value, int | float) else 0


@dataclass(frozen=True)
class Trace:
    """The spans of a trace that have arrived, by their start."""

    trace_id: str
    spans: Sequence[Span] = field(default_factory=tuple)
    documents: Sequence[Mapping[str, Any]] = field(default_factory=tuple, repr=False)
    """The documents as X-Ray returned them, with their parts apart. They may hold more than may be shown."""

    @property
    def requests(self) -> list[Span]:
        """Return the spans of people's requests."""
        return [span for span in self.spans if span.user]

    @property
    def complete(self) -> bool:
        """Return whether the request and all spans between it and others have arrived."""
        known = {span.span_id for span in self.spans}
        roots = {span.span_id for span in self.requests}
        return bool(roots) and all(
            not span.is_open and (span.span_id in roots or not span.parent_id or span.parent_id in known)
            for span in self.spans
        )

    def of(self, user: str) -> Trace:
        """Return the parts of the trace that are this person's requests and what followed from them.

        Anyone may send a header that continues another's trace, so the trace's id alone opens nothing.
        """
        children: dict[str, list[Span]] = {}
        for span in self.spans:
            children.setdefault(span.parent_id, []).append(span)
        mine = {span.span_id: span for span in self.spans if user and span.user == user}
        waiting = list(mine.values())
        while waiting:
            for child in children.get(waiting.pop().span_id, ()):
                if child.span_id not in mine and child.user in ("", user):
                    mine[child.span_id] = child
                    waiting.append(child)
        return Trace(self.trace_id, tuple(span for span in self.spans if span.span_id in mine))


def trace_of(trace_id: str, documents: Iterable[Mapping[str, Any]]) -> Trace:
    """Return the trace of segment documents. A subsegment may be a document of its own, or within its segment."""
    flat = [part for document in documents for part in _parts(document)][:MOST_SPANS]
    spans = [_span(part) for part in flat]
    return Trace(trace_id, tuple(sorted(spans, key=lambda span: (span.start, -span.end))), tuple(flat))


def _parts(document: Mapping[str, Any], parent: str = "") -> Iterator[Mapping[str, Any]]:
    within = document.get("subsegments", ())
    yield {
        **{key: value for key, value in document.items() if key != "subsegments"},
        "parent_id": document.get("parent_id") or parent,
    }
    for each in within:
        yield from _parts(each, str(document["id"]))


def _span(part: Mapping[str, Any]) -> Span:
    start = float(part["start_time"])
    return Span(
        span_id=str(part["id"]),
        parent_id=str(part["parent_id"]),
        name=_name(str(part["name"])),
        start=start,
        end=max(start, float(part.get("end_time") or start)),
        error=any(part.get(flag) is True for flag in ("fault", "error", "throttle")),
        attributes=_attributes(part),
        namespace=str(part.get("namespace", "")),
        is_open=part.get("in_progress") is True,
    )


def _name(given: str) -> str:
    return given if NAME.fullmatch(given) else UNNAMED


def _attributes(part: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes that may be read: X-Ray keeps them as annotations, or as metadata when they are lists or
    not indexed."""
    metadata, annotations = part.get("metadata") or {}, part.get("annotations") or {}
    found: dict[str, Value] = {}
    status = ((part.get("http") or {}).get("response") or {}).get("status")
    for key, given in [
        ("http.response.status_code", status),
        *(metadata.get("default") or {}).items(),
        *annotations.items(),
    ]:
        name = KNOWN.get(str(key).replace(".", "_"))
        if name and (value := _value(name, given)) is not None:
            found[name] = value
    return found


def _value(name: str, given: Any) -> Value | None:
    """Return a value if it is what such an attribute holds: numbers, words, or entries of words."""
    if isinstance(given, bool | int | float):
        return given
    pattern = ENTRY if name in LISTS else WORD
    if isinstance(given, list):
        return [each for each in given if isinstance(each, str) and pattern.fullmatch(each)]
    if not isinstance(given, str) or name in LISTS or not pattern.fullmatch(given):
        return None
    # The rest of an ARN, such as an inference profile's, names the account.
    return given.rpartition("/")[2] if given.startswith("arn:") else given
