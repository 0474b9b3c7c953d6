"""The metrics of the runtime. Labels are bounded: no user, no text and no id is ever a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Protocol
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation

from fmops.telemetry import attributes as names

METER = "fmops"


class Waiting(Protocol):
    """A place in which captured records wait."""

    def waiting(self) -> Mapping[str, int]:
        """Return the number of waiting records, by place."""
        ...

    def stalled(self) -> float:
        """Return for how many seconds none of them has moved."""
        ...


class Prompts(Protocol):
    """A source that knows which prompt serves."""

    def serving(self) -> tuple[str, bool, int]:
        """Return the name, whether the packaged fallback serves, and the registry's version number."""
        ...


class Budgets(Protocol):
    """A source that knows how much of each budget is spent."""

    def spent(self) -> Iterable[tuple[str, str, str, float]]:
        """Yield scope, window, unit, and the share of the limit."""
        ...


class UnderWay(Protocol):
    """A counter of the turns in progress."""

    under_way: int


class Keys(Protocol):
    """A source of an issuer's keys."""

    def stale(self) -> float:
        """Return for how many seconds readings have failed; 0 after one that succeeded."""
        ...


class Instruments:
    """All instruments, created once per process from the global meter provider."""

    def __init__(self) -> None:
        self._meter = metrics.get_meter(METER)
        self.interactions = self._counter(
            names.METRIC_INTERACTIONS, "{interaction}", "Interactions by finish reason"
        )
        self.first_text = self._duration(
            names.METRIC_FIRST_TEXT, "Time from the request to the first vetted text of its answer"
        )
        self.feedback = self._counter(names.METRIC_FEEDBACK, "{rating}", "Feedback by rating")
        self._make_turns()
        self._make_guardrails()
        self._make_authorization()
        self._make_retrieval()
        self._make_capture()
        self._make_models()
        self._make_prompts()
        self._make_budgets()
        self._begin_at_zero()

    def watch(self, place: Waiting) -> None:
        """Observe how many records wait there, as long as it lives."""
        self._places.add(place)

    def watch_prompts(self, prompts: Prompts) -> None:
        """Observe which prompt serves, as long as it lives."""
        self._prompts.add(prompts)

    def watch_budgets(self, budgets: Budgets) -> None:
        """Observe how much of them is spent, as long as they live."""
        self._budgets.add(budgets)

    def watch_turns(self, turns: UnderWay) -> None:
        """Observe how many turns are in progress, as long as it lives."""
        self._turns.add(turns)

    def watch_keys(self, keys: Keys) -> None:
        """Observe for how long the issuer's keys could not be read, as long as it lives."""
        self._keys.add(keys)

    def _make_turns(self) -> None:
        self._turns: WeakSet[UnderWay] = WeakSet()
        self._meter.create_observable_gauge(
            names.METRIC_TURNS,
            callbacks=[self._observe_turns],
            unit="{turn}",
            description="Turns in progress",
        )
        self.turns_refused = self._counter(
            names.METRIC_TURNS_REFUSED, "{turn}", "Turns refused, by whose limit was reached"
        )
        self._keys: WeakSet[Keys] = WeakSet()
        self._meter.create_observable_gauge(
            names.METRIC_KEYS_STALE,
            callbacks=[self._observe_keys],
            unit="s",
            description="Time for which readings of the issuer's keys have failed",
        )

    def _make_guardrails(self) -> None:
        self.guardrail_decisions = self._counter(
            names.METRIC_GUARDRAIL_DECISIONS, "{decision}", "Guardrail decisions by direction and action"
        )
        self.guardrail_interventions = self._counter(
            names.METRIC_GUARDRAIL_INTERVENTIONS,
            "{decision}",
            "Guardrail decisions other than to allow, with the deciding detector and category",
        )
        self.guardrail_duration = self._duration(
            names.METRIC_GUARDRAIL_DURATION, "Duration of a guardrail check by direction"
        )
        self.detector_duration = self._duration(
            names.METRIC_DETECTOR_DURATION, "Duration of a question to a detector, by its result"
        )

    def _make_authorization(self) -> None:
        self.authorization_decisions = self._counter(
            names.METRIC_AUTHORIZATION_DECISIONS, "{decision}", "Authorization decisions by tool and outcome"
        )
        self.authorization_errors = self._counter(
            names.METRIC_AUTHORIZATION_ERRORS,
            "{decision}",
            "Denials because a policy failed to evaluate or the service did not answer",
        )
        self.authorization_duration = self._duration(
            names.METRIC_AUTHORIZATION_DURATION, "Duration of a call to Verified Permissions"
        )
        self.tool_duration = self._duration(
            names.METRIC_TOOL_DURATION, "Duration of a tool call, guards included"
        )

    def _make_retrieval(self) -> None:
        self.retrieval_searches = self._counter(
            names.METRIC_RETRIEVAL_SEARCHES,
            "{search}",
            "Searches of the documents by outcome: found, nothing near enough, or unavailable",
        )
        self.retrieval_similarity: Histogram = self._meter.create_histogram(
            names.METRIC_RETRIEVAL_SIMILARITY,
            unit="1",
            description="Cosine similarity of a search's best passage, of those for the caller's audiences",
        )

    def _make_capture(self) -> None:
        self.capture_records = self._counter(
            names.METRIC_CAPTURE_RECORDS, "{record}", "Captured records by outcome"
        )
        self._places: WeakSet[Waiting] = WeakSet()
        self._meter.create_observable_gauge(
            names.METRIC_CAPTURE_WAITING,
            callbacks=[self._observe_waiting],
            unit="{record}",
            description="Captured records that wait in memory or in the spool",
        )
        self._meter.create_observable_gauge(
            names.METRIC_CAPTURE_STALLED,
            callbacks=[self._observe_stalled],
            unit="s",
            description="Time for which records have waited in memory while none of them left it",
        )
        self.capture_faults = self._counter(
            names.METRIC_CAPTURE_FAULTS, "{fault}", "Faults of the delivery stream and the spool by type"
        )

    def _make_models(self) -> None:
        self.operation_duration = self._duration(names.METRIC_OPERATION_DURATION, "Duration of a model call")
        self.time_to_first_chunk = self._duration(
            names.METRIC_TIME_TO_FIRST_CHUNK, "Time to the first chunk of a streamed model call"
        )
        self.token_usage: Histogram = self._meter.create_histogram(
            names.METRIC_TOKEN_USAGE, unit="{token}", description="Tokens of a model call by type"
        )
        self.cost = self._counter(names.METRIC_COST, "USD", "List price of the tokens of model calls")
        self.unpriced = self._counter(
            names.METRIC_UNPRICED, "{call}", "Model calls whose model is not in the price file"
        )

    def _make_prompts(self) -> None:
        self._prompts: WeakSet[Prompts] = WeakSet()
        self._meter.create_observable_gauge(
            names.METRIC_PROMPT_FALLBACK,
            callbacks=[self._observe_fallback],
            unit="{prompt}",
            description="1 while the packaged prompt serves instead of the registry's",
        )
        self._meter.create_observable_gauge(
            names.METRIC_PROMPT_VERSION,
            callbacks=[self._observe_version],
            unit="{version}",
            description="The registry's version that serves, 0 for the packaged prompt",
        )
        self.prompt_refreshes = self._counter(
            names.METRIC_PROMPT_REFRESHES, "{refresh}", "Checks of the prompt registry by result"
        )

    def _make_budgets(self) -> None:
        self._budgets: WeakSet[Budgets] = WeakSet()
        self._meter.create_observable_gauge(
            names.METRIC_BUDGET_SPENT,
            callbacks=[self._observe_budgets],
            unit="1",
            description="Share of a limit that is spent or reserved; of users and teams, the largest",
        )
        self.budget_refusals = self._counter(
            names.METRIC_BUDGET_REFUSALS, "{refusal}", "Model calls that a budget left no room for"
        )
        self.budget_unavailable = self._counter(
            names.METRIC_BUDGET_UNAVAILABLE, "{call}", "Model calls for which the counters did not answer"
        )
        self.budget_settlements = self._counter(
            names.METRIC_BUDGET_SETTLEMENTS, "{settlement}", "Settlements of reservations by result"
        )

    def _begin_at_zero(self) -> None:
        """Start counters at zero: a counter that first appears at one has never increased, so alerts would miss
        it."""
        for reason in ("stop", "length", "content_filter", "budget_exceeded", "client_disconnect", "error"):
            self.interactions.add(0, {names.INTERACTION_FINISH_REASON: reason})
        for whose in ("task", "user"):
            self.turns_refused.add(0, {names.TURN_LIMIT: whose})
        for rating in ("up", "down"):
            self.feedback.add(0, {names.FEEDBACK_RATING: rating})
        for result in ("delivered", "retried", "spooled", "lost"):
            self.capture_records.add(0, {names.CAPTURE_RESULT: result})
        for kind in ("ClientError", "OSError"):
            self.capture_faults.add(0, {names.ERROR_TYPE: kind})
        for direction in ("input", "output", "tool_arguments", "tool_results", "retrieved"):
            for action in ("allow", "flag", "redact", "block"):
                decided = {names.GUARDRAIL_DIRECTION: direction, names.GUARDRAIL_ACTION: action}
                self.guardrail_decisions.add(0, decided)
        for result in ("loaded", "unchanged", "not_found", "invalid", "unavailable"):
            self.prompt_refreshes.add(0, {names.PROMPT_RESULT: result})
        for scope in ("user", "team", "deployment"):
            for window, unit in (
                ("minute", "requests"),
                ("minute", "tokens"),
                ("day", "usd"),
                ("month", "usd"),
            ):
                limit = {names.BUDGET_SCOPE: scope, names.BUDGET_WINDOW: window, names.BUDGET_UNIT: unit}
                self.budget_refusals.add(0, limit)
        for action in ("allow", "refuse"):
            self.budget_unavailable.add(0, {names.BUDGET_ACTION: action})
        for result in ("settled", "postponed", "failed"):
            self.budget_settlements.add(0, {names.BUDGET_RESULT: result})
        for outcome in ("found", "nothing", "unavailable"):
            self.retrieval_searches.add(0, {names.RETRIEVAL_OUTCOME: outcome})
        for reason in ("policy_error", "unavailable"):
            self.authorization_errors.add(0, {names.AUTHORIZATION_REASON: reason})

    def _observe_fallback(self, _: CallbackOptions) -> Iterable[Observation]:
        serving = [prompts.serving() for prompts in list(self._prompts)]
        return [Observation(int(fallback), {names.PROMPT_NAME: name}) for name, fallback, _ in serving]

    def _observe_version(self, _: CallbackOptions) -> Iterable[Observation]:
        serving = [prompts.serving() for prompts in list(self._prompts)]
        return [Observation(version, {names.PROMPT_NAME: name}) for name, _, version in serving]

    def _observe_budgets(self, _: CallbackOptions) -> Iterable[Observation]:
        largest: dict[tuple[str, str, str], float] = {}
        for budgets in list(self._budgets):
            for scope, window, unit, share in budgets.spent():
                largest[scope, window, unit] = max(share, largest.get((scope, window, unit), 0.0))
        return [
            Observation(
                share, {names.BUDGET_SCOPE: scope, names.BUDGET_WINDOW: window, names.BUDGET_UNIT: unit}
            )
            for (scope, window, unit), share in largest.items()
        ]

    def _observe_waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        total: dict[str, int] = {}
        for place in list(self._places):
            for name, records in place.waiting().items():
                total[name] = total.get(name, 0) + records
        return [Observation(records, {names.CAPTURE_PLACE: name}) for name, records in total.items()]

    def _observe_turns(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(sum(turns.under_way for turns in list(self._turns)))]

    def _observe_keys(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(max((keys.stale() for keys in list(self._keys)), default=0.0))]

    def _observe_stalled(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(max((place.stalled() for place in list(self._places)), default=0.0))]

    def _counter(self, name: str, unit: str, description: str) -> Counter:
        return self._meter.create_counter(name, unit=unit, description=description)

    def _duration(self, name: str, description: str) -> Histogram:
        return self._meter.create_histogram(name, unit="s", description=description)


@cache
def instruments() -> Instruments:
    """Return the process's instruments."""
    return Instruments()
