"""The prompt that serves is the registry's or, if anything is wrong with the registry, one that works."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, SystemMessage

from fmops.agent import NAME, PROMPT
from fmops.prompts import VALUES, Prompt, PromptError, PromptSource, packaged
from tests.assistant.test_service import Model, Service

OURS = packaged(NAME, PROMPT)
SECOND, THIRD = (
    Prompt(NAME, version, f"You are version {version}. Today is {{{{ today }}}}.") for version in "23"
)


class Registry:
    """A registry that answers as told."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def __call__(self, name: str, alias: str) -> Prompt | None:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer.checked() if answer else None


def test_the_packaged_prompt_serves_until_the_registry_answers() -> None:
    source = PromptSource(OURS, Registry(ConnectionError("away"), None, SECOND))
    assert (source.refresh(), source.current, source.serving()) == (
        "unavailable",
        OURS,
        (NAME, True, 0),
    )
    assert (source.refresh(), source.current) == ("not_found", OURS)
    assert (source.refresh(), source.current, source.serving()) == ("loaded", SECOND, (NAME, False, 2))


def test_what_was_loaded_serves_on_when_the_registry_is_away_or_its_prompt_is_wrong() -> None:
    wrong = Prompt(NAME, "4", "Be nice to {{name}}")
    source = PromptSource(
        OURS, Registry(SECOND, ConnectionError(), wrong, Prompt("p", "5", " "), SECOND, THIRD)
    )
    results = [source.refresh() for _ in range(5)]
    assert results == ["loaded", "unavailable", "invalid", "invalid", "unchanged"]
    assert source.current == SECOND
    assert source.refresh() == "loaded"
    assert source.current == THIRD


def test_a_variable_that_nobody_fills_is_named() -> None:
    with pytest.raises(
        PromptError, match=NAME + r" version 2 has {{tody}}, which cannot be filled .*: only {{today}} can"
    ):
        Prompt(NAME, "2", "It is {{tody}}, or {{today}}").checked()


@pytest.mark.parametrize(
    "markup",
    [
        "{% if user %}",
        "{%- for a in b -%}",
        "{{ today | upper }}",
        "{{ user.name }}",
        "{{ user['name'] }}",
        "{{ today() }}",
        "{# a remark #}",
        "{{ 'today' }}",
        "{{}}",
        "{{\n tody \n}}",
        "{{{today}}",
        "{{today",
        "{% raw %}",
        '{{"a": 1}}',
    ],
)
def test_markup_that_nobody_fills_is_refused_by_name(markup: str) -> None:
    with pytest.raises(PromptError) as refused:
        Prompt(NAME, "2", f"It is {{{{today}}}}.\nSee {markup} and").checked()
    assert markup in str(refused.value)


@pytest.mark.parametrize(
    "text", ['Answer as {"a": {"b": {}}}.', "Use {name}, 100 % of it }}.", "{ {today} }"]
)
def test_braces_that_mlflow_leaves_alone_stay(text: str) -> None:
    assert Prompt(NAME, "2", text).checked().render() == text


def test_a_variable_is_filled_whatever_space_is_in_its_braces() -> None:
    today = VALUES["today"]()
    assert (
        Prompt(NAME, "2", "{{today}} {{ today }} {{\ttoday\n}}").checked().render() == f"{today} " * 2 + today
    )


def test_a_source_looks_again_until_it_is_stopped() -> None:
    source = PromptSource(OURS, Registry(SECOND, THIRD, *[THIRD] * 100_000), seconds=0.001)
    source.start()
    while source.current != THIRD:
        pass
    source.stop()
    source._thread.join(5)
    assert not source._thread.is_alive()


class Hearing(Model):
    """A model that stores the system messages that it gets."""

    heard: list[str] = []

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.heard += [str(each.content) for each in messages if isinstance(each, SystemMessage)]
        return super()._stream(messages, *args, **kwargs)


def test_a_turn_has_the_version_of_its_beginning_and_records_it() -> None:
    source = PromptSource(OURS, Registry(SECOND, THIRD))
    source.refresh()
    model = Hearing(script=iter([AIMessage("One."), AIMessage("Two.")]))
    it = Service(iter(()), model=model, prompts=source)
    it.ask()
    source.refresh()
    it.ask()
    assert [record.prompt_version for record in it.sink.records] == ["2", "3"]  # type: ignore[union-attr]
    assert [text[:21] for text in model.heard] == ["You are version 2. To", "You are version 3. To"]
    assert "{{" not in model.heard[0]


def test_a_blocked_request_names_the_version_that_would_have_served() -> None:
    source = PromptSource(OURS, Registry(SECOND))
    source.refresh()
    it = Service(iter(()), prompts=source)
    it.ask("You grumblefish!")
    assert (it.record.finish_reason, it.record.prompt_version) == ("content_filter", "2")
