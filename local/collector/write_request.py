"""Series and their encoding as a Prometheus remote write request, version 1.0 (prometheus/prompb)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cramjam

STALE = 0x7FF0000000000002
"""The bits of Prometheus's stale marker, a special NaN (model/value/value.go)."""
STALE_MARKER: float = struct.unpack("<d", struct.pack("<Q", STALE))[0]
ZERO_THRESHOLD = 1e-128
MASK = 2**64 - 1


@dataclass(frozen=True)
class Buckets:
    """One side of a native histogram: spans of (gap, length), and each count as the difference from
    the one before."""

    spans: tuple[tuple[int, int], ...] = ()
    deltas: tuple[int, ...] = ()


@dataclass(frozen=True)
class NativeHistogram:
    """A histogram with exponential buckets."""

    count: int
    sum: float
    schema: int
    zero_count: int
    positive: Buckets
    negative: Buckets


@dataclass(frozen=True)
class Series:
    """One sample of one series; the time is in milliseconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp: int
    histogram: NativeHistogram | None = None
    """The sample if it is a histogram; ``value`` is then the histogram's sum."""


def encode(samples: Iterable[Series]) -> bytes:
    """Return a snappy-compressed WriteRequest: each series once, its samples in order of time."""
    by_labels: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for sample in samples:
        by_labels.setdefault(sample.labels, []).append(sample)
    body = b"".join(_field(1, _time_series(labels, group)) for labels, group in by_labels.items())
    return bytes(cramjam.snappy.compress_raw(body))


def _time_series(labels: tuple[tuple[str, str], ...], samples: Sequence[Series]) -> bytes:
    parts = [_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels]
    for sample in sorted(samples, key=lambda each: each.timestamp):
        if sample.histogram:
            parts.append(_field(4, _histogram(sample.histogram, sample.timestamp)))
        else:
            parts.append(_field(2, _double(1, sample.value) + _number(2, sample.timestamp)))
    return b"".join(parts)


def _histogram(histogram: NativeHistogram, timestamp: int) -> bytes:
    return b"".join(
        [
            _number(1, histogram.count),
            _double(3, histogram.sum),
            _number(4, _zigzag(histogram.schema)),
            _double(5, ZERO_THRESHOLD),
            _number(6, histogram.zero_count),
            _buckets(8, histogram.negative),
            _buckets(11, histogram.positive),
            _number(15, timestamp),
        ]
    )


def _buckets(number: int, buckets: Buckets) -> bytes:
    spans = [_field(number, _number(1, _zigzag(gap)) + _number(2, length)) for gap, length in buckets.spans]
    deltas = b"".join(_varint(_zigzag(delta)) for delta in buckets.deltas)
    return b"".join(spans) + (_field(number + 1, deltas) if deltas else b"")


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _zigzag(value: int) -> int:
    return (value << 1 ^ value >> 63) & MASK


def _varint(value: int) -> bytes:
    value &= MASK
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
