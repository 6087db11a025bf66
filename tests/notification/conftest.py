"""Notification, served on a database of its own, with a hand-written identity and a mail server in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from meshmart.common.v1.money_pb2 import Money
from meshmart.identity.v1 import identity_service_pb2
from meshmart.identity.v1.customer_events_pb2 import CustomerRegistered
from meshmart.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from meshmart.notification.v1 import notification_service_pb2 as pb
from meshmart.notification.v1.notification_pb2 import Notification, Preferences
from meshmart.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderRejected
from meshmart.payment.v1.payment_events_pb2 import PaymentRefunded
from pydantic import SecretStr

from services.chassis.consumer import Delivery
from services.chassis.database import Database
from services.chassis.errors import DomainError, Kind
from services.chassis.ids import new_id
from services.chassis.service import Servicer
from services.chassis.status import refusal_of
from services.notification.service import SERVICE
from tests.notification.catcher import HOST, MailCatcher
from tests.support.events import delivery
from tests.support.serving import Serve, Served
from tests.support.tokens import FakeIdentity

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.notification.v1.notification_service_pb2_grpc import NotificationServiceAsyncStub

SECRET = "a secret of the tests, long enough"
ORDER_ID = new_id()
TOTAL = Money(currency_code="EUR", minor_units=123450)
State = Notification.State
Kinds = Notification.Kind

LET_COME = "UPDATE notification SET due_time = now() WHERE state = 'PENDING'"
TRIED_LESS = """
SELECT 1 FROM notification
WHERE state = 'PENDING' AND (attempt < %s OR due_time > now() + interval '40 s')"""
"""What is being sent is claimed for a minute; what was put off comes sooner, the first times."""


class Directory(FakeIdentity):
    """An identity that knows customers by what a test told it, and counts who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, tuple[str, str]] = {}
        self.asked = 0
        self.away = False

    async def GetContact(self, request, context):
        self.asked += 1
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if request.customer_id not in self.contacts:
            kind = type("CustomerNotFound", (DomainError,), {"kind": Kind.NOT_FOUND, "reason": "CUSTOMER_NOT_FOUND"})
            await context.abort(grpc.StatusCode.NOT_FOUND, "no", refusal_of(kind("no")).trailers)
        email, name = self.contacts[request.customer_id]
        return identity_service_pb2.GetContactResponse(email=email, display_name=name)


@dataclass
class Desk:
    """A served notification service, what reaches it, and what its customers and staff do."""

    served: Served
    stub: "NotificationServiceAsyncStub"
    directory: Directory
    customer_id: UUID = field(default_factory=new_id)

    @property
    def database(self) -> Database:
        return self.served.database

    @property
    def url(self) -> str:
        """Address of the database, for a second process."""
        return self.served.host._settings["notification"].database_url.get_secret_value()

    @property
    def headers(self):
        return self.directory.headers(self.customer_id)

    @property
    def staff(self):
        return self.directory.headers(role="staff")

    async def hear(self, *deliveries: Delivery[Any]) -> None:
        """Have events handled, as if they came from the broker."""
        consumers = {consumer.event: consumer for consumer in self.served.host._hosted[0].components.consumers}
        for one in deliveries:
            await consumers[type(one.message)].handle(one)

    def registered(self, **changes: Any) -> Delivery[Any]:
        return delivery(CustomerRegistered(customer_id=str(self.customer_id)), **changes)

    def confirmed(self, order_id: UUID = ORDER_ID, total: Money = TOTAL, **changes: Any) -> Delivery[Any]:
        order = OrderConfirmed(order_id=str(order_id), customer_id=str(self.customer_id), total=total)
        return delivery(order, **changes)

    def rejected(self, reason: str = "CARD_DECLINED") -> Delivery[Any]:
        order = OrderRejected(order_id=str(ORDER_ID), customer_id=str(self.customer_id), reason=reason)
        return delivery(order)

    def cancelled(self, reason: str = "CUSTOMER_CANCELLED") -> Delivery[Any]:
        order = OrderCancelled(order_id=str(ORDER_ID), customer_id=str(self.customer_id), reason=reason)
        return delivery(order)

    def refunded(self, amount: Money | None = TOTAL, **changes: Any) -> Delivery[Any]:
        fields = {"order_id": str(ORDER_ID), "customer_id": str(self.customer_id), "amount": amount, **changes}
        return delivery(PaymentRefunded(**fields))

    async def page(self, **fields: Any) -> pb.ListNotificationsResponse:
        return await self.stub.ListNotifications(pb.ListNotificationsRequest(**fields), metadata=self.headers)

    async def notifications(self) -> list[Notification]:
        """Return the customer's notifications, newest first."""
        return list((await self.page()).notifications)

    async def states(self) -> list[tuple[str, str, str]]:
        """Return kind, state and reason of failure of each, newest first."""
        return [
            (
                Kinds.Name(one.kind).removeprefix("KIND_"),
                State.Name(one.state).removeprefix("STATE_"),
                one.failure_reason,
            )
            for one in await self.notifications()
        ]

    async def settled(self) -> list[Notification]:
        """Return the customer's notifications once none is pending; the test's own timeout is the limit."""
        while True:
            found = await self.notifications()
            if all(one.state != State.STATE_PENDING for one in found):
                return found
            await asyncio.sleep(0.01)

    async def prefer(self, *paths: str, etag: str = "", request_id: str = "", **values: Any) -> Preferences:
        request = pb.UpdatePreferencesRequest(
            preferences=Preferences(etag=etag, **values),
            update_mask=FieldMask(paths=paths),
            request_id=request_id or str(new_id()),
        )
        return (await self.stub.UpdatePreferences(request, metadata=self.headers)).preferences

    async def put_off(self, tries: int = 1) -> None:
        """Wait until all that is pending was put off after so many tries, and let its time come."""
        while await self.database.one(TRIED_LESS, (tries,)):  # noqa: ASYNC110  # the sender decides when
            await asyncio.sleep(0.01)
        await self.database.execute(LET_COME)

    async def lapse(self) -> None:
        """Let the claims of whoever sends something lapse."""
        await self.database.execute(LET_COME)


OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
def open_desk(serve: Serve) -> OpenDesk:
    """Return a function that serves notification; `like` lets a second process serve the database of another."""

    async def open_desk(*, like: Desk | None = None, **settings: Any) -> Desk:
        directory = like.directory if like else Directory()
        own = {"unsubscribe_secret": SecretStr(SECRET), "poll_interval": 0.05, **settings}
        served = await serve(
            SERVICE,
            neighbours={"identity": Servicer(add_IdentityServiceServicer_to_server, directory)},
            url=like.url if like else "",
            **own,
        )
        desk = Desk(served, served.stub(NotificationServiceStub), directory)
        if like:
            desk.customer_id = like.customer_id
        desk.directory.contacts[str(desk.customer_id)] = ("ann@example.com", "Ann")
        return desk

    return open_desk


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """Return a desk without a mail server."""
    return await open_desk()


@pytest.fixture
async def catcher() -> AsyncIterator[MailCatcher]:
    async with MailCatcher() as catcher:
        yield catcher


@pytest.fixture
async def post(open_desk: OpenDesk, catcher: MailCatcher) -> Desk:
    """Return a desk that sends by the mail server."""
    return await open_desk(**smtp(catcher))


def smtp(catcher: MailCatcher, **changes: Any) -> dict[str, Any]:
    """Return the settings of a mail server."""
    server = {"smtp_host": HOST, "smtp_port": catcher.port, "smtp_security": catcher.security}
    return {**server, "public_url": "https://shop.example/", **changes}
