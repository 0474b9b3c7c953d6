"""Sentences about a trace for people who do not read telemetry."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from fmops.telemetry import attributes as names
from fmops.traces.spans import Span

TEXTS = {
    "input": "the question",
    "output": "the answer",
    "tool_arguments": "what the model sent to a tool",
    "tool_results": "what a tool returned",
    "retrieved": "a retrieved document",
}
FINISHES = {
    "stop": "The answer ended normally",
    "length": "The answer was cut at the maximum length",
    "content_filter": "A guardrail stopped the answer",
    "budget_exceeded": "A budget was spent, so the answer was refused or cut",
    "client_disconnect": "The answer was cut short because the person left",
    "error": "The answer failed",
}
STATUSES = {
    "success": "and succeeded",
    "error": "and failed",
    "denied": "but was not allowed to run",
    "blocked": "but a guardrail withheld its result",
    "waiting": "and waits for a person to approve it",
}
REASONS = {
    "not_permitted": "no policy permits it",
    "policy_error": "a policy could not be evaluated",
    "unavailable": "Verified Permissions did not answer",
    "invalid_arguments": "its arguments cannot be authorized",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
CAPTURE = "capture"
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
TIMES = {1: "once", 2: "twice"}


def of_span(kind: str, span: Span) -> str:
    """Return the sentence about a span."""
    said = _SENTENCES.get(kind, _other)(span)
    failed = span.shown.get(names.ERROR_TYPE)
    told = kind in ("guardrail", "request") or span.name == CAPTURE
    return f"{said} It failed: `{failed}`." if failed and not told else said


def of_check(direction: str, action: str, detector: str, reason: str, count: int) -> str:
    """Return the sentence about a decision of the guardrails."""
    text = TEXTS.get(direction, "a text")
    if action == "allow":
        return f"{number(count).capitalize()} {'check' if count == 1 else 'checks'} of {text} passed."
    because = f" ({reason.replace('_', ' ').lower()})" if reason else ""
    by = f"The detector `{detector}`" if detector else "The guardrails"
    done = {"block": "blocked", "redact": "redacted", "flag": "flagged"}.get(action, action)
    return f"{by} {done} {text}{because}{_times(count)}."


def of_permission(
    action: str, resource: str, decision: str, reason: str, policies: Sequence[str], count: int
) -> str:
    """Return the sentence about a decision on a call."""
    what = f"`{action}`" + (f" on {_noun(resource)}" if resource else "")
    by = f" by the {'policy' if len(policies) == 1 else 'policies'} {_listed(policies)}" if policies else ""
    if decision == "ALLOW":
        return f"Cedar permitted {what}{_times(count)}{by}."
    if reason == "needs_approval":
        return f"Cedar did not permit {what}{_times(count)}, but{by} it may wait for a person to approve it."
    because = f": {REASONS[reason]}" if reason in REASONS else ""
    return f"Cedar denied {what}{_times(count)}{by}{because}."


def of_call(name: str, status: str, count: int) -> str:
    """Return the sentence about the calls of a tool."""
    called = "A tool that does not exist" if name == "_OTHER" else f"The tool `{name}`"
    return f"{called} was called {TIMES.get(count, f'{number(count)} times')} {STATUSES.get(status, status)}."


def of_spending(
    calls: int, models: Collection[str], input_tokens: int, output_tokens: int, cost: float | None
) -> str:
    """Return the sentence about the model's calls; empty when there was none."""
    if not calls:
        return ""
    named = " ".join(f"`{each}`" for each in sorted(models) if each not in ("", "unknown"))
    model = f"The model {named}" if named else "The model"
    price = f", for about US${cost:.4f}" if cost is not None else ""
    times = TIMES.get(calls, f"{number(calls)} times")
    return f"{model} was called {times}: it read {input_tokens:,} tokens and wrote {output_tokens:,}{price}."


def number(value: int) -> str:
    """Return a number as a word up to ten."""
    return NUMBERS[value] if 0 <= value < len(NUMBERS) else f"{value:,}"


def seconds(span: Span) -> str:
    """Return the duration of a span, as people say it."""
    took = span.end - span.start
    return f"{took:.1f} s" if took >= 1 else f"{1000 * took:.0f} ms"


