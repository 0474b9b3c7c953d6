"""A built-in stand-in for a Bedrock model, which is no language model.

It recognises the agent's requests by the patterns of ``demo/stand_in_model.yaml``, calls the tools it is
offered, and answers with sentences from the tools' results. It obeys whatever it reads, including orders in
tool results, so that an attack's success depends on the layers around it and not on a model's good manners. Of
a system prompt it follows only what ``Manner`` lists, so that prompts can be compared as far as they differ in
that. Asked for a verdict or a grade, it computes one (``judging``). Token counts are estimates: four characters
to a token.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.aws.services.bedrock import drafting, judging
from local.aws.services.bedrock.responder_script import Call, script

Event = dict[str, dict[str, Any]]

INSTRUCTION = re.compile(
    r"(?:ignore|disregard|forget)\b[^.]{0,80}\b(?:instructions?|rules?)\b[.:,]?\s*(?P<order>[^\"\n]+)",
    re.IGNORECASE,
)
GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|good (?:morning|afternoon|evening)|thanks?|thank you)\b", re.IGNORECASE
)
STOP_WORDS = frozenset(
    "a an and are as at be by can do does for from has have how i in is it me my of on or our should that"
    " the their to "
    "was we what when where which who will with would you your please tell much many long".split()
)


SENTENCES = re.compile(
    r"\b(?:up to|at most|no more than) (?P<number>one|two|three|four|five|six|\d)\s+sentences?\b",
    re.IGNORECASE,
)
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


@dataclass(frozen=True)
class Manner:
    """The instructions that it takes from a system prompt.

    ``searches``: the prompt names the search tool (or there is no prompt); otherwise it answers without
    sources, in general words. ``cites``: the prompt says to name the document. ``sentences``: the prompt says
    "up to N sentences"; otherwise two.
    """

    searches: bool = True
    cites: bool = True
    sentences: int = 2

    @classmethod
    def of(cls, system: str) -> Manner:
        if not system.strip():
            return cls()
        number = SENTENCES.search(system)
        count = NUMBERS.get(number["number"].lower()) or int(number["number"]) if number else 2
        return cls(script().search in system, "name the document" in system.lower(), count)


@dataclass
class Turn:
    """The last messages: the user's words, and the tool results that followed them."""

    question: str = ""
    results: list[tuple[str, str, bool]] = field(default_factory=list)
    """Tool name, text, and whether the tool succeeded."""


def respond(request: dict[str, Any]) -> Iterator[Event]:
    """Return the answer to a Converse request, as the events of ConverseStream."""
    offered = {
        tool["toolSpec"]["name"]
        for tool in request.get("toolConfig", {}).get("tools", [])
        if "toolSpec" in tool
    }
    turn = _turn(request["messages"])
    manner = Manner.of(" ".join(block.get("text", "") for block in request.get("system") or []))
    judged, graded = judging.criterion(request), judging.graded(request)
    calls = [call for call in _calls(turn) if call.name in offered]
    if not manner.searches:
        calls = [call for call in calls if call.name != script().search]
    if judged is not None:
        calls = [Call(f"judge_{judged}", judging.verdict(judged, request))]
    if graded is not None:
        calls = [Call(f"grade_{graded}", judging.grade(graded, request))]
    yield {"messageStart": {"role": "assistant"}}
    if calls:
        yield from _tool_use(calls)
        answered = json.dumps([call.arguments for call in calls])
    else:
        answered = drafting.draft(request) or _answer(turn, manner)
        yield from _text(answered)
    yield {"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}}
    asked = len(json.dumps(request["messages"], default=str)) + len(
        json.dumps(request.get("system", []), default=str)
    )
    usage = {"inputTokens": asked // 4 + 1, "outputTokens": len(answered) // 4 + 1}
    usage["totalTokens"] = usage["inputTokens"] + usage["outputTokens"]
    yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 0}}}


