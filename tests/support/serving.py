"""Serves a real service on real parts, with hand-written neighbours."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import pytest
from meshmart.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from pydantic import SecretStr

from services.chassis.database import Database
from services.chassis.host import Host
from services.chassis.neighbour_errors import NeighbourRefusal, neighbour_error
from services.chassis.service import Service, Servicer
from services.chassis.settings import ProcessSettings
from tests.support.tokens import FakeIdentity

S = TypeVar("S")


@dataclass
class Served:
    """A service that answers, its database, and an identity that signs whatever a test needs."""

    host: Host
    channel: grpc.aio.Channel
    database: Database
    identity: FakeIdentity

    def stub(self, stub: Callable[[grpc.aio.Channel], S]) -> S:
        """Return a bare stub of the service: no deadline, trace or token goes with its calls."""
        return stub(self.channel)


Serve = Callable[..., Awaitable[Served]]
"""`await serve(SERVICE, neighbours={"catalog": Servicer(...)}, saga_limit=1)`: further settings by name."""


@pytest.fixture
async def serve(database_url, nats) -> AsyncIterator[Serve]:
    """Return a function that serves a service on a fresh database until the test ends; `url` reuses one."""
    async with AsyncExitStack() as stack:

        async def serve(
            service: Service, *, neighbours: dict[str, Servicer] | None = None, url: str = "", **settings: Any
        ) -> Served:
            identity = FakeIdentity()
            fakes = {"identity": Servicer(add_IdentityServiceServicer_to_server, identity), **(neighbours or {})}
            addresses = {name: await stack.enter_async_context(_Fake(fake)) for name, fake in fakes.items()}
            url = url or await database_url(service.name)
            process = ProcessSettings(
                grpc_listen="127.0.0.1:0", http_listen="127.0.0.1:0", nats_url=nats.url, addresses=addresses
            )
            own = service.settings(database_url=SecretStr(url), nats_password=SecretStr(nats.password), **settings)
            host = await stack.enter_async_context(Host([service], process, {service.name: own}))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{host.grpc_port}"))
            database = await stack.enter_async_context(Database(url, name="test"))
            return Served(host, channel, database, identity)

        yield serve


class _Fake:
    """A neighbour on a port of its own."""

    def __init__(self, fake: Servicer) -> None:
        self._fake = fake

    async def __aenter__(self) -> str:
        self._server = grpc.aio.server()
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._fake.add_to_server(self._fake.servicer, self._server)
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)


async def refusal_of(call: Awaitable[Any]) -> NeighbourRefusal:
    """Return what a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    refusal = neighbour_error(error.value)
    assert refusal is not None, f"no ErrorInfo in {error.value}"
    return refusal
