"""A served analytics, fed over a real broker, and staff who ask it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from nats.aio.client import Client

from scripts.benchmarks.history import Happening, fill
from services.analytics.service import SERVICE
from services.chassis.database import Database
from services.chassis.ids import new_id
from tests.analytics.counting import counted, stored
from tests.chassis.eventing import eventually
from tests.support.databases import MakeDatabase
from tests.support.serving import Serve, Served

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceAsyncStub


HEARD = {"catalog": 1, "order": 5, "payment": 3}
"""Events that analytics hears, by who publishes them."""


@dataclass
class Analytics:
    """A served analytics."""

    served: Served
    stub: "AnalyticsServiceAsyncStub"
    broker: Client
    url: str

    @property
    def database(self) -> Database:
        return self.served.database

    @property
    def staff(self):
        return self.served.identity.headers(new_id(), role="staff")

    async def tell(self, happenings: Iterable[Happening]) -> None:
        """Publish events, and return once they are counted."""
        await fill(self.broker, iter(happenings))
        await eventually(self.pending, 0)

    async def pending(self) -> int:
        """Return how many events are not counted yet."""
        return sum([await self._pending(stream) for stream in HEARD])

    async def _pending(self, context: str) -> int:
        found = await self.broker.jetstream().consumers_info(f"meshmart_{context}_v1")
        durables = [info for info in found if info.config.durable_name]
        if len(durables) < HEARD[context]:
            return 1
        return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in durables)

    async def agrees_with(self, happenings: Iterable[Happening]) -> None:
        """Fail unless the current generation has what a plain count has."""
        assert await stored(self.database) == counted(happenings)


@pytest.fixture
async def analytics(serve: Serve, database_url: MakeDatabase, nats) -> AsyncIterator[Analytics]:
    url = await database_url("analytics")
    served = await serve(SERVICE, url=url)
    broker = await nats.connect()
    yield Analytics(served, served.stub(AnalyticsServiceStub), broker, url)
    with suppress(OSError):  # a test may have stopped it
        await broker.close()
