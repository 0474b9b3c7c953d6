"""The analysis of windows, one after the other; windows whose result is known are not analysed again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from fmops.analysis import baseline as baselines
from fmops.analysis import wording
from fmops.analysis.baseline import Baseline
from fmops.analysis.document_drift import DocumentDrift, during
from fmops.analysis.documents import Documents
from fmops.analysis.engine import fitting_rows, profile
from fmops.analysis.findings import Findings, find
from fmops.analysis.lake import Lake, Window, windows
from fmops.analysis.reference import FIT_ROWS, Array, BaselineError, Reference, fit, with_corpus
from fmops.analysis.result import PLACES, Engine, PartResult, Place, Verdict, WindowResult
from fmops.analysis.state import State, StateError
from fmops.analysis.statistics import MIN_WINDOWS, Comparison
from fmops.analysis.store import Store
from fmops.analysis.trend import Trend, follow
from fmops.analysis.window_facts import described, for_review, other_model

log = logging.getLogger("fmops.analysis")

Profiler = Callable[[Sequence[tuple[str, int]], Window, Reference, bool], State]
"""An engine, as a function from (objects, window, reference, whether to leave out fitted sessions) to the
window's state."""

EARLIER = 14
"""Number of earlier windows in which the beginning of a new topic is looked for."""
FIRST_LOOK_ROWS = 10
TRENDS = ("novelty", "coverage")
EVIDENCE_KEPT = 10
"""Upper bound of the evidence, in multiples of the alarm's threshold: an alarm ends about four usual windows
after a drift."""


