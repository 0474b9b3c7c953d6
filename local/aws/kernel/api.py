"""What a service of the local AWS is written with: the operation decorator, the call's context, modelled errors."""

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
FALL_THROUGH = object()  # a handler's answer when moto shall do the rest


class ServiceState:
    """What a service remembers; a subclass per service, `context.state(Subclass)` gives the one of this cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud


class NotImplementedHere(Exception):  # noqa: N818 - an answer, not a fault
    """A part of an operation that the local AWS does not have: answered 501 with this message."""


class ServiceError(Exception):
    """An error as the service models it: `code` is the shape's name, which decides the HTTP status."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        for name, value in members.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Caller:
    """Who signed a request. `role_arn` is None for the developer (who is administrator) and for unsigned calls."""

    arn: str
    role_arn: str | None = None
    access_key: str | None = None


@dataclass(frozen=True)
class Context:
    """One call: what a handler may know beside its parameters."""

    cloud: Cloud
    service: str
    operation: str
    region: str
    account: str
    caller: Caller
    headers: Mapping[str, str]

    def state(self, kind: type[State]) -> State:
        """The service's memory, one per cloud, made on first use."""
        return self.cloud.state(kind)

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        return f"arn:aws:{service}:{self.region if region is None else region}:{self.account}:{resource}"


def operation(service: str, name: str) -> Callable[[Handler], Handler]:
    """Register a function as an operation of a service, by botocore's names: `@operation("firehose", "PutRecord")`."""

    def register(handler: Handler) -> Handler:
        if (service, name) in OPERATIONS:
            raise ValueError(f"{service}:{name} is registered twice")
        OPERATIONS[service, name] = handler
        return handler

    return register


def validation_error(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
