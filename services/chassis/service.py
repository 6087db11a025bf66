"""How a service declares itself to the chassis."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.message import Message

if TYPE_CHECKING:
    from services.chassis.consumer import Delivery
    from services.chassis.database import Database
    from services.chassis.generations import ReadModel
    from services.chassis.public_api import PublicApi
    from services.chassis.runtime import Runtime
    from services.chassis.settings import ServiceSettings

E = TypeVar("E", bound=Message)


@dataclass(frozen=True, slots=True)
class Servicer:
    """A servicer and the generated function that adds it to a server."""

    add_to_server: Callable[[Any, Any], None]
    servicer: object


@dataclass(frozen=True, slots=True)
class Consumer(Generic[E]):
    """A durable consumer of one event. The contract must name this service among the event's consumers.

    The handler's effect and its inbox row are written in one transaction (see `inbox`).
    """

    event: type[E]
    handle: "Callable[[Delivery[E]], Awaitable[None]]"
    in_hand: int | None = None
    """Events that a process works on at once; None: as many as others."""


@dataclass(frozen=True, slots=True)
class Task:
    """Work that runs beside the calls, for as long as the service does. It is cancelled when the service drains."""

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Components:
    """What a service is made of, built from its runtime."""

    servicers: tuple[Servicer, ...]
    consumers: tuple[Consumer[Any], ...] = ()
    tasks: tuple[Task, ...] = ()
    prepare: Callable[[], Awaitable[None]] | None = None
    """Awaited once, with the database open, before the service serves; an exception stops the start."""
    public_api: "PublicApi | None" = None
    """What reflection and health show at the edge; only the service that the edge sends them to has one."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service's declaration: what it is called, what it needs, and how it is built."""

    name: str
    index: int
    """Place in the table of local ports: gRPC on base + 10 + 2i, HTTP on base + 11 + 2i. Never reused."""
    settings: "type[ServiceSettings]"
    build: "Callable[[Runtime], Components]"
    neighbours: tuple[str, ...] = ()
    """Names of the services it calls; only these can be reached."""
    has_database: bool = True
    read_model: "Callable[[Database], ReadModel] | None" = None
    """What `events replay` builds anew in the service's database; its consumers are among the components too."""
