"""The stand-in for the ADOT collector makes of the recorded input what the real exporters made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram,
    HistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from local.collector import remote_write, telemetry, xray
from local.collector.__main__ import serve
from local.collector.pipeline import Pipelines, Queue, RefusedError, _queues
from local.collector.processors import TailSampler
from observability.collector.config import AwsXray, Batch, CollectorConfig, TailSampling, load
from observability.collector.template import BASE, compose

GOLDEN = Path(__file__).with_name("golden")


def verified() -> CollectorConfig:
    """Return the recorded configuration, without gRPC: the stand-in's own transport is HTTP."""
    text = (GOLDEN / "adot-verified.yaml").read_text()
    variables = ("AWS_REGION", "XRAY_ENDPOINT", "AWS_PROMETHEUS_ENDPOINT", "MLFLOW_OTLP_TRACES")
    names = dict.fromkeys((*variables, "MLFLOW_EXPERIMENT_ID", "XRAY_OTLP_TRACES"), "us-east-1")
    return load(text, names)


def golden_spans() -> list[telemetry.Span]:
    request = ExportTraceServiceRequest.FromString((GOLDEN / "input_traces.pb").read_bytes())
    return list(telemetry.spans(request))


def golden_points() -> list[telemetry.MetricPoints]:
    request = ExportMetricsServiceRequest.FromString((GOLDEN / "input_metrics.pb").read_bytes())
    return list(telemetry.metric_points(request))


class Collected:
    """An exporter that stores what a pipeline passes to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.items: list[Any] = []
        monkeypatch.setattr(Pipelines, "_exporter", lambda _self, _name: self.items.extend)


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Return a segment without what must differ between two collectors: the exception's random id and
    the host's name."""
    document = json.loads(json.dumps(document))
    for exception in document.get("cause", {}).get("exceptions", []):
        exception.pop("id")
    document.get("metadata", {}).get("default", {}).pop("otel.resource.host.name", None)
    document["start_time"], document["end_time"] = (
        round(document["start_time"], 6),
        round(document["end_time"], 6),
    )
    return document


def test_segments_equal_the_recorded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    collected = Collected(monkeypatch)
    config = verified()
    traces = config.service.model_copy(
        update={"pipelines": {"traces": config.service.pipelines["traces/xray"]}}
    )
    pipelines = Pipelines(config.model_copy(update={"service": traces}))
    pipelines.receive_spans("otlp", golden_spans())
    pipelines.tick(everything=True)

    settings = config.exporters["awsxray"]
    assert isinstance(settings, AwsXray)
    made = {
        document["id"]: comparable(document)
        for span in collected.items
        for document in [xray.segment(span, settings)]
    }
    recorded = {
        document["id"]: comparable(document)
        for document in json.loads((GOLDEN / "xray_segments.json").read_text())
    }
    assert made == recorded


def test_series_equal_the_recorded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    collected = Collected(monkeypatch)
    config = verified()
    metrics = config.service.model_copy(
        update={"pipelines": {"metrics": config.service.pipelines["metrics"]}}
    )
    pipelines = Pipelines(config.model_copy(update={"service": metrics}))
    pipelines.receive_metrics("otlp", golden_points())
    pipelines.tick(everything=True)

    made = {
        (tuple(sorted(sample.labels)), sample.value)
        for sample in remote_write.series(collected.items, resource_labels=True)
    }
    recorded = {
        (tuple(sorted(sample["labels"].items())), float(sample["value"]))
        for sample in json.loads((GOLDEN / "prw_samples.json").read_text())
    }
    assert made == recorded


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("check_interval: 1s", "chek_interval: 1s", "processors.memory_limiter.chek_interval"),
        ("check_interval: 1s", "check_interval: 0s", "greater than zero"),
        ("action: hash", "action: hashh", "processors.attributes/redact.actions.3.action"),
        ("IsMatch(", "IsMatchh(", "not a condition that we use"),
        ("attributes/redact,", "transform/x,", "references 'transform/x' which is not configured"),
        ("filter/health:", "transform/x:", "transform is not in the ADOT collector"),
        ("batch/traces:", "bach/traces:", "processors.bach/traces: unknown type 'bach'"),
        (
            "extensions: [health_check, sigv4auth/aps]",
            "extensions: [health_check]",
            "is not among service.extensions",
        ),
        (
            "[memory_limiter, resourcedetection, batch/metrics]",
            "[resourcedetection, memory_limiter]",
            "comes first",
        ),
    ],
)
def test_what_the_collector_would_refuse_at_start_is_refused_with_its_path(
    right: str, wrong: str, message: str
) -> None:
    text = BASE.read_text()
    assert right in text
    with pytest.raises(ValueError, match=r".*".join(message.split(" ")).replace("[", r"\[")):
        load(text.replace(right, wrong))


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ValueError, match="AMP_REMOTE_WRITE_ENDPOINT"):
        load(BASE.read_text(), {"AWS_REGION": "us-east-1"})


