"""The tools for writing a service of the local AWS: the operation decorator, the call's context,
and modelled errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from local.aws.kernel.cloud import Cloud

Params = dict[str, Any]
Handler = Callable[[Params, "Context"], Any]
State = TypeVar("State", bound="ServiceState")

OPERATIONS: dict[tuple[str, str], Handler] = {}
FALL_THROUGH = object()  # a handler's answer that leaves the rest to moto


class ServiceState:
    """The memory of a service, with a subclass for each; `context.state(Subclass)` returns this cloud's
    instance.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud


class NotImplementedHere(Exception):  # noqa: N818 - an answer, not a fault
    """A part of an operation that the local AWS does not implement: answered 501 with this message."""


class ServiceError(Exception):
    """An error as the service models it: `code` is the shape's name, which determines the HTTP status."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        for name, value in members.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Caller:
    """The signer of a request. `role_arn` is None for the developer (who is an administrator) and
    for unsigned calls."""

    arn: str
    role_arn: str | None = None
    access_key: str | None = None


@dataclass(frozen=True)
class Context:
    """One call: everything that a handler may know besides its parameters."""

    cloud: Cloud
    service: str
    operation: str
    region: str
    account: str
    caller: Caller
    headers: Mapping[str, str]

    def state(self, kind: type[State]) -> State:
        """Return the service's memory, of which each cloud has one, created on first use."""
        return self.cloud.state(kind)

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        return f"arn:aws:{service}:{self.region if region is None else region}:{self.account}:{resource}"


def operation(service: str, name: str) -> Callable[[Handler], Handler]:
    """Register a function as an operation of a service, by botocore's names: `@operation("firehose",
    "PutRecord")`."""

    def register(handler: Handler) -> Handler:
        if (service, name) in OPERATIONS:
            raise ValueError(f"{service}:{name} is registered twice")
        OPERATIONS[service, name] = handler
        return handler

    return register


def validation_error(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
