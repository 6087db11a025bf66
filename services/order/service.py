"""The order service's declaration: settings in, objects built."""

from typing import cast

from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.order.v1.order_service_pb2_grpc import add_OrderServiceServicer_to_server
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from pydantic import Field, PositiveInt

from services.chassis.changes import Changes
from services.chassis.failpoints import around_methods
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix
from services.order.api import OrderApi
from services.order.consumers import OrderConsumers
from services.order.neighbours import CatalogClient, InventoryClient, PaymentClient
from services.order.publisher import OrderLog
from services.order.runner import Patience, SagaRunner
from services.order.saga import OrderSaga
from services.order.store import OrderStore


class OrderSettings(ServiceSettings):
    """What the order service needs besides."""

    model_config = prefix("order")

    saga_limit: PositiveInt = Field(
        1000, description="Most sagas on their way in this process; past it PlaceOrder is refused."
    )
    saga_steps: PositiveInt = Field(32, description="Steps of sagas asked of neighbours at once; more wait their turn.")
    saga_lease: float = Field(
        5.0, gt=0, description="Seconds after which another process takes over a saga left alone."
    )
    saga_patience: float = Field(15.0, ge=0, description="Seconds a step is tried while its neighbour is unavailable.")
    confirm_within: float = Field(
        300.0, gt=0, description="Seconds from placing within which an order is confirmed or rejected."
    )


def build(runtime: Runtime) -> Components:
    """Build the service."""
    settings = cast("OrderSettings", runtime.settings)
    store = OrderStore(runtime.database, lease=settings.saga_lease, confirm_within=settings.confirm_within)
    changes = Changes()
    log = OrderLog(store, runtime.outbox, changes)
    saga = OrderSaga(
        around_methods("saga", InventoryClient(runtime.stub(InventoryServiceStub)), "reserve", "release"),
        around_methods("saga", PaymentClient(runtime.stub(PaymentServiceStub)), "authorize", "void"),
        around_methods("saga", log, "confirm", "turn", "reject"),
        Patience(settings.saga_patience),
        steps_at_once=settings.saga_steps,
    )
    runner = SagaRunner(saga, store, limit=settings.saga_limit, lease=settings.saga_lease)
    runtime.metrics.gauge("sagas", "Sagas that this process holds.", lambda: runner.running)
    api = OrderApi(
        store=store,
        log=log,
        catalog=CatalogClient(runtime.stub(CatalogServiceStub)),
        runner=runner,
        changes=changes,
        draining=runtime.draining,
    )
    return Components(
        servicers=(Servicer(add_OrderServiceServicer_to_server, api),),
        consumers=OrderConsumers(store, log).all(),
        tasks=(Task("sagas", runner.keep),),
    )


SERVICE = Service(
    name="order",
    index=4,
    settings=OrderSettings,
    build=build,
    neighbours=("catalog", "inventory", "payment"),
)
