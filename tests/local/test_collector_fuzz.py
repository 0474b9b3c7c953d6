"""No OTLP message ends the stand-in or makes it send what its receivers cannot read.

300 messages of each kind in an ordinary run; ``OTLP_FUZZ=10000`` for the long one.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

import cramjam
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

from local.aws.services.aps import decode_write_request
from local.aws.services.xray.documents import RefusedError, parse
from local.collector import remote_write, telemetry, xray
from local.collector.remote_write import Options
from observability.collector.config import AwsXray

EXAMPLES = int(os.environ.get("OTLP_FUZZ", "300"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
KEYS = """http.method http.request.method http.status_code http.response.status_code http.url url.full
    http.scheme url.scheme http.host http.target http.server_name net.host.port host.name
    net.host.name net.peer.name net.peer.port net.peer.ip network.peer.address network.peer.port
    client.address url.path url.query server.address server.port user_agent.original http.client_ip
    http.status_text message.type messaging.message_payload_size_bytes messaging.url peer.service
    aws.service aws.operation aws.account_id aws.region aws.request_id aws.requestId aws.queue_url
    aws.table_name aws.dynamodb.table_names aws.span.kind aws.local.service aws.remote.service
    aws.xray.annotations aws.xray.metadata.default aws.xray.metadata.x rpc.system rpc.service
    rpc.method db.system db.name db.connection_string db.statement db.user enduser.id service.name
    service.namespace service.instance.id service.version container.image.tag cloud.provider
    cloud.platform host.id aws.ecs.launchtype aws.log.group.names aws.log.group.arns
    k8s.cluster.name telemetry.sdk.language telemetry.sdk.name exception.type exception.message
    exception.stacktrace le quantile job instance __name__ otel_scope_name""".split()
VALUES = """LOCAL_ROOT aws-api aws aws_ecs aws_eks aws_ec2 aws_elastic_beanstalk fargate mysql python java
    nodejs dotnet go php RECEIVED 10.0.0.1 ::1 http://[ //[x {"a":1} null [1] NaN {"a":NaN}
    mysql://u@[::1]:3/x jdbc:x://h:1""".split()
TRACES = st.sampled_from(
    [
        'Traceback\n  File "a.py", line 1, in f\n    x\nE: m\n\nDuring handling of the above exception, another'
        " exception occurred:\n\n",
        "  File ,,\n  File \n",
        "x\n\tat a.b(C.java:1)\nCaused by: E:\n\tat (\n\tat )(\nCaused by: :",
        "E\n    at f (a.js:1:2)\n    at (\n    at x:y:z\n",
        "E\n at a in b:line\n at c)\n in d",
        "goroutine 1 [running]:\nmain()\n\t/a.go:99999999999999999999 +0x1\ngoroutine running:",
    ]
)
TEXT = st.one_of(st.sampled_from(VALUES), TRACES, st.text(max_size=40), st.just("x" * 300))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
SIZES = st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1))


def any_value() -> st.SearchStrategy[common.AnyValue]:
    scalar = st.one_of(
        st.builds(common.AnyValue),
        TEXT.map(lambda value: common.AnyValue(string_value=value)),
        st.booleans().map(lambda value: common.AnyValue(bool_value=value)),
        NUMBERS.map(lambda value: common.AnyValue(int_value=value)),
        st.sampled_from([200, 404, 429, 500]).map(lambda value: common.AnyValue(int_value=value)),
        st.floats().map(lambda value: common.AnyValue(double_value=value)),
        st.binary(max_size=9).map(lambda value: common.AnyValue(bytes_value=value)),
    )
    return st.recursive(
        scalar,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(
                lambda values: common.AnyValue(array_value=common.ArrayValue(values=values))
            ),
            st.dictionaries(st.text(max_size=3), inner, max_size=3).map(
                lambda values: common.AnyValue(
                    kvlist_value=common.KeyValueList(
                        values=[common.KeyValue(key=key, value=value) for key, value in values.items()]
                    )
                )
            ),
        ),
        max_leaves=3,
    )


