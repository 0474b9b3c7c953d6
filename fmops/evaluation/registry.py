"""The prompt registry, for those who write to it: versions, the alias that serves, and a record of its every
move.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fmops.agent import NAME
from fmops.prompts import PRODUCTION, Prompt, PromptError, from_mlflow

MOVES = "prompt-promotions"
"""Name of the experiment with one run per move of the alias."""
GATES = f"{NAME}-evaluation"
"""Name of the experiment with one run per decision of the gate, among its evaluations."""
REASONS = "reasons"
"""Tag of a decision's run with the reasons, which `decision.json` has one by one."""
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Move:
    """One move of the alias. An empty version means the packaged prompt."""

    action: Literal["promote", "rollback"]
    from_version: str
    to_version: str
    by: str
    reason: str
    evidence: str
    """Id of the evaluation's run that led to the move, if one did."""
    run_id: str
    at: int
    """Time of the move in milliseconds since the epoch."""


class PromptRegistry:
    """Write versions of prompts and move the alias. ``tracking_uri`` is the App's ARN or a server's address."""

    def __init__(self, tracking_uri: str, *, alias: str = PRODUCTION) -> None:
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._load = from_mlflow(tracking_uri)
        self._alias = alias

    def register(
        self, name: str, template: str, *, message: str, tags: dict[str, str] | None = None
    ) -> Prompt:
        """Register a version and return it, or the newest one if it has the same text.

        Raises ``PromptError`` for a prompt that cannot serve.
        """
        Prompt(name, "new", template).checked()
        newest = next(iter(self.versions(name)), None)
        if newest is not None and newest.template == template:
            return newest
        made = self._client.register_prompt(name, template, commit_message=message, tags=tags or {})
        return Prompt(name, str(made.version), template)

    def versions(self, name: str) -> list[Prompt]:
        """Return all versions, newest first."""
        found = self._client.search_model_versions(
            f"name = '{name}' AND tags.`mlflow.prompt.is_prompt` = 'true'"
        )
        numbers = sorted((int(version.version) for version in found), reverse=True)
        return [self._get(name, number) for number in numbers]

    def version(self, name: str, version: str) -> Prompt:
        """Return one version. Raises ``PromptError``, which says which versions there are."""
        try:
            return self._get(name, int(version))
        except (MlflowException, ValueError) as error:
            if isinstance(error, MlflowException) and error.error_code not in MISSING:
                raise
            there = ", ".join(prompt.version for prompt in reversed(self.versions(name))) or "none"
            raise PromptError(f"prompt {name} has no version {version}: there are {there}") from None

    def serving(self, name: str) -> Prompt | None:
        """Return the version that has the alias."""
        return self._load(name, self._alias)

    def promote(self, name: str, version: str, *, by: str, reason: str, evidence: str = "") -> Move:
        """Move the alias to a version. The assistants follow within their refresh time."""
        target = self.version(name, version).checked()
        before = self.serving_version(name)
        if before == target.version:
            raise PromptError(f"prompt {name} version {version} has the alias {self._alias} already")
        return self._move(name, "promote", before, target.version, by, reason, evidence)

    def rollback(self, name: str, *, by: str, reason: str) -> Move:
        """Move the alias back to what served before the current version was promoted."""
        current = self.serving_version(name)
        promoted = next(
            (move for move in self.history(name) if move.action == "promote" and move.to_version == current),
            None,
        )
        if not current or promoted is None:
            raise PromptError(
                f"prompt {name} has no promotion to roll back: nothing was promoted to {self._alias}"
            )
        if promoted.from_version:
            self.version(name, promoted.from_version).checked()
        return self._move(name, "rollback", current, promoted.from_version, by, reason, promoted.run_id)

    def history(self, name: str, *, most: int = 1000) -> list[Move]:
        """Return the completed moves, newest first, and no more than ``most``."""
        experiment = self._client.get_experiment_by_name(MOVES)
        if experiment is None:
            return []
        runs = self._client.search_runs(
            [experiment.experiment_id],
            filter_string=f"params.prompt = '{name}' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=most,
        )
        return [_move(run) for run in runs]

    def standing(self, name: str) -> dict[str, Any]:
        """Return the version that serves, the last move of the alias, and the gate's last decision, for people
        to read."""
        move, decision = next(iter(self.history(name, most=1)), None), self._last_decision()
        return {
            "serving": self.serving_version(name),
            "move": move and {**asdict(move), "at": _iso(move.at)},
            "gate": decision,
        }

    def _last_decision(self) -> dict[str, Any] | None:
        experiment = self._client.get_experiment_by_name(GATES)
        if experiment is None:
            return None
        runs = self._client.search_runs(
            [experiment.experiment_id],
            filter_string="attributes.run_name LIKE 'gate: %' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return next(map(_decision, runs), None)

    def difference(self, name: str, old: str, new: str) -> str:
        """Return a unified diff of two versions."""
        before, after = (self.version(name, version).template.splitlines() for version in (old, new))
        return "\n".join(difflib.unified_diff(before, after, f"{name} {old}", f"{name} {new}", lineterm=""))

    def _get(self, name: str, number: int) -> Prompt:
        found = self._client.get_prompt_version(name, str(number))
        if found is None:
            raise ValueError(number)
        return Prompt(name, str(number), str(found.template))

    def serving_version(self, name: str) -> str:
        """Return the number of the version with the alias, even if it cannot serve; empty when none has it."""
        try:
            serving = self.serving(name)
        except PromptError:  # it cannot serve, but it has the alias
            return str(self._client.get_prompt_version_by_alias(name, self._alias).version)
        return serving.version if serving else ""

    def _move(
        self,
        name: str,
        action: Literal["promote", "rollback"],
        old: str,
        new: str,
        by: str,
        reason: str,
        evidence: str,
    ) -> Move:
        params = {
            "prompt": name,
            "alias": self._alias,
            "action": action,
            "from_version": old,
            "to_version": new,
            "by": by,
            "reason": reason[:5000],
            "evidence": evidence,
        }
        with self._recorded(f"{action} {name} to {new or 'packaged'}", params) as run:
            if new:
                self._client.set_prompt_alias(name, self._alias, int(new))
            else:
                self._client.delete_prompt_alias(name, self._alias)
        return _move(self._client.get_run(run.info.run_id))

    @contextmanager
    def _recorded(self, run_name: str, params: dict[str, str]) -> Iterator[Any]:
        """Yield a run that is marked finished only if the recorded action succeeds."""
        experiment = self._client.get_experiment_by_name(MOVES)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(MOVES)
        run = self._client.create_run(experiment_id, run_name=run_name)
        try:
            for key, value in params.items():
                self._client.log_param(run.info.run_id, key, value)
            yield run
        except BaseException:
            self._client.set_terminated(run.info.run_id, "FAILED")
            raise
        self._client.set_terminated(run.info.run_id, "FINISHED")


def _move(run: Any) -> Move:
    params = run.data.params
    return Move(
        action=params["action"],
        from_version=params["from_version"],
        to_version=params["to_version"],
        by=params["by"],
        reason=params["reason"],
        evidence=params["evidence"],
        run_id=run.info.run_id,
        at=run.info.start_time,
    )


def _decision(run: Any) -> dict[str, Any]:
    params = run.data.params
    kept = {name: params.get(name, "") for name in ("decision", "production", "candidate", "cases")}
    return {**kept, "reasons": run.data.tags.get(REASONS, ""), "at": _iso(run.info.start_time)}


def _iso(milliseconds: int) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )
