"""The prometheusremotewrite exporter: OTLP metrics as Prometheus series, with its names and labels.

Source of the rules: the exporter's translator in OpenTelemetry Collector contrib 0.156
(pkg/translator/prometheusremotewrite) and its recorded output (tests/local/golden). Exemplars are not sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.collector.prometheus_names import label_name, metric_name
from local.collector.telemetry import Attributes, MetricPoints, as_string, attributes, decimal
from local.collector.write_request import STALE, STALE_MARKER, Buckets, NativeHistogram, Series, encode

__all__ = ["Options", "Series", "encode", "metric_name", "series"]

CUMULATIVE = 2
NO_RECORDED_VALUE = 1
IDENTIFYING = ("service.namespace", "service.name", "service.instance.id")
LOWEST_SCALE, HIGHEST_SCALE = -4, 8
"""Range of scales of native histograms: finer buckets are merged, and coarser ones cannot be represented."""
WIDEST_GAP = 2
"""Maximum number of empty buckets that are written out; a wider gap begins a new span."""


@dataclass(frozen=True)
class Options:
    """The exporter's settings for names and labels."""

    namespace: str = ""
    suffixes: bool = True
    target_info: bool = True
    scope_info: bool = True
    exclude_service_attributes: bool = False
    external_labels: Mapping[str, str] = field(default_factory=dict)


def series(
    points: Iterable[MetricPoints], *, resource_labels: bool, options: Options | None = None
) -> Iterator[Series]:
    """Return the samples of metrics, and a ``target_info`` for each resource with more than job and instance.

    Delta metrics are dropped, and so is a point with an attribute whose name cannot become a label.
    """
    options = options or Options()
    newest: dict[str, tuple[Attributes, int]] = {}
    for item in points:
        data = getattr(item.metric, item.metric.WhichOneof("data") or "", None)
        times = [point.time_unix_nano for point in data.data_points] if data is not None else []
        _, before = newest.get(repr(item.resource), (item.resource, 0))
        newest[repr(item.resource)] = item.resource, max([before, *times])
        yield from _samples(item, resource_labels, options)
    for resource, when in newest.values():
        yield from _target_info(resource, when, options)


def _samples(item: MetricPoints, resource_labels: bool, options: Options) -> Iterator[Series]:
    kind = item.metric.WhichOneof("data") or ""
    data = getattr(item.metric, kind, None)
    if data is None or getattr(data, "aggregation_temporality", CUMULATIVE) != CUMULATIVE:
        return
    name = metric_name(
        item.metric.name,
        item.metric.unit,
        kind,
        monotonic=kind == "sum" and data.is_monotonic,
        namespace=options.namespace,
        suffixes=options.suffixes,
    )
    if not name:
        return
    for point in data.data_points:
        values = attributes(point.attributes)
        if resource_labels:
            excluded = IDENTIFYING if options.exclude_service_attributes else ()
            values |= {key: value for key, value in item.resource.items() if key not in excluded}
        labels = _labels(values, item.resource, options, item if options.scope_info else None)
        if labels is not None:
            yield from _point(kind, name, labels, point)


def _point(kind: str, name: str, labels: dict[str, str], point: Any) -> Iterator[Series]:
    when = _milliseconds(point.time_unix_nano)
    is_stale = bool(point.flags & NO_RECORDED_VALUE)

    def sample(suffix: str, value: float, **extra: str) -> Series:
        return _series(name + suffix, labels | extra, STALE_MARKER if is_stale else float(value), when)

    if kind in ("gauge", "sum"):
        value = getattr(point, point.WhichOneof("value") or "", 0.0)
        yield sample("", value)
    elif kind == "histogram":
        if point.HasField("sum"):
            yield sample("_sum", point.sum)
        yield sample("_count", point.count)
        cumulative = 0
        for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False):
            cumulative += count
            yield sample("_bucket", cumulative, le=decimal(bound))
        yield sample("_bucket", point.count, le="+Inf")
    elif kind == "summary":
        yield sample("_sum", point.sum)
        yield sample("_count", point.count)
        for quantile in point.quantile_values:
            yield sample("", quantile.value, quantile=decimal(quantile.quantile))
    elif point.scale >= LOWEST_SCALE:
        histogram = _native(point, is_stale)
        yield Series(_sorted(name, labels), histogram.sum, when, histogram)


