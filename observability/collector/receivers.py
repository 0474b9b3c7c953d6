"""The receivers and extensions that we use, with settings as ADOT's components read them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from observability.collector.component import Component, Duration, Settings, Text


class HttpServer(Component):
    """The settings of every component that listens for HTTP (config/confighttp)."""

    endpoint: Text = ""
    transport: str = "tcp"
    tls: Settings | None = None
    cors: Settings | None = None
    auth: Settings | None = None
    max_request_body_size: int = 0
    include_metadata: bool = False
    response_headers: dict[str, Text] = {}
    compression_algorithms: list[str] = []
    read_timeout: Duration = "0s"
    read_header_timeout: Duration = "1m"
    write_timeout: Duration = "30s"
    idle_timeout: Duration = "1m"
    keep_alives_enabled: bool = True
    middlewares: list[Settings] = []


class HealthCheck(HttpServer):
    endpoint: Text = "localhost:13133"
    path: str = "/"
    response_body: Settings | None = None
    check_collector_pipeline: Settings | None = None
    use_v2: bool = False
    component_health: Settings | None = None
    http: Settings | None = None
    grpc: Settings | None = None


class AssumeRole(Component):
    arn: str = ""
    sts_region: str = ""
    external_id: str = ""
    session_name: str = ""


class SigV4Auth(Component):
    region: Text = ""
    service: str = ""
    assume_role: AssumeRole | None = None


class OtlpHttpServer(HttpServer):
    endpoint: Text = "localhost:4318"
    traces_url_path: str = "/v1/traces"
    metrics_url_path: str = "/v1/metrics"
    logs_url_path: str = "/v1/logs"


class OtlpGrpcServer(Component):
    endpoint: Text = "localhost:4317"
    transport: str = "tcp"
    tls: Settings | None = None
    max_recv_msg_size_mib: int = Field(default=0, ge=0)
    max_concurrent_streams: int = Field(default=0, ge=0)
    read_buffer_size: int = 0
    write_buffer_size: int = 0
    keepalive: Settings | None = None
    auth: Settings | None = None
    include_metadata: bool = False
    middlewares: list[Settings] = []


class OtlpProtocols(Component):
    http: OtlpHttpServer | None = None
    grpc: OtlpGrpcServer | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_settings(cls, given: Any) -> Any:
        """Give a protocol that is only named its default settings."""
        return (
            {key: {} if value is None else value for key, value in given.items()}
            if isinstance(given, dict)
            else given
        )

    @model_validator(mode="after")
    def _at_least_one(self) -> OtlpProtocols:
        if not self.http and not self.grpc:
            raise ValueError("must specify at least one protocol when using the OTLP receiver")
        return self


class OtlpReceiver(Component):
    protocols: OtlpProtocols
