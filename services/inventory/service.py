"""The inventory service's declaration: settings in, objects built."""

import asyncio
from typing import cast

from meshmart.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server
from pydantic import Field

from services.chassis.failpoints import around_methods
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix
from services.inventory.api import InventoryApi
from services.inventory.consumers import InventoryConsumers
from services.inventory.feed import StockFeed
from services.inventory.reservations import Reservations
from services.inventory.stock_store import StockStore
from services.inventory.store import ReservationStore
from services.inventory.watch import StockWatch


class InventorySettings(ServiceSettings):
    """What the inventory service needs besides."""

    model_config = prefix("inventory")

    hold: float = Field(
        86_400.0, gt=0, description="Seconds for which units are held for an order that is not confirmed."
    )
    expiry_interval: float = Field(10.0, gt=0, description="Seconds between two looks for reservations to release.")
    publish_interval: float = Field(1.0, gt=0, description="Seconds within which a product's changes are one event.")
    sweep_interval: float = Field(30.0, gt=0, description="Seconds between two searches for changes left by a crash.")


def build(runtime: Runtime) -> Components:
    """Build the service."""
    settings = cast("InventorySettings", runtime.settings)
    stock = StockStore(runtime.database)
    feed = StockFeed(stock, runtime.outbox, interval=settings.publish_interval, sweep_interval=settings.sweep_interval)
    store = around_methods("reservations", ReservationStore(runtime.database, hold=settings.hold), "expire")
    reservations = Reservations(store, feed, runtime.outbox)
    api = InventoryApi(stock, reservations, feed, StockWatch(stock, feed, runtime.draining))

    async def expire() -> None:
        while True:
            while await reservations.expire():
                pass
            await asyncio.sleep(settings.expiry_interval)

    return Components(
        servicers=(Servicer(add_InventoryServiceServicer_to_server, api),),
        consumers=InventoryConsumers(reservations).all(),
        tasks=(Task("stock feed", feed.run), Task("reservation expiry", expire)),
    )


SERVICE = Service(name="inventory", index=2, settings=InventorySettings, build=build)
