"""The payment service's declaration: settings in, objects built."""

from meshmart.payment.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server

from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer
from services.chassis.settings import ServiceSettings, prefix
from services.payment.api import PaymentApi
from services.payment.consumers import PaymentConsumers
from services.payment.processor import SimulatedProcessor
from services.payment.store import PaymentStore


class PaymentSettings(ServiceSettings):
    """What the payment service needs; nothing besides."""

    model_config = prefix("payment")


def build(runtime: Runtime) -> Components:
    """Build the service."""
    store = PaymentStore(runtime.database)
    processor = SimulatedProcessor()
    return Components(
        servicers=(Servicer(add_PaymentServiceServicer_to_server, PaymentApi(store, processor)),),
        consumers=PaymentConsumers(store, processor, runtime.outbox).all(),
    )


SERVICE = Service(name="payment", index=3, settings=PaymentSettings, build=build)
