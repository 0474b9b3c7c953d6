"""Strict types for the collector components that we use.

ADOT's binary has no ``validate`` command, and an unknown key stops the sidecar when it starts. These models
refuse at synth what the collector would refuse at start: an unknown component, key, action or reference. Two
rules are our own: ``memory_limiter`` comes first in a pipeline, as its documentation asks, and whatever arrives
at CONTENT_RECEIVER goes to MLflow only. Sources: the components of ADOT v0.49.0 and their source in
OpenTelemetry Collector 0.156.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from observability.collector.adot import ALIASES, COMPONENTS, SIGNALS
from observability.collector.component import VARIABLE, Authenticator, Component, Opaque, Settings
from observability.collector.exporters import AwsXray, Debug, OtlpHttp, PrometheusRemoteWrite
from observability.collector.processors import (
    AttributeAction,
    Attributes,
    Batch,
    Filter,
    MemoryLimiter,
    ResourceAttributes,
    ResourceDetection,
)
from observability.collector.receivers import HealthCheck, OtlpReceiver, SigV4Auth
from observability.collector.sampling import SamplingPolicy, TailSampling

__all__ = [
    "AttributeAction",
    "Attributes",
    "Authenticator",
    "AwsXray",
    "Batch",
    "CollectorConfig",
    "Debug",
    "Filter",
    "HealthCheck",
    "MemoryLimiter",
    "OtlpHttp",
    "OtlpReceiver",
    "Pipeline",
    "PrometheusRemoteWrite",
    "ResourceAttributes",
    "ResourceDetection",
    "SamplingPolicy",
    "SigV4Auth",
    "TailSampling",
    "load",
    "variables",
]

T = TypeVar("T")


class Logs(Component):
    level: Literal["debug", "info", "warn", "error", "DEBUG", "INFO", "WARN", "ERROR"] = "info"
    development: bool = False
    encoding: Literal["console", "json"] = "console"
    disable_caller: bool = False
    disable_stacktrace: bool = False
    sampling: Settings | None = None
    output_paths: list[str] = []
    error_output_paths: list[str] = []
    initial_fields: Settings = {}
    processors: list[Settings] = []


class InternalMetrics(Component):
    level: Literal["none", "basic", "normal", "detailed", "None", "Basic", "Normal", "Detailed"] = "normal"
    readers: list[Settings] | None = None
    views: list[Settings] = []


class InternalTelemetry(Component):
    logs: Logs = Logs()
    metrics: InternalMetrics = InternalMetrics()
    traces: Settings | None = None
    resource: Settings | None = None


class Pipeline(Component):
    receivers: list[str] = Field(min_length=1)
    processors: list[str] = []
    exporters: list[str] = Field(min_length=1)


class Service(Component):
    telemetry: InternalTelemetry = InternalTelemetry()
    extensions: list[str] = []
    pipelines: dict[str, Pipeline] = Field(min_length=1)


KINDS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "extensions": {"health_check": HealthCheck, "sigv4auth": SigV4Auth},
    "receivers": {"otlp": OtlpReceiver},
    "processors": {
        "memory_limiter": MemoryLimiter,
        "resourcedetection": ResourceDetection,
        "attributes": Attributes,
        "resource": ResourceAttributes,
        "filter": Filter,
        "tail_sampling": TailSampling,
        "batch": Batch,
    },
    "exporters": {
        "awsxray": AwsXray,
        "prometheusremotewrite": PrometheusRemoteWrite,
        "otlphttp": OtlpHttp,
        "debug": Debug,
    },
}
"""Components whose settings are checked; ADOT's other components are let through unchecked."""
CONTENT_RECEIVER = "otlp/content"
"""The receiver of spans with prompts and answers, which arrive nowhere else."""
CONTENT_AUTHENTICATOR = "sigv4auth/mlflow"
NOT_IN_ADOT = {"transform", "redaction", "groupbyattrs", "spanmetrics", "count", "logging"}
NAME = re.compile(r"[A-Za-z][0-9A-Za-z_]{0,62}(?:/\S+)?")
LOOPBACK, ALL = "127.0.0.1", "*"
HOSTS = {"localhost": LOOPBACK, "[::1]": LOOPBACK, "": ALL, "0.0.0.0": ALL, "[::]": ALL}  # noqa: S104
"""Spellings of the same host, and of all interfaces."""
OTTL_CONDITION = re.compile(
    r'^(?:IsMatch\((?P<path>name|attributes\["[^"]+"\]), (?P<pattern>"(?:[^"\\]|\\.)*")\)'
    r'|(?P<left>name|attributes\["[^"]+"\]) == (?P<value>"(?:[^"\\]|\\.)*"))$'
)
"""Conditions that the stand-in understands; the real collector knows more."""


