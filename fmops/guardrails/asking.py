"""One question to one detector: its requests, run at once, and their results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from fmops.guardrails.chunking import Segment, requests
from fmops.guardrails.detectors.base import Context, Detector
from fmops.guardrails.text import Folded
from fmops.guardrails.types import DetectorCall, DetectorError, Finding, Result
from fmops.telemetry import attributes

_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
     "ServiceQuotaExceededException", "ProvisionedThroughputExceededException"}
)  # fmt: skip
_INLINE_CHARACTERS = 8_000
_tracer = trace.get_tracer("fmops.guardrails")


class Ask:
    """A detector's answer to a text, in progress or complete. Several checks may await it at once."""

    def __init__(
        self, detector: Detector, folded: Folded, context: Context, *, seconds: float, executor: Executor
    ) -> None:
        self.detector = detector
        self.context = context
        self._folded = folded
        self._began = time.perf_counter()
        self._began_ns = time.time_ns()
        self._ended = 0.0
        self.expires = self._began + seconds
        inline = detector.in_process and len(folded.text) <= _INLINE_CHARACTERS
        self.futures: list[Future[list[Finding]]] = [
            _done(self._request, request) if inline else executor.submit(self._request, request)
            for request in requests(folded.text, detector.limits)
        ]
        self._span = _tracer.start_span(
            f"guardrail {detector.name}",
            start_time=self._began_ns,
            attributes={
                attributes.GUARDRAIL_DETECTOR: detector.name,
                attributes.GUARDRAIL_DIRECTION: context.direction.value,
                attributes.GUARDRAIL_REQUESTS: len(self.futures),
            },
        )

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.futures)

    def conclude(self, *, joined: bool = False) -> tuple[DetectorCall, list[Finding]]:
        """Return the result as of now: findings in the original text's offsets, or none and the reason."""
        findings: list[Finding] = []
        result: Result = "joined" if joined else "ok"
        error: BaseException | None = None
        for future in self.futures:
            failed = _failure(future)
            if failed is None:
                findings += future.result()
            error = failed or error
        if error:
            findings, result = [], classify(error)
        ended = (self._ended if self.done else 0.0) or time.perf_counter()
        call = DetectorCall(
            detector=self.detector.name,
            direction=self.context.direction,
            result=result,
            duration_ms=(ended - self._began) * 1000,
            findings=len(findings),
            requests=len(self.futures),
            error_type=error_type(error) if error else "",
        )
        if not joined:
            self._end_span(call)
        return call, findings

    def _request(self, request: Sequence[Segment]) -> list[Finding]:
        if time.perf_counter() > self.expires:
            raise TimeoutError
        found = self.detector.detect([segment.text for segment in request], self.context)
        if len(found) != len(request):
            raise DetectorError(f"{self.detector.name} answered for {len(found)} of {len(request)} texts")
        findings = [
            self._placed(finding, segment)
            for segment, each in zip(request, found, strict=True)
            for finding in each
        ]
        self._ended = time.perf_counter()
        return findings

    def _placed(self, finding: Finding, segment: Segment) -> Finding:
        """Return the finding at its place in the original text, with its detector's name."""
        if not finding.is_span:
            return (
                finding
                if finding.detector
                else Finding(finding.category, finding.score, 0, 0, self.detector.name)
            )
        if finding.begin < 0 or finding.end > len(segment.text):
            raise DetectorError(f"{self.detector.name} gave offsets that do not fit the text", "offsets")
        return self._folded.unfold(
            Finding(
                finding.category,
                finding.score,
                finding.begin + segment.begin,
                finding.end + segment.begin,
                finding.detector or self.detector.name,
            )
        )

    def _end_span(self, call: DetectorCall) -> None:
        self._span.set_attribute(attributes.GUARDRAIL_RESULT, call.result)
        self._span.set_attribute(attributes.GUARDRAIL_FINDINGS, call.findings)
        if not call.answered:
            self._span.set_attribute(attributes.ERROR_TYPE, call.error_type)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._began_ns + int(call.duration_ms * 1e6))


def _failure(future: Future[list[Finding]]) -> BaseException | None:
    """Return why there is no answer; a future that is still running, or will never run, is out of time."""
    return future.exception() if future.done() and not future.cancelled() else TimeoutError()


def classify(error: BaseException) -> Result:
    """Classify an error that left a question without an answer."""
    match error:
        case DetectorError():
            return error.result
        case ClientError() if error.response.get("Error", {}).get("Code") in _THROTTLED:
            return "throttled"
        case TimeoutError() | ReadTimeoutError() | ConnectTimeoutError():
            return "timeout"
        case ResponseParserError() | KeyError() | TypeError() | AttributeError() | ValueError():
            return "malformed"
        case _:
            return "error"


def error_type(error: BaseException) -> str:
    """Return the service's error code, or else the exception's name; never its message, which may quote the
    text.
    """
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "ClientError")
    return error.result if isinstance(error, DetectorError) else type(error).__name__


def _done(function: object, request: Sequence[Segment]) -> Future[list[Finding]]:
    future: Future[list[Finding]] = Future()
    try:
        future.set_result(function(request))  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 - kept for whoever asks for the result
        future.set_exception(error)
    return future
