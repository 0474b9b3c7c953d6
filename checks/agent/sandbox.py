"""The sandbox: the agent's own people and records, with the project's policies, guardrails and prompt, over a local AWS
that lives as long as it is used. Nothing is synthesized or deployed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import settings
from checks import policy_store
from fmops.agent import NAME, PROMPT
from fmops.conversation.failures import AnswerFailedError
from fmops.guardrails import GuardrailSettings
from fmops.prompts import Prompt, PromptError, packaged
from fmops.variants.sandbox import people
from fmops.variants.variant import Answer, Variant, VariantAssistant, Workbench
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY
from local.aws.server import LocalAws

PREFIX = "sandbox"


class SandboxError(Exception):
    """The question cannot be asked; the message says what is wrong and what to do."""


async def answered(question: str, caller: str, profile: str, prompt: Path | None) -> tuple[str, Answer]:
    """Return who asked (the sandbox's first person when ``caller`` is empty) and the answer.

    Raises ``SandboxError``.
    """
    known = people()
    asking = caller or next(iter(known))
    if asking not in known:
        raise SandboxError(f"{asking!r} is not one of the sandbox's people: use AS={', AS='.join(known)}")
    with sandbox(profile, prompt) as assistant:
        try:
            return asking, await assistant.answer(asking, question)
        except AnswerFailedError as error:
            raise SandboxError(str(error)) from error


@contextmanager
def sandbox(profile: str = "dev", prompt: Path | None = None) -> Iterator[VariantAssistant]:
    """Yield the assistant as a profile configures it, with the packaged prompt or the one in a file.

    Raises ``SandboxError`` for a profile or a prompt that cannot be used.
    """
    try:
        chosen = settings.load({**settings.read_context(), "profile": profile})
        text = (
            Prompt(NAME, prompt.name, prompt.read_text("utf-8")).checked()
            if prompt
            else packaged(NAME, PROMPT)
        )
    except (settings.SettingsError, PromptError, OSError) as error:
        raise SandboxError(str(error)) from error
    with TemporaryDirectory() as folder, LocalAws(port=0, enforce=False, directory=Path(folder)) as cloud:
        os.environ.update(
            AWS_ENDPOINT_URL=cloud.endpoint,
            AWS_ACCESS_KEY_ID=ADMIN_ACCESS_KEY,
            AWS_SECRET_ACCESS_KEY=ADMIN_SECRET_KEY,
            AWS_DEFAULT_REGION=cloud.region,
            AWS_REGION=cloud.region,
        )
        bench = Workbench(
            region=cloud.region,
            policy_store_id=policy_store.make(cloud, PREFIX, "sandbox"),
            principal_prefix=PREFIX,
            embedding_model_id=chosen.assistant.embedding_model_id,
            max_output_tokens=chosen.assistant.max_output_tokens,
        )
        guardrails = GuardrailSettings.model_validate(chosen.assistant.guardrails)
        yield bench.assistant(Variant(text, chosen.assistant.model_id, guardrails))
