"""Local addresses are reached directly, whatever proxies the environment names."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import boto3
import httpx
import pytest
import urllib3
from botocore.exceptions import ClientError

from local.run.proxies import bypass

NOBODY = "127.0.0.1:9"


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(418)
            self.send_header("content-length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("names", [("HTTP_PROXY", "http_proxy"), ("ALL_PROXY", "all_proxy")])
@pytest.mark.parametrize("scheme", ["http://", "", "socks5h://"])
def test_every_client_reaches_a_local_address(
    address: str, scheme: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict.fromkeys(names, f"{scheme}{NOBODY}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    bypass(environment)
    for name in (*names, "NO_PROXY", "no_proxy"):
        if name in environment:
            monkeypatch.setenv(name, environment[name])
    assert httpx.get(address).status_code == 418
    assert urllib3.request("GET", address).status == 418
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    with pytest.raises(ClientError) as answered:
        client.head_bucket(Bucket="b")
    assert answered.value.response["ResponseMetadata"]["HTTPStatusCode"] == 418


def test_what_the_developer_excepts_stays() -> None:
    environment = {"NO_PROXY": "corp.example, localhost"}
    bypass(environment)
    assert environment["NO_PROXY"] == environment["no_proxy"] == "corp.example,localhost,127.0.0.1,::1"
    everything = {"no_proxy": "*", "NO_PROXY": "other"}
    bypass(everything)
    assert everything["NO_PROXY"] == everything["no_proxy"] == "*"
