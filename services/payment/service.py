"""The payment service's declaration: settings in, objects built."""

import asyncio
from typing import cast

from meshmart.payment.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server
from pydantic import Field

from services.chassis.failpoints import around_methods
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix
from services.payment.api import PaymentApi
from services.payment.consumers import PaymentConsumers
from services.payment.processor import SimulatedProcessor
from services.payment.store import HOLD, PaymentStore

EXPIRY_BATCH = 1000
"""Most holds that one statement expires."""


class PaymentSettings(ServiceSettings):
    """What the payment service needs besides."""

    model_config = prefix("payment")

    hold: float = Field(HOLD, gt=0, description="Seconds for which an amount is held for an order.")
    expiry_interval: float = Field(10.0, gt=0, description="Seconds between two looks for holds past their time.")


def build(runtime: Runtime) -> Components:
    """Build the service."""
    settings = cast("PaymentSettings", runtime.settings)
    store = around_methods("payments", PaymentStore(runtime.database, hold=settings.hold), "expire")
    processor = around_methods("processor", SimulatedProcessor(), "authorize", "capture", "void", "refund")

    async def expire() -> None:
        while True:
            while await store.expire(EXPIRY_BATCH) == EXPIRY_BATCH:
                pass
            await asyncio.sleep(settings.expiry_interval)

    return Components(
        servicers=(Servicer(add_PaymentServiceServicer_to_server, PaymentApi(store, processor)),),
        consumers=PaymentConsumers(store, processor, runtime.outbox).all(),
        tasks=(Task("authorization expiry", expire),),
    )


SERVICE = Service(name="payment", index=3, settings=PaymentSettings, build=build)
