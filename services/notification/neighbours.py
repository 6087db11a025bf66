"""The client of identity behind the domain's port."""

from typing import TYPE_CHECKING
from uuid import UUID

import grpc
from meshmart.identity.v1.identity_service_pb2 import GetContactRequest

from services.chassis.neighbour_errors import neighbour_error
from services.notification.domain import Contact, NotNow, Undeliverable

if TYPE_CHECKING:
    from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceAsyncStub


class IdentityContacts:
    """Asks identity how to reach a customer, each time anew: addresses are not kept."""

    def __init__(self, stub: "IdentityServiceAsyncStub") -> None:
        """Keep the stub."""
        self._stub = stub

    async def of(self, customer_id: UUID) -> Contact:
        """Return how to reach a customer. Raises Undeliverable if there is none, NotNow if identity is away."""
        try:
            answer = await self._stub.GetContact(GetContactRequest(customer_id=str(customer_id)))
        except grpc.aio.AioRpcError as error:
            refusal = neighbour_error(error)
            if refusal and refusal.reason == "CUSTOMER_NOT_FOUND":
                raise Undeliverable(refusal.reason) from None
            raise NotNow(refusal.reason if refusal else error.code().name) from None
        return Contact(answer.email, answer.display_name)
