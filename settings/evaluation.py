"""Settings of the evaluation of prompts."""

from __future__ import annotations

from settings.kinds import ModelId, Section


class Evaluation(Section):
    """What judges the assistant's answers."""

    judge_model_id: ModelId = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Of Bedrock's evaluation jobs. Another model than the assistant's, and a larger one: a model is lenient with
    itself."""
