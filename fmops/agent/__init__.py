"""The agent that this deployment serves, and all that a fork replaces of the runtime: here, an insurance claims desk.

``records`` is its system of record, ``tools`` what the model may call, ``resources`` what Cedar decides each call
on, and ``sandbox`` the records that evaluations work on. ``prompts``, ``knowledge`` and ``evaluation`` hold its
texts.
"""

from pathlib import Path

_HERE = Path(__file__).parent

NAME = "claims-desk"
"""Of the model that clients ask for, of the prompt in the registry, and of the experiments."""

ROLE = "an insurance claims desk's assistant"
"""What judges are told whose answers they judge."""

TITLE, HINT = "Claims desk", "Ask about your insurance or a claim"
"""Of the chat page: its heading, and what stands in the empty message."""

NAMESPACE = "ClaimsDesk"
"""Of the Cedar schema in ``policies``."""

PROMPT = _HERE / "prompts" / "system.md"
"""The packaged prompt: it serves until the registry has one, and whenever the registry is away."""

KNOWLEDGE = _HERE / "knowledge"
"""Documents in Markdown, each after a header that says who may read it."""

SANDBOX = _HERE / "evaluation" / "sandbox.yaml"
"""People and records that only evaluations, experiments and the playground know."""

CASES = _HERE / "evaluation" / "golden.jsonl"
LABELS = _HERE / "evaluation" / "labelled.jsonl"
