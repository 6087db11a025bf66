"""The payment service's calls: read the request, call the domain, build the response."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from meshmart.payment.v1 import payment_service_pb2 as pb
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceServicer

from services.chassis import idempotency, pages
from services.chassis.call import current_principal
from services.chassis.ids import new_id
from services.chassis.messages import amount as amount_of
from services.chassis.money import Money
from services.payment import messages
from services.payment.domain import (
    Card,
    Payment,
    PaymentCaptured,
    PaymentMethod,
    PaymentMethodNotFound,
    PaymentNotFound,
    PaymentVoided,
    Processor,
    State,
    brand_of,
    check_card,
)
from services.payment.store import PaymentStore

LAST_ID = UUID(int=(1 << 128) - 1)


class PaymentApi(PaymentServiceServicer):
    """Serves `meshmart.payment.v1.PaymentService`."""

    def __init__(self, store: PaymentStore, processor: Processor) -> None:
        """Keep the collaborators."""
        self._store = store
        self._processor = processor

    async def CreatePaymentMethod(
        self, request: pb.CreatePaymentMethodRequest, context: Any
    ) -> pb.CreatePaymentMethodResponse:
        """Turn a card into a payment method."""
        # What of a card may be shown tells two cards of one request_id apart.
        idempotency.distinguish(
            f"{request.card.number[-4:]} {request.card.expire_month} {request.card.expire_year}".encode()
        )
        method = await self._tokenize(messages.card(request.card))
        response = pb.CreatePaymentMethodResponse(payment_method=messages.payment_method(method))
        await self._store.create_method(method, idempotency.parameters(response))
        return response

    async def _tokenize(self, card: Card) -> PaymentMethod:
        now = datetime.now(UTC)
        check_card(card, now)
        return PaymentMethod(
            new_id(),
            UUID(current_principal().subject),
            brand_of(card.number),
            card.number[-4:],
            card.expire_month,
            card.expire_year,
            await self._processor.tokenize(card),
            now,
        )

    async def ListPaymentMethods(
        self, request: pb.ListPaymentMethodsRequest, context: Any
    ) -> pb.ListPaymentMethodsResponse:
        """List the caller's payment methods."""
        page = pages.read(request, "ListPaymentMethods")
        before = pages.id_after(page) or LAST_ID
        methods = await self._store.methods_of(UUID(current_principal().subject), before, page.size + 1)
        shown, token = pages.cut(page, methods, lambda method: [str(method.id)])
        return pb.ListPaymentMethodsResponse(payment_methods=map(messages.payment_method, shown), next_page_token=token)

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Any) -> pb.GetPaymentResponse:
        """Return the payment of one of the caller's orders."""
        payment = await self._store.get(UUID(request.order_id))
        if payment is None or str(payment.customer_id) != current_principal().subject:
            order = {"order_id": request.order_id}
            raise PaymentNotFound(f"order {request.order_id} has no payment", metadata=order)
        return pb.GetPaymentResponse(payment=messages.payment(payment))

    async def AuthorizePayment(self, request: pb.AuthorizePaymentRequest, context: Any) -> pb.AuthorizePaymentResponse:
        """Hold an amount on a card for an order."""
        amount = amount_of(request.amount)
        payment = await self._new_payment(request, amount)
        await self._processor.authorize(payment.processor_token, request.order_id, amount)
        response = pb.AuthorizePaymentResponse(payment=messages.payment(payment))
        if not await self._store.authorize(payment, amount, idempotency.parameters(response)):
            raise await self._too_late(payment.order_id)
        return response

    async def _new_payment(self, request: pb.AuthorizePaymentRequest, amount: Money) -> Payment:
        method_id = UUID(request.payment_method_id)
        method = await self._store.method(method_id, UUID(request.customer_id))
        if method is None:
            raise PaymentMethodNotFound(
                f"payment method {method_id} does not exist", metadata={"payment_method_id": str(method_id)}
            )
        now = datetime.now(UTC)
        return Payment(
            UUID(request.order_id),
            State.AUTHORIZED,
            method.customer_id,
            method_id,
            amount,
            method.processor_token,
            lapsed=False,
            create_time=now,
            update_time=now,
        )

    async def _too_late(self, order_id: UUID) -> PaymentVoided:
        """Give up the hold that a voided order must not have, and return the refusal."""
        found = await self._store.get(order_id)
        if found is not None and found.amount is None:
            await self._processor.void(str(order_id))
        return PaymentVoided(f"the payment of order {order_id} was voided", metadata={"order_id": str(order_id)})

    async def VoidPayment(self, request: pb.VoidPaymentRequest, context: Any) -> pb.VoidPaymentResponse:
        """Give up the hold of an order, or refuse it to an authorization that comes late."""
        response = pb.VoidPaymentResponse()
        await self._processor.void(request.order_id)
        if not await self._store.void(UUID(request.order_id), idempotency.parameters(response)):
            order = {"order_id": request.order_id}
            raise PaymentCaptured(f"the payment of order {request.order_id} was captured", metadata=order)
        return response