ATTRIBUTES = st.lists(
    st.builds(common.KeyValue, key=st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), value=any_value()),
    max_size=5,
)
RESOURCE = st.builds(Resource, attributes=ATTRIBUTES)
SCOPE = st.builds(
    common.InstrumentationScope,
    name=st.text(max_size=4),
    version=st.text(max_size=4),
    attributes=st.one_of(st.just([]), ATTRIBUTES),
)
TRACE_IDS = st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=20), st.just(b""))
SPAN_IDS = st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=9), st.just(b""))
TIMES = st.one_of(st.just(1_700_000_000_000_000_000), st.integers(0, 2**64 - 1))
EVENTS = st.builds(
    trace.Span.Event,
    name=st.sampled_from(["exception", "HTTP request failure", "message", ""]),
    time_unix_nano=TIMES,
    attributes=ATTRIBUTES,
)
LINKS = st.builds(trace.Span.Link, trace_id=TRACE_IDS, span_id=SPAN_IDS, attributes=ATTRIBUTES)
SPANS = st.builds(
    trace.Span,
    trace_id=TRACE_IDS,
    span_id=SPAN_IDS,
    parent_span_id=SPAN_IDS,
    name=st.one_of(st.text(max_size=20), st.sampled_from(["", "<>", "é" * 150])),
    kind=st.integers(0, 9),
    start_time_unix_nano=TIMES,
    end_time_unix_nano=TIMES,
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=1),
    status=st.builds(trace.Status, code=st.integers(0, 7), message=st.text(max_size=5)),
)
TRACE_REQUESTS = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            trace.ResourceSpans,
            resource=RESOURCE,
            scope_spans=st.lists(
                st.builds(trace.ScopeSpans, scope=SCOPE, spans=st.lists(SPANS, min_size=1, max_size=2)),
                min_size=1,
                max_size=1,
            ),
        ),
        min_size=1,
        max_size=1,
    ),
)
COMMON = {"attributes": ATTRIBUTES, "time_unix_nano": TIMES, "flags": st.integers(0, 3)}
NUMBER_POINTS = st.one_of(
    st.builds(metrics.NumberDataPoint, **COMMON),
    st.builds(metrics.NumberDataPoint, as_int=NUMBERS, **COMMON),
    st.builds(metrics.NumberDataPoint, as_double=st.floats(), **COMMON),
)
COUNTS = st.lists(SIZES, max_size=6)
BUCKETS = st.builds(
    metrics.ExponentialHistogramDataPoint.Buckets,
    offset=st.integers(-(2**31), 2**31 - 1),
    bucket_counts=COUNTS,
)
TEMPORALITY = st.integers(0, 3)
METRIC_NAMES = st.one_of(st.text(max_size=10), st.sampled_from(["", "9lives", "a.b", "total", "seconds"]))
UNITS = st.one_of(
    st.text(max_size=5), st.sampled_from(["s", "1", "By/s", "/", "{a}", "1/", "__/__", "%", "a/b/c"])
)
DATA = st.one_of(
    st.just({}),
    st.lists(NUMBER_POINTS, max_size=3).map(lambda points: {"gauge": metrics.Gauge(data_points=points)}),
    st.builds(
        metrics.Sum,
        data_points=st.lists(NUMBER_POINTS, max_size=3),
        aggregation_temporality=TEMPORALITY,
        is_monotonic=st.booleans(),
    ).map(lambda data: {"sum": data}),
    st.builds(
        metrics.Histogram,
        aggregation_temporality=TEMPORALITY,
        data_points=st.lists(
            st.builds(
                metrics.HistogramDataPoint,
                count=SIZES,
                sum=st.one_of(st.none(), st.floats()),
                explicit_bounds=st.lists(st.floats(), max_size=5),
                bucket_counts=COUNTS,
                **COMMON,
            ),
            max_size=2,
        ),
    ).map(lambda data: {"histogram": data}),
    st.builds(
        metrics.ExponentialHistogram,
        aggregation_temporality=TEMPORALITY,
        data_points=st.lists(
            st.builds(
                metrics.ExponentialHistogramDataPoint,
                count=SIZES,
                sum=st.one_of(st.none(), st.floats()),
                scale=st.integers(-(2**31), 2**31 - 1),
                zero_count=SIZES,
                positive=BUCKETS,
                negative=BUCKETS,
                **COMMON,
            ),
            max_size=2,
        ),
    ).map(lambda data: {"exponential_histogram": data}),
    st.builds(
        metrics.Summary,
        data_points=st.lists(
            st.builds(
                metrics.SummaryDataPoint,
                count=SIZES,
                sum=st.floats(),
                quantile_values=st.lists(
                    st.builds(
                        metrics.SummaryDataPoint.ValueAtQuantile, quantile=st.floats(), value=st.floats()
                    ),
                    max_size=3,
                ),
                **COMMON,
            ),
            max_size=2,
        ),
    ).map(lambda data: {"summary": data}),
)
METRICS = st.builds(
    lambda name, unit, data: metrics.Metric(name=name, unit=unit, **data), METRIC_NAMES, UNITS, DATA
)
METRIC_REQUESTS = st.builds(
    ExportMetricsServiceRequest,
    resource_metrics=st.lists(
        st.builds(
            metrics.ResourceMetrics,
            resource=RESOURCE,
            scope_metrics=st.lists(
                st.builds(metrics.ScopeMetrics, scope=SCOPE, metrics=st.lists(METRICS, max_size=3)),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)


def has_odd_number(span: telemetry.Span) -> bool:
    """Whether a span holds a NaN or an infinity, which JSON does not have."""
    links = [telemetry.attributes(link.attributes) for link in span.received.links]
    return any(map(_odd, [span.attributes, span.resource, *links]))


def _odd(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_odd, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


@FUZZ
@given(request=TRACE_REQUESTS, index_all=st.booleans(), indexed=st.lists(st.sampled_from(KEYS), max_size=3))
def test_every_span_is_a_document_that_x_ray_can_judge(
    request: ExportTraceServiceRequest, index_all: bool, indexed: list[str]
) -> None:
    settings = AwsXray(index_all_attributes=index_all, indexed_attributes=indexed)
    received = ExportTraceServiceRequest.FromString(request.SerializeToString())
    try:
        spans = list(telemetry.spans(received))
    except telemetry.MalformedError:
        return
    for span in spans:
        for document in xray.documents(span, settings):
            text = xray.encode(document)
            if text is None:
                assert has_odd_number(span)
                continue
            assert re.fullmatch(r"1-[0-9a-f]{8}-[0-9a-f]{24}", document["trace_id"])
            assert json.loads(text)["name"]
            try:
                parse(text)
            except RefusedError as refused:
                # Only values that the exporter passes on unchecked may be refused, never its own structure.
                assert refused.code in ("InvalidId", "InvalidName", "InvalidAnnotation", "SegmentTooLarge")
    assert telemetry.request(spans).SerializeToString() is not None


@FUZZ
@given(
    request=METRIC_REQUESTS,
    resource_labels=st.booleans(),
    options=st.builds(
        Options,
        namespace=st.sampled_from(["", "app"]),
        suffixes=st.booleans(),
        target_info=st.booleans(),
        scope_info=st.booleans(),
        exclude_service_attributes=st.booleans(),
    ),
)
def test_every_metric_is_series_that_prometheus_can_read(
    request: ExportMetricsServiceRequest, resource_labels: bool, options: Options
) -> None:
    received = ExportMetricsServiceRequest.FromString(request.SerializeToString())
    points = telemetry.metric_points(received)
    samples = list(remote_write.series(points, resource_labels=resource_labels, options=options))
    for sample in samples:
        labels = dict(sample.labels)
        assert len(labels) == len(sample.labels)
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", labels["__name__"])
        own = [name for name in labels if not name.startswith("otel_scope_")]
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in own)
        assert -(2**63) <= sample.timestamp < 2**63
    body = bytes(cramjam.snappy.decompress_raw(remote_write.encode(samples)))
    plain = {sample.labels for sample in samples if sample.histogram is None}
    assert plain == decode_write_request(body).keys()
