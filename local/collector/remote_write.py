"""The prometheusremotewrite exporter: OTLP metrics as Prometheus series, with its names and labels.

Source of the rules: the exporter's recorded output (tests/local/golden) and OpenTelemetry's Prometheus compatibility
specification.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cramjam

from local.collector.telemetry import Attributes, MetricPoints, attributes

UNITS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "min": "minutes", "h": "hours",
    "d": "days", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "KBy": "kilobytes", "MBy": "megabytes", "%": "percent",
}  # fmt: skip
CUMULATIVE = 2


@dataclass(frozen=True)
class Series:
    """One sample of one series; the time is in milliseconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp: int


def series(points: Iterable[MetricPoints], *, resource_labels: bool) -> Iterator[Series]:
    """The samples of cumulative sums, gauges and histograms; delta points are dropped, as the exporter drops them."""
    for item in points:
        kind = item.metric.WhichOneof("data") or ""
        if kind not in ("sum", "gauge", "histogram"):
            continue
        data = getattr(item.metric, kind)
        if kind in ("sum", "histogram") and data.aggregation_temporality != CUMULATIVE:
            continue
        name = metric_name(
            item.metric.name, item.metric.unit, kind, monotonic=kind == "sum" and data.is_monotonic
        )
        base = _base_labels(item, resource_labels)
        newest = 0
        for point in data.data_points:
            labels = base | _labels(attributes(point.attributes))
            when = point.time_unix_nano // 1_000_000
            newest = max(newest, when)
            if kind == "histogram":
                yield from _histogram(name, labels, point, when)
            else:
                value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
                yield _series(name, labels, float(value), when)
        if newest:
            info = {
                key: value
                for key, value in base.items()
                if not key.startswith("otel_scope") and key != "service_name"
            }
            yield _series("target_info", info, 1.0, newest)


def metric_name(name: str, unit: str, kind: str, *, monotonic: bool) -> str:
    """An OTLP metric's name in Prometheus: sanitized, with its unit and ``_total``."""
    words = [word for word in re.split(r"[^A-Za-z0-9:]+", name) if word]
    suffix = "" if unit.startswith("{") else UNITS.get(unit, re.sub(r"[^A-Za-z0-9]+", "_", unit).strip("_"))
    if unit == "1":
        suffix = "ratio" if kind == "gauge" else ""
    if suffix and suffix not in words:
        words.append(suffix)
    if monotonic:
        words = [word for word in words if word != "total"] + ["total"]
    return "_".join(words)


def encode(samples: Iterable[Series]) -> bytes:
    """A snappy-compressed WriteRequest (prometheus/prompb: timeseries=1; labels=1, samples=2)."""
    body = b"".join(_field(1, _time_series(sample)) for sample in samples)
    return bytes(cramjam.snappy.compress_raw(body))


def _histogram(name: str, labels: dict[str, str], point: Any, when: int) -> Iterator[Series]:
    cumulative = 0
    for bound, count in zip([*point.explicit_bounds, None], point.bucket_counts, strict=True):
        cumulative += count
        le = "+Inf" if bound is None else f"{bound:g}"
        yield _series(f"{name}_bucket", labels | {"le": le}, float(cumulative), when)
    yield _series(f"{name}_sum", labels, point.sum, when)
    yield _series(f"{name}_count", labels, float(point.count), when)


def _base_labels(item: MetricPoints, resource_labels: bool) -> dict[str, str]:
    resource = dict(item.resource)
    labels = {}
    if service := resource.get("service.name"):
        namespace = resource.get("service.namespace")
        labels["job"] = f"{namespace}/{service}" if namespace else str(service)
    if instance := resource.get("service.instance.id"):
        labels["instance"] = str(instance)
    if resource_labels:
        labels |= _labels(resource)
    if item.scope_name:
        labels["otel_scope_name"] = item.scope_name
    if item.scope_version:
        labels["otel_scope_version"] = item.scope_version
    return labels


def _labels(values: Attributes) -> dict[str, str]:
    return {re.sub(r"[^A-Za-z0-9_]", "_", key): _text(value) for key, value in values.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _series(name: str, labels: dict[str, str], value: float, when: int) -> Series:
    return Series(tuple(sorted({"__name__": name, **labels}.items())), value, when)


def _time_series(sample: Series) -> bytes:
    labels = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sample.labels
    )
    point = b"\x09" + struct.pack("<d", sample.value) + b"\x10" + _varint(sample.timestamp)
    return labels + _field(2, point)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