def _request(span: Span) -> str:
    finish = str(span.attributes.get(names.INTERACTION_FINISH_REASON, ""))
    if finish:
        return f"{FINISHES.get(finish, 'The answer ended')} after {seconds(span)}."
    return f"The assistant handled a request in {seconds(span)}."


def _model(span: Span) -> str:
    name = span.shown.get(names.GEN_AI_REQUEST_MODEL, "")
    model = f"The model `{name}`" if name not in ("", "unknown") else "The model"
    if names.GEN_AI_INPUT_TOKENS not in span.attributes:
        return f"{model} was called."
    read, wrote = (span.number(each) for each in (names.GEN_AI_INPUT_TOKENS, names.GEN_AI_OUTPUT_TOKENS))
    return f"{model} read {int(read):,} tokens and wrote {int(wrote):,}."


def _guardrail(span: Span) -> str:
    text = TEXTS.get(str(span.attributes.get(names.GUARDRAIL_DIRECTION, "")), "a text")
    check = f"The check of {text} by `{span.attributes[names.GUARDRAIL_DETECTOR]}`"
    result, found = span.attributes.get(names.GUARDRAIL_RESULT), int(span.number(names.GUARDRAIL_FINDINGS))
    if result != "ok":
        return f"{check} gave no answer ({result or 'it did not end'})."
    return f"{check} found {'nothing' if not found else f'{number(found)} matches' if found > 1 else 'one match'}."


def _authorization(span: Span) -> str:
    actions, policies = span.words(names.AUTHORIZATION_ACTION), span.words(names.AUTHORIZATION_POLICIES)
    reasons = [REASONS[each] for each in span.words(names.AUTHORIZATION_REASON) if each in REASONS]
    by = f" by the {'policy' if len(policies) == 1 else 'policies'} {_listed(policies)}" if policies else ""
    if span.attributes.get(names.AUTHORIZATION_DECISION) == "ALLOW":
        return f"Cedar permitted {_listed(actions)}{by}."
    because = f" ({', '.join(reasons)})" if reasons else ""
    return f"Cedar decided about {_listed(actions)}{by} and denied at least one call{because}."


def _tool(span: Span) -> str:
    return f"The tool `{span.shown.get(names.GEN_AI_TOOL_NAME, 'unknown')}` ran for {seconds(span)}."


def _retrieval(span: Span) -> str:
    found, readable = (int(span.number(each)) for each in (names.RETRIEVAL_FOUND, names.RETRIEVAL_READABLE))
    documents = f"{number(found)} {'document' if found == 1 else 'documents'}"
    return (
        f"The search of the knowledge base found {documents}; {number(readable)} may be shown to this person."
    )


def _aws(span: Span) -> str:
    return f"A call of the AWS service {span.name} took {seconds(span)}."


def _other(span: Span) -> str:
    if span.name == CAPTURE:
        failed = span.shown.get(names.ERROR_TYPE)
        lacking = f", without an embedding (`{failed}`)" if failed else ""
        return f"The interaction was recorded in {seconds(span)} while nobody waited for it{lacking}."
    if span.attributes.get(names.GEN_AI_OPERATION) == "invoke_agent":
        return f"The agent worked for {seconds(span)}."
    return f"{span.name} took {seconds(span)}."


_SENTENCES: Mapping[str, Callable[[Span], str]] = {
    "request": _request,
    "model": _model,
    "guardrail": _guardrail,
    "authorization": _authorization,
    "tool": _tool,
    "retrieval": _retrieval,
    "aws": _aws,
}


def _times(count: int) -> str:
    return "" if count == 1 else f" {TIMES.get(count, f'{number(count)} times')}"


def _listed(each: Sequence[str]) -> str:
    quoted = [f"`{one}`" for one in each]
    return (
        quoted[0]
        if len(quoted) == 1
        else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
        if quoted
        else "nothing"
    )


def _noun(kind: str) -> str:
    """Return the type of a resource as a noun with its article, such as ``a knowledge base``."""
    words = HUMP.sub(" ", kind).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
