"""The agent that this deployment serves, and everything in the runtime that a fork replaces: here, an
IT service desk.

``records`` is its system of record, ``tools`` what the model may call, ``resources`` what Cedar decides each
call on, and ``sandbox`` the records that evaluations work on. ``prompts``, ``knowledge`` and ``evaluation``
hold its texts.
"""

from pathlib import Path

_HERE = Path(__file__).parent

NAME = "service-desk"
"""Name of the model that clients ask for, of the prompt in the registry, and of the experiments."""

ROLE = "an IT service desk's assistant"
"""Description for judges of the assistant whose answers they judge."""

TITLE, HINT = "Service desk", "Ask how something works, or about a ticket"
"""Heading of the chat page, and placeholder of its empty message."""

NAMESPACE = "ServiceDesk"
"""Namespace of the Cedar schema in ``policies``."""

PROMPT = _HERE / "prompts" / "system.md"
"""The packaged prompt, which serves until the registry has one, and whenever the registry is unavailable."""

KNOWLEDGE = _HERE / "knowledge"
"""Documents in Markdown, each after a header that says who may read it."""

QUESTIONS = _HERE / "questions.yaml"
"""Greeting and questions that the chat suggests to people by their groups."""

SANDBOX = _HERE / "evaluation" / "sandbox.yaml"
"""People and records that only evaluations, experiments and the playground know."""

CASES = _HERE / "evaluation" / "golden.jsonl"
LABELS = _HERE / "evaluation" / "labelled.jsonl"
