"""The agent that this deployment serves, and everything that a fork replaces in the runtime: here, an insurance
claims desk.

``records`` is its system of record, ``tools`` holds what the model may call, ``resources`` tells Cedar what
each call acts on, and ``sandbox`` holds the records that evaluations work on. ``prompts``, ``knowledge`` and
``evaluation`` hold its texts.
"""

from pathlib import Path

_HERE = Path(__file__).parent

NAME = "claims-desk"
"""Name of the model that clients ask for, of the prompt in the registry, and of the experiments."""

ROLE = "an insurance claims desk's assistant"
"""Role of the assistant, as described to judges."""

TITLE, HINT = "Claims desk", "Ask about your insurance or a claim"
"""Heading of the chat page, and the hint in its empty message box."""

NAMESPACE = "ClaimsDesk"
"""Namespace of the Cedar schema in ``policies``."""

PROMPT = _HERE / "prompts" / "system.md"
"""Path of the packaged prompt, which serves until the registry has one and whenever the registry is
unavailable.
"""

KNOWLEDGE = _HERE / "knowledge"
"""Folder of Markdown documents; the header of each says who may read it."""

QUESTIONS = _HERE / "questions.yaml"
"""Greeting and questions that the chat suggests to people by their groups."""

SANDBOX = _HERE / "evaluation" / "sandbox.yaml"
"""People and records that exist only for evaluations, experiments and the playground."""

CASES = _HERE / "evaluation" / "golden.jsonl"
LABELS = _HERE / "evaluation" / "labelled.jsonl"