@dataclass
class Analysis:
    """The analysis of one deployment.

    ``documents`` reads the published documents of a knowledge base, against which each window is held. Without them,
    ``corpus`` returns the vectors of the packaged documents, shape ``[c, d]``, when a baseline is fitted.
    ``alarm_windows`` is the mean number of windows between alarms without drift. ``describe`` asks a language
    model to say what changed. ``spark`` is the engine for windows whose objects have ``spark_from`` bytes or
    more; without it, all windows are read in this process.
    """

    lake: Lake
    interactions: str = "interactions"
    hours: int = 24
    baseline_windows: int = MIN_WINDOWS
    alarm_windows: int = 500
    corpus: Callable[[str], Array | None] = lambda _: None
    documents: Documents | None = None
    describe: Callable[[WindowResult], str] | None = None
    spark: Profiler | None = None
    spark_from: int = 0
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.store = Store(self.lake)

    def engine(self, keys: Sequence[tuple[str, int]]) -> Engine:
        """Return the engine for a window, chosen by the bytes of its objects."""
        large = sum(size for _, size in keys) >= self.spark_from
        return "spark" if self.spark is not None and keys and large else "embedded"

    def profile(
        self,
        keys: Sequence[tuple[str, int]],
        window: Window,
        reference: Reference,
        *,
        without_fitted: bool = False,
    ) -> State:
        """Return the window's state, computed by the engine that its size calls for."""
        if self.spark is not None and self.engine(keys) == "spark":
            return self.spark(keys, window, reference, without_fitted)
        return self._embedded(keys, window, reference, without_fitted)

    def _embedded(
        self, keys: Sequence[tuple[str, int]], window: Window, reference: Reference, without_fitted: bool
    ) -> State:
        def progress(done: int, total: int) -> None:
            log.info("window %s: read %d of %d MiB", window.id, done >> 20, total >> 20)

        return profile(self.lake, keys, window, reference, without_fitted=without_fitted, progress=progress)

    def fit(self, start: datetime, end: datetime, *, version: str | None = None) -> Baseline:
        """Fit a baseline on a range of time and put it in use. Raises ``BaselineError`` when there is too
        little to fit."""
        spans = windows(start, end, hours=self.hours)
        vectors, similarities, model_id = self._fitting_sample(spans)
        corpus = self._corpus_at(end, model_id)
        version = version or f"b{self.now():%Y%m%dT%H%M%SZ}"
        log.info("fit baseline %s: %d rows of %d dimensions", version, *vectors.shape)
        reference = fit(vectors, version=version, model_id=model_id, corpus=corpus, similarities=similarities)
        states = [
            (span.id, self.profile(keys, span, reference, without_fitted=True))
            for span in spans
            if (keys := span.keys(self.lake, self.interactions))
        ]
        baseline = baselines.build(reference, states)
        self.store.save_baseline(baseline)
        log.info("baseline %s: %d rows in %d windows", version, baseline.state.count, len(states))
        return baseline

    def _corpus_at(self, moment: datetime, model_id: str) -> Array | None:
        return (
            self.documents.vectors_at(moment, model_id)
            if self.documents is not None
            else self.corpus(model_id)
        )

    def _measured_with(self, window: Window, baseline: Baseline) -> Reference:
        """Return the baseline's reference with the documents as they were at the window's end, so that a document
        published since then counts."""
        reference = baseline.reference
        if self.documents is None:
            return reference
        return with_corpus(reference, self.documents.vectors_at(window.end, reference.model_id))

    def _document_drift(
        self, window: Window, baseline: Baseline, states: Sequence[State]
    ) -> DocumentDrift | None:
        if self.documents is None:
            return None
        fitted = datetime.fromisoformat(baseline.window_ids[-1]).replace(tzinfo=UTC)
        return during(
            self.documents,
            window.start,
            window.end,
            states,
            baseline=fitted + timedelta(hours=self.hours),
        )

    def _fitting_sample(self, spans: Sequence[Window]) -> tuple[Array, Array, str]:
        vectors, similarities, model_id = [], [], None
        for span in spans:
            rows, scores, model, models = fitting_rows(
                self.lake,
                span.keys(self.lake, self.interactions),
                span,
                limit=max(FIT_ROWS // len(spans), 200),
                model_id=model_id,
            )
            if len(models) > 1 or (model_id and models and model_id not in models):
                raise BaselineError(
                    f"the baseline's range has embeddings of {', '.join(sorted(models))}: choose days with one of them"
                )
            model_id = model_id or model
            if len(rows):
                vectors.append(rows)
                similarities.append(scores)
        if not vectors or model_id is None:
            raise BaselineError(
                f"no interaction with an embedding between {spans[0].start:%Y-%m-%d} and {spans[-1].end:%Y-%m-%d}: "
                "choose other days for the baseline"
            )
        return np.concatenate(vectors), np.concatenate(similarities), model_id

    def ensure_baseline(self, before: datetime) -> Baseline | None:
        """Return the baseline in use, or fit one on the windows before if there are enough of them; otherwise
        return None."""
        known = self.store.baseline()
        if known is not None:
            return known
        start = before - timedelta(hours=self.hours * self.baseline_windows)
        spans = windows(start, before, hours=self.hours)
        if not all(span.has_objects(self.lake, self.interactions) for span in spans):
            return None
        return self.fit(start, before)

    def analyse(self, window: Window, *, again: bool = False) -> tuple[WindowResult, bool]:
        """Return the window's result, and whether it is to be published.

        A window whose objects have not changed is not analysed again, only published where that is still to be
        done.
        """
        began = time.monotonic()
        keys = window.keys(self.lake, self.interactions)
        try:
            baseline = self.ensure_baseline(window.start)
        except (BaselineError, StateError) as error:
            if self.store.in_use() is None:
                raise
            return self._unreadable_baseline(window, str(error)), True
        version = baseline.version if baseline else "none"
        known = self.store.result(version, window.id)
        size = sum(size for _, size in keys)
        if known and not again and (known.objects, known.bytes) == (len(keys), size) and not known.partial:
            left = ", ".join(known.unpublished)
            log.info(
                "window %s: known already%s", window.id, f", and to be published: {left}" if left else ""
            )
            return known, bool(left)
        result = self._first_look(window, keys) if baseline is None else self._compare(window, keys, baseline)
        result = result.model_copy(
            update={
                "partial": window.end > self.now(),
                "objects": len(keys),
                "bytes": size,
                "engine": self.engine(keys),
                "seconds": round(time.monotonic() - began, 3),
                "unpublished": PLACES,
            }
        )
        if self.describe and result.alert:
            result = result.model_copy(update={"description": self.describe(result)})
        # The result is saved last: once it exists, the window counts as known and no step before it is
        # repeated.
        self.store.save_for_review(result)
        self.store.save_result(version, result)
        return result, True

    def published(self, result: WindowResult, place: Place) -> WindowResult:
        """Record that a result has been published in a place, so that a retry does not publish it there
        again.
        """
        left = tuple(each for each in result.unpublished if each != place)
        result = result.model_copy(update={"unpublished": left})
        if result.baseline or result.verdict == "no baseline":  # others are not kept
            self.store.save_result(result.baseline or "none", result)
        return result

    def _unreadable_baseline(self, window: Window, reason: str) -> WindowResult:
        """Return a window's result while the baseline in use comes from another version of this program. It is
        not kept."""
        words = f"Nothing was compared: {reason}."
        result = self._result(window, None, None, "incomparable", words, alert=True)
        return result.model_copy(update={"unpublished": PLACES})

    def _compare(self, window: Window, keys: Sequence[tuple[str, int]], baseline: Baseline) -> WindowResult:
        version = baseline.version
        reference = self._measured_with(window, baseline)
        state = self.profile(keys, window, reference, without_fitted=window.id in baseline.window_ids)
        self.store.save_state(version, window.id, state)
        before = self._before(window, version)
        previous = before[-1] if before else None
        if incomparable := other_model(state, baseline.reference):
            return self._result(
                window,
                state,
                baseline,
                "incomparable",
                incomparable,
                evidence=_evidence(previous),
                trends=previous.trends if previous else {},
                alert=True,
            )
        comparison = baseline.compare(state)
        most = EVIDENCE_KEPT * self.alarm_windows
        evidence = baselines.accumulate(_evidence(previous), comparison.p_value, most=most)
        earlier = [
            (result.window, known)
            for result in before
            if (known := self.store.state(version, result.window)) is not None
        ]
        findings = (
            find(baseline, state, window.id, earlier, [result.findings for result in before])
            if state.count
            else Findings()
        )
        documents = self._document_drift(window, baseline, [state, *(known for _, known in earlier)])
        if comparison.p_value is None:
            words = f"Not enough data to speak of drift: {comparison.reason}."
            return self._result(
                window,
                state,
                baseline,
                "not enough data",
                words,
                comparison,
                evidence=evidence,
                trends=previous.trends if previous else {},
                findings=findings,
                documents=documents,
            )
        trends = self._trends(state, baseline, previous)
        rising = [name for name, trend in trends.items() if trend.rising]
        alert = (evidence >= self.alarm_windows and findings.matter) or bool(rising)
        unusual = comparison.p_value <= 0.01
        verdict: Verdict = "drift" if alert else "unusual" if unusual else "usual"
        shown = findings if alert or unusual else Findings()
        words = wording.sentence(shown, alert=alert, unusual=unusual, trends=trends)
        previous_p = baseline.comparer.compare(state, with_=earlier[-1][1]).p_value if earlier else None
        return self._result(
            window,
            state,
            baseline,
            verdict,
            words,
            comparison,
            evidence=evidence,
            trends=trends,
            alert=alert,
            findings=findings,
            documents=documents,
            previous_p_value=previous_p,
        )

    def _trends(self, state: State, baseline: Baseline, previous: WindowResult | None) -> dict[str, Trend]:
        before = previous.trends if previous else {}
        shares = dict(zip(TRENDS, baselines.tails(state, baseline.reference), strict=True))
        return {
            name: follow(before.get(name), usual[np.isfinite(usual)], shares[name], hours=self.hours)
            if np.isfinite(shares[name])
            else before[name]
            for name, usual in zip(TRENDS, baseline.tails.T, strict=True)
            if np.isfinite(shares[name]) or name in before
        }

    def _before(self, window: Window, version: str) -> list[WindowResult]:
        """Return the results of the windows directly before this one, oldest first, back to the first gap."""
        results = []
        for number in range(1, EARLIER + 1):
            start = window.start - number * timedelta(hours=self.hours)
            result = self.store.result(version, Window(start, start + timedelta(hours=self.hours)).id)
            if result is None:
                break
            results.append(result)
        return results[::-1]

    def _first_look(self, window: Window, keys: Sequence[tuple[str, int]]) -> WindowResult:
        """Return the result of a window without a baseline: what people ask, measured with a fit to the window
        itself.

        Nothing is compared.
        """
        needed = (
            f"There is no baseline yet: it is fitted once {self.baseline_windows} windows in a row have interactions, "
            "or by make analyse FIT=1 FROM= TO=."
        )
        try:
            vectors, similarities, model_id = self._fitting_sample([window])
            if len(vectors) < 2:
                raise BaselineError(needed)
            reference = fit(
                vectors,
                version="none",
                model_id=model_id,
                corpus=self._corpus_at(window.end, model_id),
                similarities=similarities,
                gap_quantile=0.2,
                topics=max(1, len(vectors) // 4) if len(vectors) < 200 else None,
            )
        except BaselineError:
            return self._result(
                window, None, None, "no baseline", f"No interaction has an embedding. {needed}"
            )
        state = self.profile(keys, window, reference)
        itself = baselines.build(reference, [(window.id, state)])
        findings = find(itself, state, window.id) if state.count >= FIRST_LOOK_ROWS else Findings()
        findings.new_topics = []
        words = f"{state.count} queries, and nothing yet to compare them with."
        result = self._result(window, state, itself, "no baseline", words, findings=findings)
        return result.model_copy(update={"reason": needed, "baseline": ""})

    def _result(
        self,
        window: Window,
        state: State | None,
        baseline: Baseline | None,
        verdict: Verdict,
        words: str,
        comparison: Comparison | None = None,
        *,
        evidence: float = 1.0,
        trends: dict[str, Trend] | None = None,
        alert: bool = False,
        findings: Findings | None = None,
        documents: DocumentDrift | None = None,
        previous_p_value: float | None = None,
    ) -> WindowResult:
        result = WindowResult(
            window=window.id,
            start=window.start.isoformat(),
            end=window.end.isoformat(),
            baseline=baseline.version if baseline else "",
            model_id=baseline.reference.model_id if baseline else "",
            verdict=verdict,
            alert=alert,
            sentence=words,
            evidence=evidence,
            trends=trends or {},
            findings=findings or Findings(),
            documents=documents,
            previous_p_value=previous_p_value,
        )
        if comparison:
            parts = {
                name: PartResult(statistic=part.statistic, p_value=part.p_value, adjusted=part.adjusted)
                for name, part in comparison.parts.items()
            }
            result = result.model_copy(
                update={
                    "p_value": comparison.p_value,
                    "null": comparison.null,
                    "reason": comparison.reason,
                    "parts": parts,
                }
            )
        if state is not None and baseline is not None:
            result = result.model_copy(update=described(state, baseline))
            result = result.model_copy(update={"for_review": for_review(state, result.findings)})
        return result


def _evidence(previous: WindowResult | None) -> float:
    return previous.evidence if previous else 1.0
