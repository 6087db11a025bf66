"""Payment, served on a database of its own."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from meshmart.common.v1.money_pb2 import Money
from meshmart.payment.v1 import payment_service_pb2 as pb
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.chassis.ids import new_id
from services.payment.service import SERVICE
from tests.support.serving import Served

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceAsyncStub

WORKS = "4242424242424242"
Card = pb.CreatePaymentMethodRequest.Card


@dataclass
class Till:
    """A served payment service, and what is done with it."""

    served: Served
    stub: "PaymentServiceAsyncStub"
    customer_id: UUID = field(default_factory=new_id)

    def headers(self, customer_id: UUID | None = None):
        return self.served.identity.headers(customer_id or self.customer_id)

    async def method(self, number: str = WORKS, **card) -> str:
        fields = {"expire_month": 12, "expire_year": 2099, "security_code": "123", **card}
        request = pb.CreatePaymentMethodRequest(request_id=str(new_id()), card=Card(number=number, **fields))
        response = await self.stub.CreatePaymentMethod(request, metadata=self.headers())
        return response.payment_method.id

    def authorization(self, method_id: str, order_id: UUID, **changes) -> pb.AuthorizePaymentRequest:
        fields = {
            "request_id": str(new_id()),
            "order_id": str(order_id),
            "customer_id": str(self.customer_id),
            "payment_method_id": method_id,
            "amount": Money(currency_code="EUR", minor_units=1999),
            **changes,
        }
        return pb.AuthorizePaymentRequest(**fields)

    async def authorize(self, order_id: UUID, number: str = WORKS) -> None:
        await self.stub.AuthorizePayment(self.authorization(await self.method(number), order_id))

    async def void(self, order_id: UUID) -> None:
        await self.stub.VoidPayment(pb.VoidPaymentRequest(request_id=str(new_id()), order_id=str(order_id)))

    async def state(self, order_id: UUID) -> str:
        row = await self.served.database.one("SELECT state FROM payment WHERE order_id = %s", (order_id,))
        return row[0] if row else "NONE"

    async def ledger(self, order_id: UUID) -> dict[str, int]:
        rows = await self.served.database.all("SELECT kind, amount FROM ledger WHERE order_id = %s", (order_id,))
        return dict(rows)


@pytest.fixture
async def till(serve) -> Till:
    served = await serve(SERVICE)
    return Till(served, served.stub(PaymentServiceStub))