class CollectorConfig(BaseModel):
    """A whole configuration, with every component typed and every reference resolved."""

    model_config = {"extra": "forbid", "frozen": True}

    extensions: dict[str, Any] = {}
    receivers: dict[str, Any] = Field(min_length=1)
    processors: dict[str, Any] = {}
    exporters: dict[str, Any] = Field(min_length=1)
    connectors: dict[str, Any] = Field(default={}, max_length=0)
    service: Service


def load(text: str, environment: Mapping[str, str] | None = None) -> CollectorConfig:
    """Parse and check a configuration.

    ``${env:NAME}`` and ``${env:NAME:-default}`` are replaced from ``environment``. Without an environment they
    stay as they are, which is how the synthesizer checks a template.

    Raises ``ValueError`` that names the key's path and the remedy.
    """
    try:
        given = text if environment is None else _substitute(text, environment)
        document = yaml.load(given, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ValueError(f"the collector configuration is not YAML: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ValueError("the collector configuration is not a YAML mapping")
    typed: dict[str, Any] = {key: value or {} for key, value in document.items()}
    for section in KINDS:
        components = document.get(section) or {}
        if not isinstance(components, dict):
            raise ValueError(f"{section}: a mapping of names to settings, not {components!r}")
        typed[section] = {
            name: _component(section, str(name), settings) for name, settings in components.items()
        }
    config = _checked("", lambda: CollectorConfig(**typed))
    _check_references(config)
    _check_ports(config)
    return config


class _Loader(yaml.SafeLoader):
    """A YAML loader like Go's: a duplicate key is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    merge = "tag:yaml.org,2002:merge"
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key!r} appears twice", problem_mark=node.start_mark
            )
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def variables(text: str) -> set[str]:
    """Return the names of the environment variables that a configuration needs, except those with a default."""
    return {name for name, default in VARIABLE.findall(text) if not default}


def kind(name: str) -> str:
    """Return the kind of a component, such as ``batch`` for ``batch/traces``, by its current name."""
    given = name.split("/", 1)[0]
    return ALIASES.get(given, given)


def _substitute(text: str, environment: Mapping[str, str]) -> str:
    missing = sorted(variables(text) - environment.keys())
    if missing:
        raise ValueError(f"the collector configuration needs the environment variables {', '.join(missing)}")
    return VARIABLE.sub(lambda match: environment.get(match[1], match[2] or ""), text)


def _component(section: str, name: str, settings: Any) -> BaseModel:
    path, kinds = f"{section}.{name}", KINDS[section]
    if kind(name) in NOT_IN_ADOT:
        raise ValueError(
            f"{path}: {kind(name)} is not in the ADOT collector; use one of {', '.join(sorted(kinds))}"
        )
    if kind(name) not in COMPONENTS[section]:
        raise ValueError(f"{path}: unknown type {kind(name)!r}; known here: {', '.join(sorted(kinds))}")
    if not NAME.fullmatch(name):
        raise ValueError(f"{path}: name a component by its type, or as type/name")
    return _checked(
        path, lambda: kinds.get(kind(name), Opaque).model_validate({} if settings is None else settings)
    )


def _checked(path: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except ValidationError as error:
        # A misspelt key also makes the right key missing: report the misspelling.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        where = ".".join(filter(None, [path, *(str(part) for part in first["loc"])]))
        raise ValueError(f"{where}: {first['msg']} (given: {first.get('input')!r})") from error


def _check_references(config: CollectorConfig) -> None:
    for extension in config.service.extensions:
        _require("service.extensions", extension, config.extensions)
    for name, exporter in config.exporters.items():
        auth = getattr(exporter, "auth", None)
        if isinstance(auth, Authenticator) and auth.authenticator not in config.service.extensions:
            raise ValueError(
                f"exporters.{name}.auth.authenticator: {auth.authenticator} is not among"
                " service.extensions; add it there"
            )
    for name, pipeline in config.service.pipelines.items():
        path = f"service.pipelines.{name}"
        if kind(name) not in ("traces", "metrics", "logs") or not NAME.fullmatch(name):
            raise ValueError(f"{path}: name a pipeline traces, metrics or logs")
        for section in ("receivers", "processors", "exporters"):
            for reference in getattr(pipeline, section):
                _require(f"{path}.{section}", reference, getattr(config, section))
                _check_signal(f"{path}.{section}", kind(name), section, reference, config)
        if twice := {each for each in pipeline.processors if pipeline.processors.count(each) > 1}:
            raise ValueError(f"{path}.processors: references {min(twice)!r} multiple times; name it once")
        if CONTENT_RECEIVER in pipeline.receivers:
            _check_content_stays(path, pipeline, config.exporters)
        if "memory_limiter" in map(kind, pipeline.processors[1:]):
            raise ValueError(f"{path}.processors: memory_limiter comes first, or it limits too late")


def _check_signal(path: str, signal: str, section: str, reference: str, config: CollectorConfig) -> None:
    """Refuse a component in a pipeline whose kind of telemetry it does not take."""
    taken = COMPONENTS[section][kind(reference)] or SIGNALS
    if signal not in taken:
        raise ValueError(f"{path}: {reference} is for {' and '.join(taken)} and takes no {signal}")
    exporter = getattr(config, section)[reference]
    if isinstance(exporter, OtlpHttp) and not exporter.url(signal):
        raise ValueError(f"{path}: {reference} needs endpoint or {signal}_endpoint to send {signal}")


def _check_ports(config: CollectorConfig) -> None:
    """Refuse two components that listen at the same address, since the second could not bind it."""
    taken: list[tuple[str, str]] = []
    for path, endpoint in _listening(config):
        for other, others in taken:
            if _collide(endpoint, others):
                raise ValueError(f"{path}: {endpoint} is already bound by {other}; choose another port")
        taken.append((path, endpoint))


def _listening(config: CollectorConfig) -> Iterator[tuple[str, str]]:
    for name in config.service.extensions:
        extension = config.extensions[name]
        if isinstance(extension, HealthCheck):
            yield f"extensions.{name}.endpoint", extension.endpoint
    used = {receiver for pipeline in config.service.pipelines.values() for receiver in pipeline.receivers}
    for name, receiver in config.receivers.items():
        if name in used and isinstance(receiver, OtlpReceiver):
            for protocol in ("http", "grpc"):
                if server := getattr(receiver.protocols, protocol):
                    yield f"receivers.{name}.protocols.{protocol}.endpoint", server.endpoint
    metrics = config.service.telemetry.metrics
    if metrics.level.lower() != "none" and metrics.readers is None:
        yield "service.telemetry.metrics", "localhost:8888"


def _collide(one: str, other: str) -> bool:
    """Whether two addresses are the same, or one is the other's port on every interface."""
    if VARIABLE.search(one + other):
        return one == other
    hosts = []
    for endpoint in (one, other):
        host, has_port, _ = endpoint.rpartition(":")
        if not has_port:
            return False
        hosts.append(HOSTS.get(host, host))
    ports = {one.rpartition(":")[2], other.rpartition(":")[2]}
    # Port 0 is any free port.
    return len(ports) == 1 and ports != {"0"} and (len(set(hosts)) == 1 or ALL in hosts)


def _check_content_stays(path: str, pipeline: Pipeline, exporters: Mapping[str, Any]) -> None:
    for name in pipeline.exporters:
        auth = getattr(exporters[name], "auth", None)
        if not isinstance(auth, Authenticator) or auth.authenticator != CONTENT_AUTHENTICATOR:
            raise ValueError(
                f"{path}.exporters: {name} would get prompts and answers; data from {CONTENT_RECEIVER} may"
                " go to MLflow only"
            )
    if pipeline.receivers != [CONTENT_RECEIVER]:
        raise ValueError(f"{path}.receivers: {CONTENT_RECEIVER} has a pipeline of its own")


def _require(path: str, reference: str, known: Mapping[str, Any]) -> None:
    if reference not in known:
        raise ValueError(
            f"{path}: references {reference!r} which is not configured; configured: {', '.join(known)}"
        )
