"""Pipelines as the configuration wires them: receive, process, batch, export with retries."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local.collector import exporters
from local.collector.exporters import Export
from local.collector.processors import TailSampler, apply_actions, detect, keeps, merged
from local.collector.supported import check_supported
from local.collector.telemetry import MetricPoints, Span
from observability.collector.component import seconds
from observability.collector.config import (
    Attributes,
    Authenticator,
    AwsXray,
    Batch,
    CollectorConfig,
    Debug,
    Filter,
    MemoryLimiter,
    OtlpHttp,
    Pipeline,
    PrometheusRemoteWrite,
    ResourceAttributes,
    ResourceDetection,
    SigV4Auth,
    TailSampling,
)

_log = logging.getLogger("collector")

T = TypeVar("T")


class RefusedError(Exception):
    """The memory limiter refuses data for now."""


class Queue:
    """The batch processor and the exporters' queue: exports when a batch is full or its timeout has passed.

    Without either (``waits`` is false) nothing is held back: the sender gets its answer after the export.
    """

    def __init__(self, name: str, batch: Batch, exports: Sequence[Export], *, waits: bool = True) -> None:
        self._name = name
        self._waits = waits
        self._timeout = seconds(batch.timeout)
        self._size = batch.send_batch_size
        self._maximum = batch.send_batch_max_size or batch.send_batch_size or sys.maxsize
        self._exports = exports
        self._items: list[Any] = []
        self._since = 0.0
        self._lock = threading.Lock()

    def add(self, items: Sequence[Any]) -> None:
        with self._lock:
            if items and not self._items:
                self._since = time.monotonic()
            self._items += items
        if not self._waits:
            self.flush(everything=True)

    def __len__(self) -> int:
        return len(self._items)

    def flush(self, *, everything: bool = False) -> None:
        """Export everything that is due."""
        while True:
            with self._lock:
                due = (
                    everything
                    or len(self._items) >= self._size
                    or time.monotonic() - self._since >= self._timeout
                )
                if not self._items or not due:
                    return
                batch, self._items = self._items[: self._maximum], self._items[self._maximum :]
            for export in self._exports:
                try:
                    export(batch)
                except (BotoCoreError, ClientError, OSError) as error:
                    _log.warning("%s: %d items were not exported: %s", self._name, len(batch), error)
                except Exception as error:  # noqa: BLE001 - the contents of one batch must not end the process
                    # Without the error's text, which may contain parts of the batch.
                    _log.error("%s: %d items were dropped: %s", self._name, len(batch), type(error).__name__)


class Pipelines:
    """All pipelines of a configuration. ``receive_*`` raise ``RefusedError`` over the memory limit."""

    def __init__(self, config: CollectorConfig) -> None:
        check_supported(config)
        self._config = config
        self._traces: list[tuple[Pipeline, TailSampler | None, Queue]] = []
        self._metrics: list[tuple[Pipeline, Queue]] = []
        self._detected: dict[str, dict[str, Any]] = {}
        for name, pipeline in config.service.pipelines.items():
            if name.startswith("traces"):
                sampler = next((TailSampler(s) for s in self._settings(pipeline, TailSampling)), None)
                self._traces.append((pipeline, sampler, self._queue(name, pipeline)))
            elif name.startswith("metrics"):
                self._metrics.append((pipeline, self._queue(name, pipeline)))
            else:
                raise ValueError(f"service.pipelines.{name}: the stand-in has no pipelines for logs")

    def receive_spans(self, receiver: str, spans: Sequence[Span]) -> None:
        for pipeline, sampler, queue in self._traces:
            if receiver not in pipeline.receivers:
                continue
            self._limit(pipeline, len(queue) + len(spans))
            # Copied, because an attribute that one pipeline removes from a span must remain in the others.
            processed = [
                done for span in spans if (done := self._processed(pipeline, span.copy())) is not None
            ]
            queue.add(sampler.add(processed) if sampler else processed)

    def receive_metrics(self, receiver: str, points: Sequence[MetricPoints]) -> None:
        for pipeline, queue in self._metrics:
            if receiver not in pipeline.receivers:
                continue
            self._limit(pipeline, len(queue) + len(points))
            # Copied, as spans are.
            queue.add([replace(item, resource=self._resource(pipeline, item.resource)) for item in points])

    def tick(self, *, everything: bool = False) -> None:
        """Decide traces that have waited long enough, and export batches that are due."""
        for _, sampler, queue in self._traces:
            if sampler:
                queue.add(sampler.due(everything=everything))
            queue.flush(everything=everything)
        for _, queue in self._metrics:
            queue.flush(everything=everything)

    def _settings(self, pipeline: Pipeline, kind: type[T]) -> list[T]:
        return [
            s for s in (self._config.processors[name] for name in pipeline.processors) if isinstance(s, kind)
        ]

    def _limit(self, pipeline: Pipeline, items: int) -> None:
        for limiter in self._settings(pipeline, MemoryLimiter):
            # The stand-in counts items of about two kilobytes, where the collector measures its heap.
            if items * 2048 > limiter.soft_limit_mib * 1024 * 1024:
                raise RefusedError("over the memory limit")

    def _processed(self, pipeline: Pipeline, span: Span) -> Span | None:
        span.resource = self._resource(pipeline, span.resource)
        for name in pipeline.processors:
            settings = self._config.processors[name]
            if isinstance(settings, Attributes):
                apply_actions(span.attributes, settings.actions)
            elif isinstance(settings, Filter) and not keeps(settings, span):
                return None
        return span

    def _resource(self, pipeline: Pipeline, resource: dict[str, Any]) -> dict[str, Any]:
        for name in pipeline.processors:
            settings = self._config.processors[name]
            if isinstance(settings, ResourceDetection):
                detected = self._detected.setdefault(name, detect(settings))
                resource = merged(resource, detected, settings.override)
            elif isinstance(settings, ResourceAttributes):
                resource = dict(resource)
                apply_actions(resource, settings.attributes)
        return resource

    def _queue(self, name: str, pipeline: Pipeline) -> Queue:
        batch = next(iter(self._settings(pipeline, Batch)), None)
        exporters = [self._config.exporters[exporter] for exporter in pipeline.exporters]
        return Queue(
            name,
            batch or Batch(),
            [self._exporter(exporter) for exporter in pipeline.exporters],
            waits=batch is not None or any(map(_queues, exporters)),
        )

    def _exporter(self, name: str) -> Export:
        settings = self._config.exporters[name]
        match settings:
            case AwsXray():
                return exporters.xray_segments(settings)
            case PrometheusRemoteWrite():
                return exporters.prometheus(settings, self._auth(settings.auth))
            case OtlpHttp():
                return exporters.otlp(settings, self._auth(settings.auth))
            case Debug():
                return lambda items: _log.info("%s: %d items", name, len(items))
            case _:
                raise ValueError(
                    f"exporters.{name}: the stand-in does not implement it; put a real collector on PATH"
                )

    def _auth(self, auth: Authenticator | None) -> SigV4Auth | None:
        extension = self._config.extensions[auth.authenticator] if auth else None
        return extension if isinstance(extension, SigV4Auth) else None


def _queues(exporter: Any) -> bool:
    """Whether the exporter has a queue that is on; awsxray has none."""
    if isinstance(exporter, PrometheusRemoteWrite):
        return exporter.remote_write_queue.enabled
    if isinstance(exporter, OtlpHttp):
        return exporter.sending_queue.enabled
    return not isinstance(exporter, AwsXray | Debug)