def test_tail_sampling_keeps_errors_and_blocked_requests_whole() -> None:
    settings = load(BASE.read_text()).processors["tail_sampling"]
    assert isinstance(settings, TailSampling)
    none = settings.model_dump()
    none["policies"] = [policy for policy in none["policies"] if policy["name"] != "baseline"]
    sampler = TailSampler(TailSampling.model_validate(none), clock=lambda: 0.0)
    spans = golden_spans()
    blocked = spans[0]
    blocked.attributes["fmops.guardrail.action"] = "block"
    sampler.add(spans)
    kept = sampler.due(everything=True)
    assert {span.trace_id for span in kept} == {span.trace_id for span in spans}
    assert len(kept) == len(spans)

    calm = golden_spans()[:4]
    sampler = TailSampler(TailSampling.model_validate(none), clock=lambda: 0.0)
    sampler.add(calm)
    assert sampler.due(everything=True) == []


def test_spans_that_come_after_the_decision_follow_it() -> None:
    settings = load(BASE.read_text()).processors["tail_sampling"]
    assert isinstance(settings, TailSampling)
    sampler = TailSampler(settings, clock=lambda: 0.0)
    first, *late = golden_spans()[:4]
    sampler.add([first])
    assert sampler.due(everything=True) == [first]
    assert sampler.add(late) == late


def test_over_the_memory_limit_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Collected(monkeypatch)
    text = (
        BASE.read_text()
        .replace("limit_mib: 200", "limit_mib: 2")
        .replace("spike_limit_mib: 50", "spike_limit_mib: 1")
    )
    environment = dict.fromkeys(
        ("AWS_REGION", "AMP_REMOTE_WRITE_ENDPOINT", "OTLP_HTTP_ENDPOINT", "HEALTH_CHECK_ENDPOINT"), "x"
    )
    pipelines = Pipelines(load(text, environment))
    with pytest.raises(RefusedError):
        pipelines.receive_spans("otlp", golden_spans() * 100)


def test_options_lay_their_files_over_the_configuration() -> None:
    config = load(compose("transaction-search", "mlflow-traces"))
    pipelines = config.service.pipelines
    assert "awsxray" not in config.exporters
    assert pipelines["traces"].exporters == ["otlphttp/xray"]
    assert pipelines["traces"].processors == load(compose()).service.pipelines["traces"].processors
    assert pipelines["traces/content"].receivers == ["otlp/content"]
    assert {"sigv4auth/aps", "sigv4auth/xray", "sigv4auth/mlflow"} < set(config.service.extensions)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "- otlphttp/mlflow\n",
            "- otlphttp/mlflow\n      - otlphttp/xray\n",
            "would get prompts and answers",
        ),
        ("- otlp/content\n", "- otlp/content\n      - otlp\n", "has a pipeline of its own"),
    ],
)
def test_traces_with_content_are_refused_any_way_but_to_mlflow(right: str, wrong: str, message: str) -> None:
    text = compose("transaction-search", "mlflow-traces")
    assert right in text
    with pytest.raises(ValueError, match=message):
        load(text.replace(right, wrong))


def test_a_span_goes_on_over_otlp_as_it_came() -> None:
    given = ExportTraceServiceRequest.FromString((GOLDEN / "input_traces.pb").read_bytes())
    spans = list(telemetry.spans(given))
    sent = list(telemetry.spans(telemetry.request(spans)))
    assert [span.received for span in sent] == [span.received for span in spans]
    assert [span.resource for span in sent] == [span.resource for span in spans]
    assert [span.scope for span in sent] == [span.scope for span in spans]


