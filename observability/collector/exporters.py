"""The exporters that we use, with settings as ADOT's components read them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from observability.collector.component import (
    Component,
    Duration,
    HttpClient,
    Retry,
    SendingQueue,
    Settings,
    Size,
    Text,
)


class AwsXray(Component):
    region: Text = ""
    endpoint: str | None = None
    index_all_attributes: bool = False
    indexed_attributes: list[str] = []
    aws_log_groups: list[str] = []
    num_workers: int = 8
    request_timeout_seconds: int = 30
    max_retries: int = 2
    no_verify_ssl: bool = False
    proxy_address: str = ""
    local_mode: bool = False
    resource_arn: str = ""
    role_arn: str = ""
    external_id: str = ""
    certificate_file_path: str = ""
    telemetry: Settings | None = None
    middleware: str | None = None


class ResourceLabels(Component):
    enabled: bool = False
    exclude_service_attributes: bool = False


class Enabled(Component):
    enabled: bool = False


class RemoteWriteQueue(Component):
    enabled: bool = True
    queue_size: int = Field(default=10000, ge=0)
    num_consumers: int = Field(default=5, ge=0)

    @model_validator(mode="after")
    def _has_room(self) -> RemoteWriteQueue:
        if self.enabled and not self.queue_size:
            raise ValueError("a queue of size 0 would drop all data; set enabled: false to have none")
        return self


class PrometheusRemoteWrite(HttpClient):
    timeout: Duration = "5s"
    retry_on_failure: Retry | None = None
    namespace: str = ""
    external_labels: dict[str, Text] = {}
    remote_write_queue: RemoteWriteQueue = RemoteWriteQueue()
    resource_to_telemetry_conversion: ResourceLabels | None = None
    target_info: Enabled = Enabled(enabled=True)
    add_metric_suffixes: bool = True
    translation_strategy: Literal[
        "",
        "UnderscoreEscapingWithSuffixes",
        "UnderscoreEscapingWithoutSuffixes",
        "NoUTF8EscapingWithSuffixes",
        "NoTranslation",
    ] = ""
    disable_scope_info: bool = False
    send_metadata: bool = False
    max_batch_size_bytes: int = Field(default=3_000_000, ge=0)
    max_batch_request_parallelism: Size | None = None
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = (
        "prometheus.WriteRequest"
    )
    http: Settings | None = None
    wal: Settings | None = None

    @model_validator(mode="after")
    def _can_send(self) -> PrometheusRemoteWrite:
        if not self.endpoint and not (self.http or {}).get("endpoint"):
            raise ValueError("endpoint: invalid endpoint; give the URL that takes remote write")
        if any(not key or not value for key, value in self.external_labels.items()):
            raise ValueError("external_labels: a label needs a name and a value")
        return self


class OtlpHttp(HttpClient):
    traces_endpoint: str = ""
    metrics_endpoint: str = ""
    logs_endpoint: str = ""
    profiles_endpoint: str = ""
    encoding: Literal["proto", "json"] = "proto"
    retry_on_failure: Retry | None = None
    sending_queue: SendingQueue = SendingQueue()

    @model_validator(mode="after")
    def _can_send(self) -> OtlpHttp:
        if not any(
            (
                self.endpoint,
                self.traces_endpoint,
                self.metrics_endpoint,
                self.logs_endpoint,
                self.profiles_endpoint,
            )
        ):
            raise ValueError("at least one endpoint must be specified")
        return self

    def url(self, signal: str) -> str:
        """Return the address that a signal is sent to, or nothing."""
        own: str = getattr(self, f"{signal}_endpoint", "")
        return own or (f"{self.endpoint.removesuffix('/')}/v1/{signal}" if self.endpoint else "")


class Debug(Component):
    verbosity: Literal["basic", "normal", "detailed", "Basic", "Normal", "Detailed"] = "basic"
    sampling_initial: int = 2
    sampling_thereafter: int = 1
    use_internal_logger: bool = True
    output_paths: list[str] = []
    sending_queue: SendingQueue | None = None
