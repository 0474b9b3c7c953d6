"""The exporters that the configuration may name: each makes a function that sends a batch, or raises ``OSError``."""

from __future__ import annotations

import gzip
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest

from local.collector import remote_write, telemetry, xray
from local.collector.telemetry import MetricPoints, Span
from observability.collector.config import AwsXray, OtlpHttp, PrometheusRemoteWrite, SigV4Auth

XRAY_BATCH = 50
"""Maximum number of segment documents in one PutTraceSegments call."""

_log = logging.getLogger("collector")

Export = Callable[[Sequence[Any]], None]


def xray_segments(settings: AwsXray) -> Export:
    """Send segments with PutTraceSegments. The log names those that the service refuses, and spans that
    have no document."""
    client = boto3.client("xray", region_name=settings.region or None, endpoint_url=settings.endpoint)

    def export(spans: Sequence[Span]) -> None:
        documents = []
        for span in spans:
            for document in map(xray.encode, xray.documents(span, settings)):
                if document is None:
                    _log.warning(
                        "span %s of trace %s has a number that JSON does not have: dropped",
                        span.span_id,
                        span.trace_id,
                    )
                else:
                    documents.append(document)
        for start in range(0, len(documents), XRAY_BATCH):
            answer = client.put_trace_segments(TraceSegmentDocuments=documents[start : start + XRAY_BATCH])
            for refused in answer.get("UnprocessedTraceSegments", []):
                _log.warning("X-Ray refused segment %s: %s", refused.get("Id"), refused.get("ErrorCode"))

    return export


def prometheus(settings: PrometheusRemoteWrite, auth: SigV4Auth | None) -> Export:
    """Send metrics with Prometheus remote write."""
    conversion = settings.resource_to_telemetry_conversion
    resource_labels = bool(conversion and conversion.enabled)
    options = remote_write.Options(
        namespace=settings.namespace,
        suffixes=settings.add_metric_suffixes
        if not settings.translation_strategy
        else "Without" not in settings.translation_strategy,
        target_info=settings.target_info.enabled,
        scope_info=not settings.disable_scope_info,
        exclude_service_attributes=bool(conversion and conversion.exclude_service_attributes),
        external_labels=settings.external_labels,
    )

    def export(points: Sequence[MetricPoints]) -> None:
        samples = list(remote_write.series(points, resource_labels=resource_labels, options=options))
        if not samples:
            return
        headers = {
            **settings.headers,
            "content-type": "application/x-protobuf",
            "content-encoding": "snappy",
            "x-prometheus-remote-write-version": "0.1.0",
        }
        post(settings.endpoint, remote_write.encode(samples), headers, auth)

    return export


def otlp(settings: OtlpHttp, auth: SigV4Auth | None) -> Export:
    """Send spans over OTLP/HTTP as they came, with the attributes and events that the processors left."""
    headers = {**settings.headers, "content-type": "application/x-protobuf"}
    url = _reachable(settings.url("traces"))

    def export(spans: Sequence[Span]) -> None:
        body = telemetry.request(spans).SerializeToString()
        if settings.compression == "gzip":
            post(url, gzip.compress(body, mtime=0), {**headers, "content-encoding": "gzip"}, auth)
        else:
            post(url, body, headers, auth)

    return export


def _reachable(url: str) -> str:
    """Replace an address of AWS by the local one. AWS SDKs read AWS_ENDPOINT_URL themselves; an OTLP
    exporter does not."""
    local = os.environ.get("AWS_ENDPOINT_URL")
    parts = urlsplit(url)
    is_aws = parts.hostname is not None and parts.hostname.endswith((".amazonaws.com", ".app.aws"))
    return f"{local}{parts.path}" if local and is_aws else url


def post(url: str, body: bytes, headers: dict[str, str], auth: SigV4Auth | None, attempts: int = 3) -> None:
    """POST with SigV4, and retry if the receiver is busy. Raises ``OSError`` if it refuses."""
    for attempt in range(attempts):
        request = AWSRequest(method="POST", url=url, data=body, headers=headers)
        if auth:
            credentials = boto3.Session().get_credentials()
            if credentials is None:
                raise OSError("no credentials to sign with")
            Signer(
                credentials.get_frozen_credentials(),
                auth.service,
                auth.region or str(boto3.Session().region_name),
            ).add_auth(request)
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers)), timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code not in (429, 502, 503, 504) or attempt == attempts - 1:
                raise OSError(
                    f"{url.partition('?')[0]} answered {error.code}: {error.read(300).decode(errors='replace')}"
                ) from error
        time.sleep(0.2 * 2**attempt)
