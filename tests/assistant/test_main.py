"""The server does what the deployment's environment says."""

from __future__ import annotations

from typing import Any

import pytest

from fmops.assistant.__main__ import configuration, main
from fmops.assistant.settings import AssistantSettings
from fmops.conversation.limits import MAX_OUTPUT_TOKENS
from fmops.telemetry.metrics import instruments

REQUIRED = (
    "FMOPS_MODEL_ID",
    "FMOPS_EMBEDDING_MODEL_ID",
    "FMOPS_OIDC_ISSUER",
    "FMOPS_OIDC_AUDIENCE",
    "FMOPS_PRINCIPAL_PREFIX",
    "FMOPS_POLICY_STORE_ID",
    "FMOPS_DELIVERY_STREAM",
    "FMOPS_RECORDS_TABLE",
    "FMOPS_APPROVALS_TABLE",
    "FMOPS_SPOOL_DIRECTORY",
    "FMOPS_PSEUDONYM_KEY_SECRET",
    "AWS_REGION",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.setenv(name, "x")


async def app(*_: Any) -> None:
    """Return an application that serves nothing."""


def test_idle_connections_are_kept_as_long_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMOPS_KEEP_ALIVE_SECONDS", "125")

    assert configuration(app, AssistantSettings()).timeout_keep_alive == 125


def test_without_a_word_of_the_deployment_connections_outlive_the_usual_balancers() -> None:
    assert AssistantSettings().keep_alive_seconds > 120


def test_the_answers_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AssistantSettings().max_output_tokens == MAX_OUTPUT_TOKENS
    monkeypatch.setenv("FMOPS_MAX_OUTPUT_TOKENS", "100")
    assert AssistantSettings().max_output_tokens == 100


def test_no_instrument_is_made_before_there_is_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters begin at zero when they are made: without a provider, the zeros are lost, and panels stay empty."""
    from fmops.assistant import assembly

    class Started(Exception):  # noqa: N818 - ends the start
        pass

    def start(**_: object) -> None:
        assert instruments.cache_info().currsize == 0
        raise Started

    monkeypatch.setattr(assembly, "start", start)
    monkeypatch.setattr("sys.setswitchinterval", lambda _: None)
    instruments.cache_clear()
    with pytest.raises(Started):
        main()


def test_a_broken_file_of_the_agent_is_a_sentence_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fmops.assistant import assembly
    from fmops.written import UnreadableFileError

    def refuse(*_: Any) -> None:
        raise UnreadableFileError("questions.yaml, line 3, column 1 is not YAML: correct it")

    monkeypatch.setattr(assembly, "assemble", refuse)
    assert main() == 2
    assert capsys.readouterr().err == "questions.yaml, line 3, column 1 is not YAML: correct it\n"
