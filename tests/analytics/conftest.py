"""A served analytics, fed over a real broker, and staff who ask it."""

from collections.abc import AsyncIterator, Iterable
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
from tests.support.serving import Serve, Served

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceAsyncStub


@dataclass
class Analytics:
    """A served analytics."""

    served: Served
    stub: "AnalyticsServiceAsyncStub"
    broker: Client

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
        return sum([await self._pending(stream) for stream in ("catalog", "order", "payment")])

    async def _pending(self, context: str) -> int:
        consumers = await self.broker.jetstream().consumers_info(f"meshmart_{context}_v1")
        heard = {"catalog": 1, "order": 5, "payment": 3}[context]
        if len(consumers) < heard:
            return 1
        return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in consumers)

    async def agrees_with(self, happenings: Iterable[Happening]) -> None:
        """Fail unless the current generation has what a plain count has."""
        assert await stored(self.database) == counted(happenings)


@pytest.fixture
async def analytics(serve: Serve, nats) -> AsyncIterator[Analytics]:
    served = await serve(SERVICE)
    broker = await nats.connect()
    yield Analytics(served, served.stub(AnalyticsServiceStub), broker)
    await broker.close()
