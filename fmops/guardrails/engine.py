"""The engine: it asks every due detector at once, within a deadline, lets the policy decide, and reports what
was done."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait as wait_for
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from itertools import accumulate

from fmops import deadline
from fmops.frames import where
from fmops.guardrails.asking import Ask
from fmops.guardrails.cache import Cache, Known
from fmops.guardrails.detectors.base import Context, Detector
from fmops.guardrails.hidden import removals
from fmops.guardrails.language import identify
from fmops.guardrails.policy import Policy
from fmops.guardrails.scores import highest
from fmops.guardrails.seals import Seals
from fmops.guardrails.settings import DetectorSettings, GuardrailSettings
from fmops.guardrails.text import Folded, fold, merge, redact
from fmops.guardrails.turn import current_turn
from fmops.guardrails.types import (
    DETECTOR_UNAVAILABLE,
    Action,
    Asked,
    Decision,
    DetectorCall,
    Direction,
    Finding,
    Outcome,
    Redaction,
    Role,
    is_notice,
)
from fmops.guardrails.waiting import Waiting, settled, until
from fmops.surrogates import mend
from fmops.threads import Threads

_log = logging.getLogger(__name__)
_Steps = Generator[Waiting, None, "Outcome"]
"""A check as its waits."""

Observer = Callable[[Outcome], None]
"""A callback that receives each outcome, in the context of the check. It must not export ``Outcome.text``."""


@dataclass
class _Check:
    """A check in progress."""

    direction: Direction
    role: Role
    text: str
    language: str = ""
    began: float = field(default_factory=time.perf_counter)
    calls: list[DetectorCall] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    degraded: bool = False
    removals: Sequence[tuple[int, int]] = ()
    """Spans of hidden characters, which are removed from what is released."""


class GuardrailEngine:
    """Check texts. Create one per process: it owns the workers, the cache and the requests in flight."""

    def __init__(
        self,
        detectors: Iterable[Detector],
        policy: Policy | None = None,
        observers: Iterable[Observer] = (),
        settings: GuardrailSettings | None = None,
    ) -> None:
        self.settings = settings or GuardrailSettings()
        self.policy = policy or self.settings.policy()
        self._detectors: Mapping[str, Detector] = {detector.name: detector for detector in detectors}
        self._settings = {
            name: self.settings.detectors.get(name) or DetectorSettings(kind=name) for name in self._detectors
        }
        self._observers = tuple(observers)
        self._executor = Threads(self.settings.concurrency, "guardrails")
        self._executors = {
            name: self._executor
            if detector.in_process
            else Threads(self.settings.concurrency, f"guardrail-{name}")
            for name, detector in self._detectors.items()
        }
        """Separate threads for each detector, so that a service that hangs takes none from the others."""
        self.waiters = Threads(self.settings.concurrency, "guardrail-windows")
        """Threads in which code without an event loop waits for checks; never the ones that answer them."""
        self._cache = Cache(self.settings.cache_entries, self.settings.cache_seconds)
        self.seals = Seals()
        self._in_flight: dict[bytes, dict[str, Ask]] = {}
        # Reentrant, because a garbage collection may end an abandoned check in the thread that holds the lock.
        self._lock = threading.RLock()

    async def check(
        self, text: str, direction: Direction | str, *, role: Role | None = None, observe: bool = True
    ) -> Outcome:
        """Check ``text`` and return what is done about it. A detector's failure never raises; the outcome
        reports it.

        ``role`` is the speaker, by default the one that the direction implies. ``observe=False`` is for layers
        that repeat another layer's check: if the answer was known, the observers are told only of a block.
        Within a turn (``begin_turn``), they are told of each text once, however many layers check it.
        """
        return (await self.check_all([Asked(text, Direction(direction), role, observe)]))[0]

    async def check_all(self, texts: Sequence[Asked]) -> list[Outcome]:
        """Run ``check`` on several texts at once. One whose findings are known needs no task of its own."""
        outcomes: dict[int, Outcome] = {}
        begun: dict[int, tuple[_Steps, Waiting]] = {}
        try:
            for index, asked in enumerate(texts):
                steps = self._steps(asked.text, asked.direction, asked.role)
                try:
                    begun[index] = steps, next(steps)
                except StopIteration as finished:
                    outcomes[index] = self._told(finished.value, asked)
            if len(begun) == 1:
                ((index, one),) = begun.items()
                outcomes[index] = await self._awaited(*one, texts[index])
            elif begun:
                checks = [self._awaited(*each, texts[index]) for index, each in begun.items()]
                outcomes |= zip(begun, await asyncio.gather(*checks), strict=True)
        finally:
            # A check that is cancelled ends at once, and not when its memory is collected.
            for steps, _ in begun.values():
                steps.close()
        return [outcomes[index] for index in range(len(texts))]

    async def _awaited(self, steps: _Steps, first: Waiting, asked: Asked) -> Outcome:
        futures, seconds = first
        try:
            while True:
                await settled(futures, seconds)
                futures, seconds = next(steps)
        except StopIteration as finished:
            return self._told(finished.value, asked)

    def check_sync(
        self, text: str, direction: Direction | str, *, role: Role | None = None, observe: bool = True
    ) -> Outcome:
        """Run ``check`` for code without an event loop. Blocks for at most the deadline."""
        with closing(self._steps(text, Direction(direction), role)) as steps:
            try:
                while True:
                    futures, seconds = next(steps)
                    wait_for(futures, timeout=seconds)
            except StopIteration as finished:
                return self._told(finished.value, Asked(text, Direction(direction), role, observe))

    def check_all_sync(self, texts: Iterable[str], direction: Direction | str) -> list[Outcome]:
        """Run ``check_sync`` on several texts at once, such as retrieved documents."""
        asked = [self.waiters.submit(copy_context().run, self.check_sync, text, direction) for text in texts]
        return [each.result() for each in asked]

    def warm_up(self) -> None:
        """Load, in the background, what the first check would otherwise have to wait for."""
        if self.settings.identify_language:
            self._executor.submit(identify, "Load the model that tells one language from another.", "en")

    def close(self) -> None:
        """Allow no new checks, and do not wait for those in progress."""
        for executor in (self._executor, *self._executors.values(), self.waiters):
            executor.shutdown(wait=False, cancel_futures=True)

    def _told(self, outcome: Outcome, asked: Asked) -> Outcome:
        was_asked = any(call.result != "cached" for call in outcome.calls)
        if was_asked or ((asked.observe or outcome.blocked) and not self._told_before(asked)):
            self._mark_told(outcome, asked)
            for observer in self._observers:
                try:
                    observer(outcome)
                except Exception as error:  # noqa: BLE001 - an observer must not change the decision
                    _log.error("a guardrail observer failed: %s at %s", type(error).__name__, where(error))
        return outcome

    def _told_before(self, asked: Asked) -> bool:
        turn = current_turn()
        return turn is not None and _identity(asked, asked.text) in turn.told

    def _mark_told(self, outcome: Outcome, asked: Asked) -> None:
        """Mark both the text and its redacted form as told, since the next layer sees only the latter."""
        if turn := current_turn():
            turn.told |= {_identity(asked, each) for each in (asked.text, outcome.text)}

    def _steps(self, text: str, direction: Direction, role: Role | None) -> _Steps:
        """Run a check as a generator of its waits, shared by callers with and without an event loop."""
        check = _Check(direction, role or direction.role, mend(text))
        if not check.text.strip() or is_notice(check.text):
            return self._outcome(check)
        if (
            len(check.text) > self.settings.longest_text
            or len(check.text.encode()) > self.settings.longest_text
        ):
            check.decisions.append(Decision(Action.BLOCK, "text_too_long"))
            return self._outcome(check)
        key = self._cache.key(check.text, direction, check.role)
        if known := self._cache.get(key):
            self._recall(check, known)
            return self._outcome(check)
        if len(check.text) > 50_000:
            folding = self._executor.submit(fold, check.text)
            yield [folding], self.settings.deadline_ms / 1000
            folded = folding.result()
        else:
            folded = fold(check.text)
        check.removals = folded.removals
        if not folded.text.strip():
            return self._outcome(check)
        due = self._due(direction)
        check.language = self._language(folded.text[: folded.read], due)
        yield from self._ask_all(check, folded, due, key)
        outcome = self._outcome(check)
        if not check.degraded:
            detectors = tuple(call.detector for call in check.calls)
            self._cache.put(key, Known(tuple(check.findings), detectors, check.language, folded.removals))
            self._clear_redacted(outcome, check, detectors)
        return outcome

    def _due(self, direction: Direction) -> list[str]:
        """Return the detectors whose findings could have a consequence in this direction."""
        return [
            name
            for name, detector in self._detectors.items()
            if not self._settings[name].standby and self.policy.wanted(direction, name, detector.categories)
        ]

    def _language(self, text: str, due: list[str]) -> str:
        if self.settings.identify_language and any(self._detectors[name].languages for name in due):
            return identify(text, self.settings.language)
        return self.settings.language

    def _ask_all(
        self, check: _Check, folded: Folded, due: list[str], key: bytes
    ) -> Generator[Waiting, None, None]:
        """Ask the detectors at once, then the fallbacks of those that did not answer, until the deadline."""
        ends_at = check.began + deadline.at_most(self.settings.deadline_ms / 1000)
        asked: set[str] = set()
        while due:
            joined = {}
            mine: dict[str, Ask] = {}
            fallbacks: list[str] = []
            with self._lock:
                shared = self._in_flight.setdefault(key, {})
                for name in due:
                    asked.add(name)
                    if name in shared and shared[name].expires > time.perf_counter():
                        joined[name] = shared[name]
                    elif not self._refused_for_language(check, name, fallbacks):
                        mine[name] = shared[name] = self._ask(check, folded, name, ends_at)
            try:
                yield from until(ends_at, [*joined.values(), *mine.values()])
            finally:
                self._land(key, mine)
            for name, ask in {**joined, **mine}.items():
                call, findings = ask.conclude(joined=name in joined)
                check.calls.append(call)
                check.findings += findings
                if not call.answered:
                    self._not_answered(check, call, fallbacks)
            due = [name for name in dict.fromkeys(fallbacks) if name not in asked]

    def _ask(self, check: _Check, folded: Folded, name: str, ends_at: float) -> Ask:
        detector = self._detectors[name]
        language = (
            check.language
            if check.language in detector.languages
            else (*detector.languages, check.language)[0]
        )
        context = Context(
            check.direction,
            check.role,
            language,
            self.policy.wanted(check.direction, name, detector.categories) or detector.categories,
        )
        seconds = min(self._settings[name].timeout_ms / 1000, ends_at - time.perf_counter())
        return Ask(detector, folded, context, seconds=seconds, executor=self._executors[name])

    def _land(self, key: bytes, asks: Mapping[str, Ask]) -> None:
        with self._lock:
            shared = self._in_flight.get(key, {})
            for name, ask in asks.items():
                if shared.get(name) is ask:
                    del shared[name]
            if not shared:
                self._in_flight.pop(key, None)

    def _refused_for_language(self, check: _Check, name: str, fallbacks: list[str]) -> bool:
        """Return whether a detector is skipped because it does not know the language, and apply the
        consequences.
        """
        detector = self._detectors[name]
        if not detector.languages or check.language in detector.languages:
            return False
        answer = self._settings[name].on_language
        if answer in ("ask", "flag"):
            check.decisions.append(Decision(Action.FLAG, "language_not_known", detector=name))
        if answer == "ask":
            return False
        check.calls.append(DetectorCall(name, check.direction, "language", 0.0))
        if answer == "block":
            check.decisions.append(Decision(Action.BLOCK, "language_not_known", detector=name))
        elif answer == "flag":
            check.degraded = True
        else:
            fallbacks.append(answer)
        return True

    def _not_answered(self, check: _Check, call: DetectorCall, fallbacks: list[str]) -> None:
        check.degraded = True
        answer = self._settings[call.detector].on_error_for(check.direction)
        if answer not in ("closed", "open"):
            fallbacks.append(answer)
            return
        categories = self._detectors[call.detector].categories
        severest = self.policy.severest(check.direction, call.detector, categories)
        blocks = answer == "closed" and severest is not Action.FLAG
        action = Action.BLOCK if blocks else Action.FLAG
        check.decisions.append(Decision(action, DETECTOR_UNAVAILABLE, detector=call.detector))

    def _recall(self, check: _Check, known: Known) -> None:
        check.language = known.language
        check.findings = list(known.findings)
        check.removals = known.removals
        for name in known.detectors:
            self._recall_language(check, name)
            check.calls.append(DetectorCall(name, check.direction, "cached", 0.0))

    def _recall_language(self, check: _Check, name: str) -> None:
        languages = self._detectors[name].languages
        if languages and check.language not in languages:
            check.decisions.append(Decision(Action.FLAG, "language_not_known", detector=name))

    def _outcome(self, check: _Check) -> Outcome:
        decisions = check.decisions + (self._decided(check) if check.findings else [])
        redactions: list[Redaction] = []
        if check.removals:
            decisions.append(Decision(Action.REDACT, "hidden_characters"))
        if decisions:
            decisions, redactions = _applied(decisions, check.removals)
        action = max(
            (decision.action for decision in decisions), key=lambda each: each.severity, default=Action.ALLOW
        )
        return Outcome(
            direction=check.direction,
            action=action,
            text="" if action is Action.BLOCK else redact(check.text, redactions),
            findings=tuple(
                each.finding for each in decisions if each.finding and each.action is not Action.ALLOW
            ),
            decisions=tuple(decisions),
            redactions=tuple(redactions),
            calls=tuple(check.calls),
            degraded=check.degraded,
            duration_ms=(time.perf_counter() - check.began) * 1000,
            scores=highest(check.findings),
        )

    def _decided(self, check: _Check) -> list[Decision]:
        coverage = {
            call.detector: self._detectors[call.detector].categories for call in check.calls if call.answered
        }
        turn = current_turn()

        def disclosed(finding: Finding) -> bool:
            return turn is not None and turn.discloses(check.text[finding.begin : finding.end])

        return self.policy.decide(check.direction, check.findings, coverage, check.role, disclosed)

    def _clear_redacted(self, outcome: Outcome, check: _Check, detectors: tuple[str, ...]) -> None:
        """Store the redacted text as checked, since its remaining findings are known; the next layer need not
        check it again."""
        if outcome.action is not Action.REDACT:
            return
        key = self._cache.key(outcome.text, check.direction, check.role)
        left = tuple(_left(check.findings, outcome)) if check.findings else ()
        self._cache.put(key, Known(left, detectors, check.language, tuple(removals(outcome.text))))


def _identity(asked: Asked, text: str) -> tuple[Direction, Role, str]:
    return asked.direction, asked.role or asked.direction.role, mend(text)


def _applied(
    decisions: list[Decision], hidden: Sequence[tuple[int, int]]
) -> tuple[list[Decision], list[Redaction]]:
    """Return the decisions as they can be carried out, and the redactions that follow."""
    redacting = [each for each in decisions if each.action is Action.REDACT]
    found = [each.finding for each in redacting if each.finding]
    if not all(finding.is_span for finding in found):  # a finding without a place cannot be removed
        decisions = [
            replace(each, action=Action.BLOCK) if each.action is Action.REDACT else each for each in decisions
        ]
    return decisions, merge((finding for finding in found if finding.is_span), hidden)


def _left(findings: Iterable[Finding], outcome: Outcome) -> Iterator[Finding]:
    """Yield the findings that no redaction touches, at their new places."""
    begins = [redaction.begin for redaction in outcome.redactions]
    ends = [redaction.end for redaction in outcome.redactions]
    shifts = [
        0,
        *accumulate(len(each.replacement) - (each.end - each.begin) for each in outcome.redactions),
    ]
    for finding in findings:
        before = bisect_right(ends, finding.begin)
        if not finding.is_span:
            yield finding
        elif before == len(begins) or begins[before] >= finding.end:
            shift = shifts[before]
            yield replace(finding, begin=finding.begin + shift, end=finding.end + shift)
