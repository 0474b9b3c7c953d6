"""Settings of the evaluation of prompts."""

from __future__ import annotations

from settings.kinds import ModelId, Section


class Evaluation(Section):
    """The judge of the assistant's answers."""

    judge_model_id: ModelId = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Model of Bedrock's evaluation jobs. It should be larger than the assistant's and not the same: a model is
    lenient with itself."""
