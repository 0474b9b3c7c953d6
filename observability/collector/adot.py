"""The components of ADOT v0.49.0 (pkg/defaultcomponents/defaults.go) and the telemetry that each takes."""

from __future__ import annotations

from collections.abc import Mapping

SIGNALS = ("traces", "metrics", "logs")
TRACES, METRICS, LOGS, EVERY = ("traces",), ("metrics",), ("logs",), ()
"""Sets of signals that a component may take; ``EVERY`` stands for all of SIGNALS."""

COMPONENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "extensions": dict.fromkeys(
        ("health_check", "sigv4auth", "awsproxy", "ecs_observer", "pprof", "zpages", "file_storage"), EVERY
    ),
    "receivers": {
        "otlp": EVERY,
        "prometheus": METRICS,
        "awsxray": TRACES,
        "statsd": METRICS,
        "zipkin": TRACES,
        "jaeger": TRACES,
        "kafka": EVERY,
        "filelog": LOGS,
        "awsecscontainermetrics": METRICS,
        "awscontainerinsightreceiver": METRICS,
    },
    "processors": {
        "attributes": EVERY,
        "resource": EVERY,
        "span": TRACES,
        "filter": EVERY,
        "tail_sampling": TRACES,
        "groupbytrace": TRACES,
        "probabilistic_sampler": ("traces", "logs"),
        "metricstransform": METRICS,
        "experimental_metricsgeneration": METRICS,
        "cumulativetodelta": METRICS,
        "deltatorate": METRICS,
        "resourcedetection": EVERY,
        "k8sattributes": EVERY,
        "batch": EVERY,
        "memory_limiter": EVERY,
    },
    "exporters": {
        "awsxray": TRACES,
        "awsemf": ("metrics", "logs"),
        "awscloudwatchlogs": LOGS,
        "prometheusremotewrite": METRICS,
        "prometheus": METRICS,
        "otlp": EVERY,
        "otlphttp": EVERY,
        "debug": EVERY,
        "file": EVERY,
        "kafka": EVERY,
        "loadbalancing": EVERY,
        "datadog": EVERY,
        "logzio": ("traces", "logs"),
        "signalfx": EVERY,
    },
}
ALIASES = {
    "otlp_http": "otlphttp",
    "otlp_grpc": "otlp",
    "prometheus_remote_write": "prometheusremotewrite",
    "resource_detection": "resourcedetection",
    "metrics_transform": "metricstransform",
}
"""New names of components that the collector has renamed; it takes the old names with a warning."""