def test_what_one_pipeline_takes_off_stays_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    exported: dict[str, list[Any]] = {}
    monkeypatch.setattr(Pipelines, "_exporter", lambda _, name: exported.setdefault(name, []).extend)
    pipelines = Pipelines(verified())
    pipelines.receive_spans("otlp", golden_spans())
    pipelines.tick(everything=True)

    def has_content(name: str) -> bool:
        return any("gen_ai.input.messages" in span.attributes for span in exported[name])

    assert has_content("otlphttp/mlflow")
    assert not has_content("awsxray")


def test_no_request_ends_the_collector(caplog: pytest.LogCaptureFixture) -> None:
    """Check that broken bodies are answered 400, that unsendable data is dropped, and that the next
    request is served."""
    document = yaml.safe_load(BASE.read_text())
    document["processors"]["tail_sampling"]["decision_wait"] = "0s"
    environment = {
        "AWS_REGION": "us-east-1",
        "AMP_REMOTE_WRITE_ENDPOINT": "http://localhost:9/write",
        "OTLP_HTTP_ENDPOINT": "localhost:0",
        "HEALTH_CHECK_ENDPOINT": "localhost:0",
    }
    pipelines, servers = serve(load(yaml.safe_dump(document), environment))
    url = f"http://localhost:{servers[0].server_address[1]}"

    def post(path: str, body: bytes, **headers: str) -> int:
        return urllib3.request("POST", url + path, body=body, headers=headers, retries=False).status

    empty_histogram = Metric(
        name="h", histogram=Histogram(aggregation_temporality=2, data_points=[HistogramDataPoint()])
    )
    odd = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[empty_histogram])])]
    )
    short = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(trace_id=b"short")])])]
    )
    try:
        assert post("/v1/traces", b"\xff\xff") == 400
        assert post("/v1/traces", b"no gzip", **{"content-encoding": "gzip"}) == 400
        assert post("/v1/metrics", b"x", **{"content-encoding": "zstd"}) == 400
        assert post("/v1/traces", short.SerializeToString()) == 400
        assert post("/v1/elsewhere", b"") == 404
        assert post("/v1/metrics", odd.SerializeToString()) == 200
        pipelines.tick(everything=True)
        assert "not exported" in caplog.text
        assert post("/v1/metrics", (GOLDEN / "input_metrics.pb").read_bytes()) == 200
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_an_exporter_that_fails_in_an_unknown_way_loses_one_batch(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    def export(items: Any) -> None:
        if items[0] == "bad":
            raise KeyError("what somebody typed")
        sent.extend(items)

    queue = Queue("traces", Batch(send_batch_size=1), [export])
    queue.add(["bad", "good"])
    queue.flush(everything=True)
    assert sent == ["good"]
    assert "KeyError" in caplog.text
    assert "typed" not in caplog.text


def test_a_batch_of_size_0_is_sent_whole() -> None:
    sent: list[Any] = []
    queue = Queue("traces", Batch(send_batch_size=0), [sent.append])
    queue.add([1, 2])
    queue.flush()
    assert sent == [[1, 2]]


def test_on_lambda_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that everything has been exported without a tick, that is without a moment after the answer."""
    collected = Collected(monkeypatch)
    pipelines = Pipelines(load(compose(waits=False)))
    spans, points = golden_spans(), golden_points()
    pipelines.receive_spans("otlp", spans)
    pipelines.receive_metrics("otlp", points)
    assert len(collected.items) == len(spans) + len(points)


@pytest.mark.parametrize("options", [(), ("transaction-search",), ("transaction-search", "mlflow-traces")])
def test_on_lambda_what_is_exported_and_redacted_is_the_same(options: tuple[Any, ...]) -> None:
    here, there = load(compose(*options)), load(compose(*options, waits=False))
    for name, pipeline in here.service.pipelines.items():
        kept = [each for each in pipeline.processors if each.split("/")[0] not in ("batch", "tail_sampling")]
        assert there.service.pipelines[name].processors == kept
        assert there.service.pipelines[name].exporters == pipeline.exporters
    waiting = [each for each in there.exporters.values() if _queues(each)]
    assert waiting == []
