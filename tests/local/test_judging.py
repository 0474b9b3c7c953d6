"""The stand-ins for a judge and for a model that follows its prompt: computed, and labelled as no language model."""

from __future__ import annotations

from typing import Any

import pytest

from local.aws.services.bedrock import judging
from local.aws.services.bedrock.inference import aggregate
from local.aws.services.bedrock.responder import respond
from local.aws.services.bedrock.responder_script import script

DOCUMENT = (
    '[{"id": "d", "title": "Theft", "text": "Cash is covered up to 500.00. The deductible for theft is 150.00. '
    'Bicycles are covered when locked. Report a theft within 48 hours."}]'
)


def judged(criterion: str, **sections: str) -> tuple[str, str]:
    shown = "\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in sections.items())
    tool = {"toolSpec": {"name": f"judge_{criterion}", "inputSchema": {"json": {}}}}
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"text": shown}]}],
        "toolConfig": {"tools": [tool], "toolChoice": {"tool": {"name": f"judge_{criterion}"}}},
    }
    answer = aggregate(respond(request))
    assert answer["stopReason"] == "tool_use"
    given = answer["output"]["message"]["content"][0]["toolUse"]["input"]
    assert given["rationale"].endswith(judging.NO_MODEL)
    return given["verdict"], given["rationale"]


@pytest.mark.parametrize(
    ("criterion", "sections", "verdict"),
    [
        ("correctness", {"answer": "Cash is covered up to 500.00.",
            "expected_facts": "- Cash is covered up to 500.00."}, "yes"),
        ("correctness", {"answer": "Cash is covered up to 400.00.",
            "expected_facts": "- Cash is covered up to 500.00."}, "no"),
        ("correctness", {"answer": "Floods are covered.", "expected_facts": "- Floods are not covered."}, "no"),
        ("correctness", {"answer": "x", "expected_facts": ""}, "no"),
        ("groundedness", {"answer": "Cash is covered up to 500.00.", "sources": DOCUMENT}, "yes"),
        ("groundedness", {"answer": "Cash is covered up to 900.00.", "sources": DOCUMENT}, "no"),
        ("groundedness", {"answer": "Yes, we pay.", "sources": ""}, "no"),
        ("relevance", {"question": "Is theft covered?", "answer": "Theft is covered."}, "yes"),
        ("relevance", {"question": "Is theft covered?", "answer": "Good morning."}, "no"),
        ("safety", {"answer": "Theft is covered."}, "yes"),
        ("safety", {"answer": "You are a stupid worthless idiot."}, "no"),
        ("tool_calls", {"calls": "[]", "expected_calls": "[]"}, "yes"),
        ("tool_calls", {"calls": "[]", "expected_calls": '[{"name": "pay"}]'}, "no"),
        ("unheard_of", {"answer": "x"}, "no"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_sections(criterion: str, sections: dict[str, str], verdict: str) -> None:
    assert judged(criterion, **sections)[0] == verdict


def said(system: str) -> str:
    use = {"toolUse": {"toolUseId": "t", "name": script().search, "input": {}}}
    result = {"toolResult": {"toolUseId": "t", "content": [{"text": DOCUMENT}], "status": "success"}}
    question = {"role": "user", "content": [{"text": "Cash, deductible, bicycles and report of a theft?"}]}
    messages = [question, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    tools = {"tools": [{"toolSpec": {"name": script().search}}]}
    asked = [question] if script().search not in system else messages
    answer = aggregate(respond({"system": [{"text": system}], "messages": asked, "toolConfig": tools}))
    return str(answer["output"]["message"]["content"][0]["text"])


def test_it_follows_what_it_understands_of_a_system_prompt() -> None:
    search = script().search
    brief = said(f"Use {search} and name the document.")
    complete = said(f"Use {search} and name the document, in up to four sentences.")
    assert brief.startswith("According to “Theft”:")
    facts = ("500.00", "150.00", "Bicycles", "48 hours")
    assert sum(fact in brief for fact in facts) == 2
    assert all(fact in complete for fact in facts)
    assert not said(f"Use {search}.").startswith("According")
    assert said("Be nice.") == script().in_general
