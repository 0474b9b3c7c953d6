"""Base classes and fields that the models of the collector's components share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
MICRO = dict.fromkeys(("us", "µs", "μs"), 1e-6)
UNIT_SECONDS = {"ns": 1e-9, **MICRO, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def seconds(duration: str) -> float:
    """Return the seconds of a Go duration, such as ``1m30s``. Raises ``ValueError`` for any other text."""
    if not DURATION.fullmatch(duration):
        raise ValueError(f"not a duration: {duration!r}; write one as 200ms or 1m30s")
    total = sum(
        float(number) * UNIT_SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([a-zµμ]+)", duration)
    )
    return -total if duration.startswith("-") else total


def _is_duration(value: str) -> str:
    if not VARIABLE.search(value):
        seconds(value)
    return value


def _as_duration(value: Any) -> Any:
    """Return a duration as text; a bare number is nanoseconds, as in Go."""
    return f"{value}ns" if isinstance(value, int) and not isinstance(value, bool) else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Duration = Annotated[str, BeforeValidator(_as_duration), AfterValidator(_is_duration)]
"""A Go duration, such as ``200ms`` or ``1m30s``."""
Text = Annotated[str, BeforeValidator(_as_text)]
"""Text in which a variable may have left a number, which the collector reads as text too."""
Size = Annotated[int, Field(ge=0, lt=2**32)]
Settings = dict[str, Any]
"""A block of settings that only the real collector reads."""


class Component(BaseModel):
    """Settings of a component; unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Opaque(BaseModel):
    """A component of ADOT that the stand-in does not implement and whose settings are not checked."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Authenticator(Component):
    authenticator: str


class Retry(Component):
    enabled: bool = True
    initial_interval: Duration = "5s"
    randomization_factor: float = Field(default=0.5, ge=0, le=1)
    multiplier: float = Field(default=1.5, ge=0)
    max_interval: Duration = "30s"
    max_elapsed_time: Duration = "300s"

    @model_validator(mode="after")
    def _intervals(self) -> Retry:
        given = {
            name: seconds(getattr(self, name))
            for name in ("initial_interval", "max_interval", "max_elapsed_time")
        }
        if not self.enabled:
            return self
        if negative := [name for name, value in given.items() if value < 0]:
            raise ValueError(f"{negative[0]} must be non-negative")
        if given["max_elapsed_time"] and given["max_elapsed_time"] < max(
            given["initial_interval"], given["max_interval"]
        ):
            raise ValueError("max_elapsed_time must not be less than initial_interval or max_interval")
        return self


class SendingQueue(Component):
    enabled: bool = True
    num_consumers: int = Field(default=10, ge=0)
    queue_size: int = Field(default=1000, ge=0)
    sizer: Literal["requests", "items", "bytes"] = "requests"
    wait_for_result: bool = False
    block_on_overflow: bool = False
    storage: str | None = None
    batch: Settings | None = None

    @model_validator(mode="after")
    def _has_room(self) -> SendingQueue:
        if self.enabled and not self.queue_size:
            raise ValueError("queue_size must be positive while the queue is enabled")
        if self.enabled and not self.num_consumers:
            raise ValueError("num_consumers must be positive while the queue is enabled")
        return self


class HttpClient(Component):
    """The settings of every component that calls another over HTTP (config/confighttp)."""

    endpoint: Text = ""
    proxy_url: str = ""
    tls: Settings | None = None
    read_buffer_size: int = 0
    write_buffer_size: int = 0
    timeout: Duration = "30s"
    headers: dict[str, Text] = {}
    auth: Authenticator | None = None
    compression: Literal[
        "gzip", "zstd", "zlib", "snappy", "x-snappy-framed", "deflate", "lz4", "none", ""
    ] = "gzip"
    compression_params: Settings | None = None
    max_idle_conns: int = 0
    max_idle_conns_per_host: int = 0
    max_conns_per_host: int = 0
    idle_conn_timeout: Duration = "90s"
    disable_keep_alives: bool = False
    http2_read_idle_timeout: Duration = "0s"
    http2_ping_timeout: Duration = "0s"
    force_attempt_http2: bool = True
    cookies: Settings | None = None
    middlewares: list[Settings] = []
