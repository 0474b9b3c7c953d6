"""Prompts from the MLflow prompt registry, served by their alias. No request ever waits for MLflow.

A thread asks the registry. The packaged prompt serves until the registry first answers; after that, the last
version that was loaded does.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fmops import written
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.tracking import signed_in

PRODUCTION = "production"
"""Alias of the version that serves."""
PACKAGED = "packaged"
"""Version name of the prompt that comes with the code."""
MARKUP = re.compile(r"\{\{(.*?)(?:\}\}|$)|(\{[%#].*?(?:[%#]\}|$))", re.DOTALL)
"""MLflow's notation: a variable, or a statement or comment of Jinja, up to its end or the end of the text."""

Result = Literal["loaded", "unchanged", "not_found", "invalid", "unavailable"]

_log = logging.getLogger(__name__)

VALUES: Mapping[str, Callable[[], str]] = {"today": lambda: datetime.now(UTC).date().isoformat()}
"""Values of a prompt's variables. A prompt with any other variable is refused."""


class PromptError(ValueError):
    """The prompt cannot serve; the message names the prompt, the fault and the remedy."""


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt. ``version`` is the registry's number, or ``packaged``."""

    name: str
    version: str
    template: str

    def checked(self) -> Prompt:
        """Return the prompt itself if it can serve. Raises ``PromptError``."""
        if not self.template.strip():
            raise PromptError(f"prompt {self.name} version {self.version} is empty: give it a text")
        markup = [match for match in MARKUP.finditer(self.template) if _variable(match) not in VALUES]
        if markup:
            wrong = " and ".join(dict.fromkeys(_shortened(match[0]) for match in markup))
            known = " and ".join(f"{{{{{variable}}}}}" for variable in sorted(VALUES))
            raise PromptError(
                f"prompt {self.name} version {self.version} has {wrong}, which cannot be filled and would go to the"
                f" model as it stands: only {known} can; write anything else out"
            )
        return self

    def render(self) -> str:
        """Return the text with the current values of its variables."""
        return MARKUP.sub(lambda match: VALUES[_variable(match)](), self.template)


def _variable(match: re.Match[str]) -> str:
    """Return the name between double braces; empty for a statement, a comment, or a variable without an end."""
    return (match[1] or "").strip() if match[0].endswith("}}") else ""


def _shortened(markup: str, most: int = 60) -> str:
    return markup if len(markup) <= most else f"{markup[:most]}…"


def packaged(name: str, path: Path) -> Prompt:
    """Return the prompt that comes with the code."""
    return Prompt(name, PACKAGED, written.read(path)).checked()


Load = Callable[[str, str], Prompt | None]
"""A loader, as a function from (name, alias) to the registry's version, or ``None`` if there is none. It may
raise any error."""


class PromptSource:
    """Choose the prompt that serves now.

    Args:
        fallback: prompt that serves until the registry has answered.
        load: function that asks the registry; without it, the fallback always serves.
        alias: alias of the version to serve.
        seconds: time between checks of the registry.
    """

    def __init__(
        self, fallback: Prompt, load: Load | None = None, *, alias: str = PRODUCTION, seconds: float = 30
    ) -> None:
        self._load = load
        self._alias = alias
        self._seconds = seconds
        self._current = self._fallback = fallback
        self._last: Result | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="prompts", daemon=True)
        instruments().watch_prompts(self)

    @property
    def current(self) -> Prompt:
        """Return the prompt for a turn that begins now: at once, from memory."""
        return self._current

    def serving(self) -> tuple[str, bool, int]:
        """Return the name, whether the fallback serves, and the registry's version number (0 for the
        fallback).
        """
        prompt = self._current
        return prompt.name, prompt is self._fallback, int(prompt.version) if prompt.version.isdigit() else 0

    def start(self) -> None:
        """Start the thread that checks the registry."""
        if self._load is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread without waiting for a check in progress."""
        self._stopped.set()

    def refresh(self) -> Result:
        """Check the registry once. A prompt that cannot serve leads only to a log line and a metric."""
        result, detail = self._look()
        instruments().prompt_refreshes.add(1, {names.PROMPT_RESULT: result})
        if result != self._last and result not in ("loaded", "unchanged"):
            _log.warning(
                "prompt %s@%s: %s; version %s serves",
                self._fallback.name,
                self._alias,
                detail,
                self._current.version,
            )
        self._last = result
        return result

    def _look(self) -> tuple[Result, str]:
        if self._load is None:
            return "unavailable", "there is no registry"
        try:
            found = self._load(self._fallback.name, self._alias)
        except PromptError as error:
            return "invalid", str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the registry, the assistant serves
            return "unavailable", f"the registry did not answer ({type(error).__name__})"
        if found is None:
            return "not_found", "the registry has no such prompt: `make prompt` registers the packaged one"
        if found == self._current:
            return "unchanged", ""
        self._current = found
        _log.info("prompt %s@%s: version %s serves", found.name, self._alias, found.version)
        return "loaded", ""

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._stopped.wait(self._seconds)


def from_mlflow(tracking_uri: str) -> Load:
    """Return a loader that asks the prompt registry of an MLflow App, by its ARN, or of any MLflow server, by
    its address.

    Time-outs and retries follow MLflow's own variables, such as ``MLFLOW_HTTP_REQUEST_TIMEOUT``.
    """
    clients: list[Any] = []

    def load(name: str, alias: str) -> Prompt | None:
        # Imported here, in the thread: the import takes seconds, and no request needs it.
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        if not clients:
            clients.append(MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri))
        try:
            with signed_in():
                found = clients[0].get_prompt_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        if found is None:
            return None
        if not isinstance(found.template, str):
            raise PromptError(f"prompt {name} version {found.version} is a chat prompt: register a text")
        return Prompt(name, str(found.version), found.template).checked()

    return load
