"""What a contract says, as the targets see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from scripts.protoc_gen_mesh.http import Binding
from scripts.protoc_gen_mesh.options import OptionReader
from scripts.protoc_gen_mesh.source import Source


class Access(Enum):
    """Who may reach a method from outside the mesh. The numbers are those of `meshmart.policy.v1.Access`."""

    PUBLIC = 1
    CUSTOMER = 2
    STAFF = 3
    INTERNAL = 4


class Level(Enum):
    """Whether a method may be called twice. The numbers are those of `MethodOptions.IdempotencyLevel`."""

    UNKNOWN = 0
    NO_SIDE_EFFECTS = 1
    IDEMPOTENT = 2


@dataclass(frozen=True, slots=True)
class Method:
    """A method and its policy, defaults filled in. Times are in seconds, None where they do not apply."""

    name: str
    proto_service: str
    """Full name of the proto service, `meshmart.order.v1.OrderService`."""
    service: str
    """Name of the service that serves it, `order`."""
    source: Source
    access: Access
    callers: tuple[str, ...]
    timeout: float | None
    idle_timeout: float | None
    max_age: float | None
    stated: frozenset[str]
    """What its policy states itself: `policy`, `access`, `timeout`, `idle_timeout`, `max_age`."""
    level: Level
    client_streaming: bool
    server_streaming: bool
    bindings: tuple[Binding, ...]
    request: Descriptor
    response: Descriptor

    @property
    def path(self) -> str:
        """Its path on the wire, `/meshmart.order.v1.OrderService/PlaceOrder`."""
        return f"/{self.proto_service}/{self.name}"

    @property
    def full_name(self) -> str:
        """Its name with dots, `meshmart.order.v1.OrderService.PlaceOrder`."""
        return f"{self.proto_service}.{self.name}"

    @property
    def streams(self) -> bool:
        """Whether either side streams."""
        return self.client_streaming or self.server_streaming

    @property
    def retryable(self) -> bool:
        """Whether a caller that heard UNAVAILABLE may try again."""
        return self.level is not Level.UNKNOWN and not self.client_streaming

    @property
    def public(self) -> bool:
        """Whether it exists at the edge."""
        return self.access is not Access.INTERNAL


@dataclass(frozen=True, slots=True)
class ProtoService:
    """A `service` of a proto file."""

    full_name: str
    source: Source
    methods: tuple[Method, ...]

    @property
    def name(self) -> str:
        """Its name without the package."""
        return self.full_name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is published, and who consumes it."""

    name: str
    package: str
    publisher: str
    consumers: tuple[str, ...]
    replayable: bool
    source: Source

    @property
    def full_name(self) -> str:
        """Its name with the package."""
        return f"{self.package}.{self.name}"


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything that was given to the compiler, in the order it was written."""

    proto_services: tuple[ProtoService, ...]
    events: tuple[Event, ...]
    services: tuple[str, ...]
    """Names of all services, sorted: owners of packages, and those named by parameter."""
    sources: Mapping[str, Source]
    """Where each message, field, enum and value is written, by full name."""
    files: Mapping[str, FileDescriptorProto]
    """Every file, dependencies before dependents."""
    own_files: frozenset[str]
    """Names of the files to compile; the others are imported."""
    options: OptionReader = field(repr=False)

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods."""
        return tuple(method for service in self.proto_services for method in service.methods)

    @property
    def public_methods(self) -> tuple[Method, ...]:
        """The methods that exist at the edge."""
        return tuple(method for method in self.methods if method.public)

    @property
    def root(self) -> str:
        """First part of the packages' names, `meshmart`, when they share it; empty otherwise."""
        roots = {service.full_name.split(".")[0] for service in self.proto_services if "." in service.full_name}
        return roots.pop() if len(roots) == 1 else ""