def _native(point: Any, is_stale: bool) -> NativeHistogram:
    """Return an exponential histogram as a native one."""
    scale_down = max(0, point.scale - HIGHEST_SCALE)
    return NativeHistogram(
        count=STALE if is_stale else point.count,
        sum=STALE_MARKER if is_stale else point.sum,
        schema=point.scale - scale_down,
        zero_count=point.zero_count,
        positive=_buckets(point.positive, scale_down),
        negative=_buckets(point.negative, scale_down),
    )


def _buckets(given: Any, scale_down: int) -> Buckets:
    """Return dense buckets as spans; ``scale_down`` says how many times to halve their number."""
    counts: dict[int, int] = {}
    for position, count in enumerate(given.bucket_counts):
        # OpenTelemetry's bucket 0 is above 1, Prometheus's below.
        index = (position + given.offset >> scale_down) + 1
        counts[index] = counts.get(index, 0) + count
    if not counts:
        return Buckets()
    first, last = next(iter(counts)), max(counts)
    filled = [(index, count) for index, count in counts.items() if count or index == last]
    spans: list[list[int]] = [[first, 0]]
    deltas: list[int] = []
    previous, following = 0, first
    for index, count in filled:
        gap = index - following
        if gap > WIDEST_GAP:
            spans.append([gap, 0])
            gap = 0
        for value in [*[0] * gap, count]:
            spans[-1][1] += 1
            deltas.append(value - previous)
            previous = value
        following = index + 1
    return Buckets(tuple((gap, length) for gap, length in spans), tuple(deltas))


def _target_info(resource: Attributes, newest: int, options: Options) -> Iterator[Series]:
    others = {key: value for key, value in resource.items() if key not in IDENTIFYING}
    if not options.target_info or not newest or not others:
        return
    labels = _labels(others, resource, options, None)
    if labels is not None and labels.keys() & {"job", "instance"}:
        name = f"{options.namespace}_target_info" if options.namespace else "target_info"
        yield _series(name, labels, 1.0, _milliseconds(newest))


def _labels(
    values: Attributes, resource: Attributes, options: Options, scope: MetricPoints | None
) -> dict[str, str] | None:
    """Return labels, or ``None`` if an attribute's name cannot become a label.

    Attributes whose names become the same label are joined in order of their names.
    """
    labels: dict[str, str] = {}
    for key in sorted(values):
        name, value = label_name(key), as_string(values[key])
        if not name:
            return None
        if name not in labels:
            labels[name] = value
        elif labels[name] != value:
            labels[name] += f";{value}"
    if "service.name" in resource:
        service = as_string(resource["service.name"])
        namespace = resource.get("service.namespace")
        has_namespace = "service.namespace" in resource
        labels["job"] = f"{as_string(namespace)}/{service}" if has_namespace else service
    if "service.instance.id" in resource:
        labels["instance"] = as_string(resource["service.instance.id"])
    labels = {**options.external_labels, **labels}
    if scope:
        named = {"name": scope.scope_name, "version": scope.scope_version}
        labels |= {f"otel_scope_{key}": value for key, value in named.items() if value}
        labels |= {f"otel_scope_{key}": as_string(value) for key, value in scope.scope_attributes.items()}
    return labels


def _milliseconds(nanoseconds: int) -> int:
    """Return a time in milliseconds; a time past the year 2262 wraps around, as Go's does."""
    signed = nanoseconds - 2**64 if nanoseconds >= 2**63 else nanoseconds
    return -(-signed // 1_000_000) if signed < 0 else signed // 1_000_000


def _series(name: str, labels: dict[str, str], value: float, when: int) -> Series:
    return Series(_sorted(name, labels), value, when)


def _sorted(name: str, labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**labels, "__name__": name}.items()))
