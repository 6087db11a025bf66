"""A served inventory, and what orders and staff do with it. After each test its books must balance."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from meshmart.inventory.v1 import inventory_service_pb2 as pb
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.inventory.v1.stock_pb2 import Reservation, ReservationLine, Stock

from services.chassis.database import Database
from services.chassis.ids import new_id
from services.inventory.service import SERVICE
from tests.support.serving import Serve, Served

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

HOLDERS = """
SELECT product_id, state, sum(quantity)::int FROM reservation, unnest(product_ids, quantities) AS line (product_id, quantity)
WHERE state IN ('HELD', 'COMMITTED') GROUP BY product_id, state
"""
DELIVERED = "SELECT product_id, sum(quantity)::int FROM movement GROUP BY product_id"


@dataclass
class Depot:
    """A served inventory."""

    served: Served
    stub: "InventoryServiceAsyncStub"
    clerk: UUID = field(default_factory=new_id)

    @property
    def database(self) -> Database:
        return self.served.database

    @property
    def staff(self):
        return self.served.identity.headers(self.clerk, role="staff")

    async def restock(self, product_id: UUID, quantity: int, *, request_id: str = "") -> Stock:
        request = pb.RestockProductRequest(
            request_id=request_id or str(new_id()), product_id=str(product_id), quantity=quantity
        )
        return (await self.stub.RestockProduct(request, metadata=self.staff)).stock

    async def product(self, quantity: int) -> UUID:
        """Return a new product with so many units."""
        product_id = new_id()
        await self.restock(product_id, quantity)
        return product_id

    async def reserve(self, order_id: UUID, *lines: tuple[UUID, int], request_id: str = "") -> Reservation:
        request = pb.ReserveStockRequest(
            request_id=request_id or str(new_id()), order_id=str(order_id), lines=wire(lines)
        )
        return (await self.stub.ReserveStock(request)).reservation

    async def release(self, order_id: UUID, *, request_id: str = "") -> None:
        request = pb.ReleaseStockRequest(request_id=request_id or str(new_id()), order_id=str(order_id))
        await self.stub.ReleaseStock(request)

    async def figures(self, product_id: UUID) -> tuple[int, int, int]:
        """Return what is available, reserved and sold."""
        stock = (await self.stub.GetStock(pb.GetStockRequest(product_id=str(product_id)))).stock
        return stock.available, stock.reserved, stock.sold

    async def state(self, order_id: UUID) -> str:
        row = await self.database.one("SELECT state FROM reservation WHERE order_id = %s", (order_id,))
        return str(row[0]) if row else "NONE"

    async def overdue(self, order_id: UUID) -> None:
        """Let the time of a reservation be over."""
        statement = "UPDATE reservation SET expire_time = now() - interval '1 s' WHERE order_id = %s AND state = 'HELD'"
        await self.database.execute(statement, (order_id,))

    async def published(self) -> None:
        """Wait until the world was told of all changes; the test's own timeout is the limit."""
        while await self.database.all("SELECT FROM stock WHERE version > published_version"):
            pass

    async def audit(self) -> None:
        """Fail unless every unit that was delivered is where the reservations say."""
        held: Counter[tuple[UUID, str]] = Counter()
        for product_id, state, units in await self.database.all(HOLDERS):
            held[product_id, state] = units
        delivered: dict[UUID, int] = dict(await self.database.all(DELIVERED))
        for product_id, *figures in await self.database.all("SELECT product_id, available, reserved, sold FROM stock"):
            reserved, sold = held[product_id, "HELD"], held[product_id, "COMMITTED"]
            assert figures == [delivered[product_id] - reserved - sold, reserved, sold]


def wire(lines: Iterable[tuple[UUID, int]]) -> list[ReservationLine]:
    """Return lines as a request has them."""
    return [ReservationLine(product_id=str(product_id), quantity=quantity) for product_id, quantity in lines]


@pytest.fixture
async def depot(serve: Serve) -> AsyncIterator[Depot]:
    # Nothing expires by itself: a test that wants it does it.
    served = await serve(SERVICE, publish_interval=0.01, expiry_interval=3600.0)
    depot = Depot(served, served.stub(InventoryServiceStub))
    yield depot
    await depot.audit()
