"""What the contract says of a method or an event, read from the descriptors once."""

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from meshmart.policy.v1 import policy_pb2

if TYPE_CHECKING:
    from datetime import timedelta

DEFAULT_TIMEOUT = 15.0
DEFAULT_IDLE_TIMEOUT = 60.0
DEFAULT_MAX_AGE = 900.0


class Access(Enum):
    """Who may reach a method from outside the mesh."""

    PUBLIC = policy_pb2.ACCESS_PUBLIC
    CUSTOMER = policy_pb2.ACCESS_CUSTOMER
    STAFF = policy_pb2.ACCESS_STAFF
    INTERNAL = policy_pb2.ACCESS_INTERNAL


@dataclass(frozen=True, slots=True)
class MethodContract:
    """The policy of one method, with defaults filled in. Times are in seconds."""

    full_name: str
    """Path on the wire, for example `/meshmart.order.v1.OrderService/PlaceOrder`."""
    service: str
    """Name of the service that serves it, for example `order`."""
    access: Access
    callers: frozenset[str]
    timeout: float
    idle_timeout: float
    max_age: float
    has_side_effects: bool
    idempotent: bool
    """Whether the method is declared IDEMPOTENT and takes a `request_id`."""
    client_streaming: bool
    server_streaming: bool


def service_of(package: str) -> str:
    """Return the service that owns a package: `order` for `meshmart.order.v1`."""
    return package.split(".")[-2]


@cache
def method_contract(full_name: str) -> MethodContract:
    """Return the policy of a method by its path on the wire. Its module must have been imported."""
    service_name, method_name = full_name.lstrip("/").split("/")
    service = Default().FindServiceByName(service_name)
    return _read(full_name, service.methods_by_name[method_name])


def _read(full_name: str, method: MethodDescriptor) -> MethodContract:
    options = method.GetOptions()
    policy = options.Extensions[policy_pb2.method]
    access = policy.access or policy_pb2.ACCESS_INTERNAL
    level = options.idempotency_level
    return MethodContract(
        full_name=full_name,
        service=service_of(method.containing_service.file.package),
        access=Access(access),
        callers=frozenset(policy.callers),
        timeout=_seconds(policy, "timeout", DEFAULT_TIMEOUT),
        idle_timeout=_seconds(policy, "idle_timeout", DEFAULT_IDLE_TIMEOUT),
        max_age=_seconds(policy, "max_age", DEFAULT_MAX_AGE),
        has_side_effects=level != options.NO_SIDE_EFFECTS,
        idempotent=level == options.IDEMPOTENT and "request_id" in method.input_type.fields_by_name,
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
    )


def _seconds(policy: policy_pb2.MethodPolicy, field: str, default: float) -> float:
    if not policy.HasField(field):  # type: ignore[arg-type]  # the names are literals at each call
        return default
    value: timedelta = getattr(policy, field).ToTimedelta()
    return value.total_seconds()


@dataclass(frozen=True, slots=True)
class EventContract:
    """The policy of one event."""

    full_name: str
    """Name of the message, for example `meshmart.order.v1.OrderConfirmed`."""
    publisher: str
    consumers: frozenset[str]
    replayable: bool


@cache
def event_contract(event: type[Message]) -> EventContract:
    """Return the policy of an event. Raises ValueError for a message that is not an event."""
    descriptor = event.DESCRIPTOR
    options = descriptor.GetOptions()
    if not options.HasExtension(policy_pb2.event):
        raise ValueError(f"{descriptor.full_name} is not an event: it has no (meshmart.policy.v1.event)")
    policy = options.Extensions[policy_pb2.event]
    return EventContract(
        full_name=descriptor.full_name,
        publisher=service_of(descriptor.file.package),
        consumers=frozenset(policy.consumers),
        replayable=policy.replayable,
    )