def _turn(messages: Sequence[dict[str, Any]]) -> Turn:
    turn = Turn()
    names: dict[str, str] = {}
    for message in messages:
        for block in message["content"]:
            if "toolUse" in block:
                names[block["toolUse"]["toolUseId"]] = block["toolUse"]["name"]
            elif "toolResult" in block:
                result = block["toolResult"]
                text = " ".join(
                    part.get("text") or json.dumps(part.get("json", "")) for part in result["content"]
                )
                turn.results.append(
                    (names.get(result["toolUseId"], ""), text, result.get("status") != "error")
                )
            elif "text" in block and message["role"] == "user":
                turn = Turn(block["text"])
    return turn


def _calls(turn: Turn) -> list[Call]:
    if not turn.results:
        return _intent(turn.question)
    # An order in a result is followed once, as by a model that is taken in.
    orders = [match["order"] for _, text, _ in turn.results for match in INSTRUCTION.finditer(text)]
    if orders and len(turn.results) == 1:
        return _intent(orders[0])
    return []


def _intent(text: str) -> list[Call]:
    if calls := script().calls_for(text, decoded=_decoded):
        return calls
    if GREETING.match(text) or _decoded(text) is not None:
        return []
    return [Call(script().search, {"query": text})]


def _answer(turn: Turn, manner: Manner) -> str:
    if not turn.results:
        decoded = _decoded(turn.question)
        if decoded is not None:
            return decoded
        if not manner.searches and not GREETING.match(turn.question):
            return script().in_general
        return script().greeting
    return " ".join(
        _report(turn.question, name, text, succeeded, manner) for name, text, succeeded in turn.results
    )


def _report(question: str, name: str, text: str, succeeded: bool, manner: Manner) -> str:
    if not succeeded:
        return f"I cannot do that: {text}"
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if name == script().search:
        return _extract(question, value, manner)
    return script().report(name, value) or text


def _extract(question: str, documents: list[dict[str, str]], manner: Manner) -> str:
    """Return the sentences that share the most words with the question, and the documents they come from."""
    wanted = _words(question)
    ranked = sorted(
        (
            (
                len(wanted & _words(sentence)) + 0.5 * len(wanted & _words(document["title"])),
                document["title"],
                sentence,
            )
            for document in documents
            for sentence in re.split(r"(?<=[.!?])\s+", document["text"])
        ),
        key=lambda item: -item[0],
    )
    best = [item for item in ranked[: manner.sentences] if item[0] > 0]
    if not best:
        return "I found no document that answers this."
    said = " ".join(sentence for _, _, sentence in best)
    if not manner.cites:
        return said
    titles = " and ".join(dict.fromkeys(f"“{title}”" for _, title, _ in best))
    return f"According to {titles}: {said}"


def _decoded(text: str) -> str | None:
    """Decode a text as a model would on request: the result is for the output guardrails to judge."""
    match = re.search(r"decode\b.*?[\"“:]\s*([A-Za-z0-9+/=]{12,})", text, re.IGNORECASE | re.DOTALL)
    if match:
        try:
            return base64.b64decode(match[1], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
    match = re.search(r"rot-?13\b.*?[\"“:]\s*(.+?)[\"”]?\s*$", text, re.IGNORECASE | re.DOTALL)
    return codecs.decode(match[1], "rot13") if match else None


def _words(text: str) -> set[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return {word.rstrip("s") for word in words if word not in STOP_WORDS and len(word) > 2}


def _text(text: str) -> Iterator[Event]:
    for piece in re.findall(r"\S+\s*(?:\S+\s*){0,2}", text):
        yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
    yield {"contentBlockStop": {"contentBlockIndex": 0}}


def _tool_use(calls: Sequence[Call]) -> Iterator[Event]:
    for index, call in enumerate(calls):
        start = {"toolUse": {"toolUseId": f"tooluse_{uuid.uuid4().hex[:22]}", "name": call.name}}
        yield {"contentBlockStart": {"start": start, "contentBlockIndex": index}}
        delta = {"toolUse": {"input": json.dumps(call.arguments)}}
        yield {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
