"""Managed Prometheus: remote write is signed, decoded without a Prometheus, and forwarded with one."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import cramjam
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.aps import decode_write_request


def field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def write_request(name: str, *values: float) -> bytes:
    """Return a remote write body of one series; timestamps are far in the past but in order."""
    labels = field(1, field(1, b"__name__") + field(2, name.encode()))
    samples = b"".join(field(2, b"\x09" + struct.pack("<d", value) + b"\x10\x01") for value in values)
    return field(1, labels + samples)


def call(cloud: Cloud, method: str, url: str, body: bytes = b"") -> Any:
    request = AWSRequest(
        method,
        url,
        data=body,
        headers={"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
    )
    SigV4Auth(cloud.session().get_credentials(), "aps", cloud.region).add_auth(request)
    return urllib3.request(method, url, body=body, headers=dict(request.headers), retries=False)


def test_the_last_sample_of_each_series_is_read() -> None:
    assert decode_write_request(write_request("up", 1.0, 2.5)) == {(("__name__", "up"),): 2.5}


def test_without_a_prometheus_samples_are_kept_and_promql_is_not_answered(cloud: Cloud) -> None:
    workspace = cloud.client("amp").create_workspace(alias="w")["workspaceId"]
    base = f"{cloud.endpoint}/workspaces/{workspace}/api/v1"
    body = bytes(cramjam.snappy.compress_raw(write_request("up", 3.0)))
    assert call(cloud, "POST", f"{base}/remote_write", body).status == 204
    assert json.loads(urllib3.request("GET", f"{cloud.endpoint}/_local/metrics").data) == [
        {"labels": {"__name__": "up"}, "value": 3.0}
    ]
    assert call(cloud, "GET", f"{base}/query?query=up").status == 501
    assert call(cloud, "POST", base.replace(workspace, "ws-nothing") + "/remote_write", body).status == 404
    assert urllib3.request("POST", f"{base}/remote_write", body=body).status == 403


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus: apt-get install prometheus")
@pytest.mark.rehearsal
def test_with_a_prometheus_it_answers_queries(tmp_path: Path) -> None:
    with LocalAws(
        port=0, enforce=False, directory=tmp_path, run_servers=True, prometheus_port=23590
    ) as cloud:
        workspace = cloud.client("amp").create_workspace(alias="w")["workspaceId"]
        base = f"{cloud.endpoint}/workspaces/{workspace}/api/v1"
        answer = json.loads(call(cloud, "GET", f"{base}/query?query=1%2B1").data)
        assert answer["data"]["result"][1] == "2"


@pytest.mark.parametrize(
    "body",
    [b"\x0a", b"\x80" * 20, b"\x0a\x7f\x00", b"\x0a\x04\x12\x02\x09\x01", b"\x0a\x03\x12\x01\x09", b"\x07"],
    ids=["no length", "endless varint", "too short", "half a double", "a key alone", "unknown wire type"],
)
def test_bytes_that_are_no_write_request_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|ends within|wire type|double"):
        decode_write_request(body)


def test_a_label_without_a_value_is_an_empty_one() -> None:
    # protobuf leaves out what is empty: a series with one label of a name alone, and a sample of 0.0
    # without its value
    assert decode_write_request(b"\x0a\x07\x0a\x03\x0a\x01a\x12\x00") == {(("a", ""),): 0.0}
