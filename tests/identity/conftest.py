"""Identity on a database of its own, served by a real host."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import pytest
from meshmart.identity.v1.customer_pb2 import Customer, Session
from meshmart.identity.v1.identity_service_pb2 import (
    CreateSessionRequest,
    RefreshSessionRequest,
    RegisterCustomerRequest,
)
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from services.chassis.database import Database
from services.chassis.host import Host
from services.chassis.ids import new_id
from services.chassis.settings import ProcessSettings
from services.identity.service import SERVICE, IdentitySettings
from services.identity.store import Store

if TYPE_CHECKING:
    from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceAsyncStub

SECRET = "a secret of the tests, long enough"
PASSWORD = "correct horse battery"

Serve = Callable[..., AbstractAsyncContextManager["Identity"]]


@dataclass
class Identity:
    """A served identity, and what people do with it."""

    stub: "IdentityServiceAsyncStub" = field(repr=False)

    async def register(self, email="ann@example.com", password=PASSWORD, *, request_id="", name="Ann") -> Customer:
        request = RegisterCustomerRequest(
            request_id=request_id or str(new_id()), email=email, password=password, display_name=name
        )
        return (await self.stub.RegisterCustomer(request)).customer

    async def sign_in(self, email="ann@example.com", password=PASSWORD) -> Session:
        return (await self.stub.CreateSession(CreateSessionRequest(email=email, password=password))).session

    async def refresh(self, token: str) -> Session:
        return (await self.stub.RefreshSession(RefreshSessionRequest(refresh_token=token))).session


@pytest.fixture
async def identity_url(database_url):
    return await database_url("identity")


@pytest.fixture
async def database(identity_url) -> AsyncIterator[Database]:
    async with Database(identity_url, name="test") as database:
        yield database


@pytest.fixture
def store(database) -> Store:
    return Store(database)


@pytest.fixture
def serve(identity_url, nats) -> Serve:
    """Return a function that serves identity on the test's database; more settings may be given."""

    @asynccontextmanager
    async def serve(**settings) -> AsyncIterator[Identity]:
        values = {"database_url": identity_url, "nats_password": nats.password, "key_encryption_secret": SECRET}
        own = IdentitySettings.model_validate(values | settings)
        listen = {"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", "nats_url": nats.url}
        process = ProcessSettings.model_validate(listen)
        async with (
            Host([SERVICE], process, {"identity": own}) as host,
            grpc.aio.insecure_channel(f"127.0.0.1:{host.grpc_port}") as channel,
        ):
            yield Identity(IdentityServiceStub(channel))

    return serve


@pytest.fixture
async def identity(serve) -> AsyncIterator[Identity]:
    async with serve() as identity:
        yield identity
