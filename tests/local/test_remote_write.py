"""The stand-in for the remote-write exporter makes of the table's metrics what the exporter's source says."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import cramjam
import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from local.aws.services.aps import decode_write_request
from local.collector import remote_write, telemetry
from local.collector.prometheus_names import label_name, metric_name
from local.collector.remote_write import Options, Series
from local.collector.write_request import STALE, Buckets

TABLE: dict[str, list[Any]] = yaml.safe_load(
    Path(__file__).with_name("golden").joinpath("prw_metrics.yaml").read_text()
)
TIME = 5_000_000


def metric(kind: str, given: dict[str, Any]) -> pb.Metric:
    message = pb.Metric(name=given["name"], unit=given.get("unit", ""))
    if kind == "none":
        return message
    data = getattr(message, kind)
    data.SetInParent()
    if kind in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = given.get("temporality", 2)
    if kind == "sum":
        data.is_monotonic = given.get("monotonic", False)
    for each in given.get("points", []):
        point = data.data_points.add(time_unix_nano=each.get("time", TIME), flags=each.get("flags", 0))
        point.attributes.extend(telemetry.pairs(each.get("attributes", {})))
        if "value" in each:
            setattr(point, "as_int" if isinstance(each["value"], int) else "as_double", each["value"])
        for key in ("count", "sum", "scale", "zero_count"):
            if key in each:
                setattr(point, key, each[key])
        if kind == "histogram":
            point.explicit_bounds.extend(map(float, each.get("bounds", [])))
            point.bucket_counts.extend(each.get("counts", []))
        for quantile, value in each.get("quantiles", {}).items():
            point.quantile_values.add(quantile=quantile, value=value)
        for side in ("positive", "negative"):
            if side in each:
                getattr(point, side).offset = each[side]["offset"]
                getattr(point, side).bucket_counts.extend(each[side]["counts"])
    return message


def made(row: dict[str, Any]) -> list[Series]:
    scope = row.get("scope", {})
    request = ExportMetricsServiceRequest(
        resource_metrics=[
            pb.ResourceMetrics(
                resource=Resource(attributes=telemetry.pairs(row.get("resource", {}))),
                scope_metrics=[
                    pb.ScopeMetrics(
                        scope=InstrumentationScope(
                            name=scope.get("name", ""),
                            version=scope.get("version", ""),
                            attributes=telemetry.pairs(scope.get("attributes", {})),
                        ),
                        metrics=[metric(*next(iter(each.items()))) for each in row["metrics"]],
                    )
                ],
            )
        ]
    )
    received = ExportMetricsServiceRequest.FromString(request.SerializeToString())
    return list(
        remote_write.series(
            telemetry.metric_points(received),
            resource_labels=row.get("resource_labels", False),
            options=Options(**row.get("options", {})),
        )
    )


def number(value: float) -> Any:
    return "stale" if struct.pack("<d", value) == struct.pack("<Q", STALE) else value


def shown(sample: Series) -> str:
    """Return a sample as Prometheus's text, with its time in milliseconds if it is not the usual one."""
    labels = dict(sample.labels)
    name = labels.pop("__name__")
    inner = ",".join(
        f'{key}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
        for key, value in sorted(labels.items())
    )
    value = number(sample.value)
    text = value if isinstance(value, str) else telemetry.decimal(value)
    when = f" @{sample.timestamp}" if sample.timestamp != TIME // 1_000_000 else ""
    return f"{name}{{{inner}}} {text}{when}" if inner else f"{name} {text}{when}"


def usual(line: str) -> str:
    return line.removesuffix(f" @{TIME // 1_000_000}")


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected", "source"), TABLE["names"], ids=lambda value: str(value)[:40]
)
def test_a_name_is_that_of_the_table(name: str, unit: str, kind: str, expected: str, source: str) -> None:
    data = "sum" if kind == "counter" else kind
    assert source
    assert metric_name(name, unit, data, monotonic=kind == "counter") == expected


@pytest.mark.parametrize(
    ("attribute", "expected", "source"), TABLE["labels"], ids=lambda value: str(value)[:30]
)
def test_a_label_is_that_of_the_table(attribute: str, expected: str, source: str) -> None:
    assert source
    assert label_name(attribute) == expected


@pytest.mark.parametrize("row", TABLE["series"], ids=[row["name"] for row in TABLE["series"]])
def test_metrics_become_the_series_of_the_table(row: dict[str, Any]) -> None:
    assert row["source"]
    assert list(map(shown, made(row))) == list(map(usual, row["expected"]))


@pytest.mark.parametrize("row", TABLE["native"], ids=[row["name"] for row in TABLE["native"]])
def test_an_exponential_histogram_becomes_a_native_one(row: dict[str, Any]) -> None:
    given = {"exponential_histogram": {"name": "wait", "unit": "s", "points": [row["point"]]}}
    samples = made({"metrics": [given]})
    if row["expected"] is None:
        assert samples == []
        return
    (sample,) = samples
    assert sample.labels == (("__name__", "wait_seconds"),)
    histogram = sample.histogram
    assert histogram is not None

    def side(buckets: Buckets) -> list[Any]:
        return [[list(span) for span in buckets.spans], list(buckets.deltas)]

    assert {
        "schema": histogram.schema,
        "count": histogram.count,
        "sum": number(histogram.sum),
        "zero_count": histogram.zero_count,
        "positive": side(histogram.positive),
        "negative": side(histogram.negative),
    } == row["expected"]


def test_the_table_is_large() -> None:
    assert sum(map(len, TABLE.values())) >= 45
    assert len(TABLE["series"]) >= 30


def decoded(samples: list[Series]) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(remote_write.encode(samples)))


def test_samples_of_a_series_are_sent_together_in_order_of_time() -> None:
    """Source: exporter helper.go orderBySampleTimestamp; remote write specification, "Ordering"."""
    labels = (("__name__", "queue"),)
    body = decoded([Series(labels, 2.0, 9), Series(labels, 1.0, 5)])
    assert body.count(b"queue") == 1
    assert body.index(struct.pack("<d", 1.0)) < body.index(struct.pack("<d", 2.0))
    assert decode_write_request(body) == {labels: 2.0}


@pytest.mark.parametrize("when", [2**64 - 1, 2**63, 2**63 - 1, 0])
def test_every_time_can_be_sent(when: int) -> None:
    (sample,) = made({"metrics": [{"gauge": {"name": "queue", "points": [{"value": 1, "time": when}]}}]})
    assert decode_write_request(decoded([sample])) == {(("__name__", "queue"),): 1.0}
    assert -(2**63) <= sample.timestamp < 2**63


def test_a_stale_marker_keeps_its_bits_on_the_way() -> None:
    (sample,) = made(
        {"metrics": [{"gauge": {"name": "queue", "points": [{"flags": 1}]}}]},
    )
    assert math.isnan(sample.value)
    assert struct.pack("<Q", STALE) in decoded([sample])
