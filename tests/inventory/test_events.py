"""Stock follows the events of orders, in whichever order and however often they come."""

import asyncio

import psycopg
import pytest
from meshmart.inventory.v1.stock_events_pb2 import ReservationReleased
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderedLine

from services.chassis import inbox
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.inventory.consumers import InventoryConsumers
from services.inventory.feed import StockFeed
from services.inventory.reservations import ReservationChangedError, Reservations
from services.inventory.stock_store import StockStore
from services.inventory.store import ReservationStore
from tests.inventory.conftest import Depot
from tests.support.events import delivery, outbox_of
from tests.support.serving import refusal_of


@pytest.fixture
def reservations(depot: Depot) -> Reservations:
    feed = StockFeed(StockStore(depot.database), Outbox(), interval=1, sweep_interval=1)
    return Reservations(ReservationStore(depot.database, hold=60), feed, Outbox())


@pytest.fixture
def consumers(reservations) -> InventoryConsumers:
    return InventoryConsumers(reservations)


def confirmed(order_id, product_id, quantity=3):
    lines = [OrderedLine(product_id=str(product_id), quantity=quantity)]
    return delivery(OrderConfirmed(order_id=str(order_id), lines=lines), consumer="confirmed")


def cancelled(order_id):
    return delivery(OrderCancelled(order_id=str(order_id)), consumer="cancelled")


async def happen(depot, consumers, order_id, product_id, happenings):
    for happening in happenings:
        match happening:
            case "reserve":
                await depot.reserve(order_id, (product_id, 3))
            case "release":
                await depot.release(order_id)
            case "expire":
                await depot.overdue(order_id)
                await consumers._reservations.expire()
            case "confirm":
                await consumers.confirmed(confirmed(order_id, product_id))
            case "cancel":
                await consumers.cancelled(cancelled(order_id))


SOLD, ALL_BACK = (2, 0, 3), (5, 0, 0)


@pytest.mark.parametrize(
    ("happenings", "state", "figures", "events"),
    [
        ("reserve confirm", "COMMITTED", SOLD, []),
        ("reserve confirm confirm", "COMMITTED", SOLD, []),
        ("reserve confirm cancel", "RESTOCKED", ALL_BACK, ["OrderRestocked"]),
        ("reserve confirm cancel confirm", "RESTOCKED", ALL_BACK, ["OrderRestocked"]),
        ("reserve confirm cancel cancel", "RESTOCKED", ALL_BACK, ["OrderRestocked"]),
        ("reserve cancel confirm", "RELEASED", ALL_BACK, ["OrderRestocked"]),
        ("reserve release cancel", "RELEASED", ALL_BACK, ["ReservationReleased", "OrderRestocked"]),
        ("reserve cancel release", "RELEASED", ALL_BACK, ["OrderRestocked"]),
        ("cancel confirm", "RELEASED", ALL_BACK, ["OrderRestocked"]),
        ("release cancel", "RELEASED", ALL_BACK, ["OrderRestocked"]),
        ("confirm", "COMMITTED", SOLD, []),
        ("reserve expire", "RELEASED", ALL_BACK, ["ReservationReleased"]),
        ("reserve expire confirm", "COMMITTED", SOLD, ["ReservationReleased"]),
        ("reserve expire confirm cancel", "RESTOCKED", ALL_BACK, ["ReservationReleased", "OrderRestocked"]),
        ("reserve expire cancel confirm", "RELEASED", ALL_BACK, ["ReservationReleased", "OrderRestocked"]),
        ("reserve confirm expire", "COMMITTED", SOLD, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_reservation_ends(depot, consumers, happenings, state, figures, events):
    order_id, product_id = new_id(), await depot.product(5)

    await happen(depot, consumers, order_id, product_id, happenings.split())

    assert await depot.state(order_id) == state
    assert await depot.figures(product_id) == figures
    assert [name for name, _ in await outbox_of(depot.database, order_id)] == events


async def test_a_confirmation_that_comes_after_the_cancellation_is_noted_as_heard(depot, consumers):
    order_id, product_id = new_id(), await depot.product(5)
    late = confirmed(order_id, product_id)
    await happen(depot, consumers, order_id, product_id, ["reserve", "cancel"])
    await consumers.confirmed(late)

    heard = await depot.database.all("SELECT event_id FROM inbox WHERE consumer = %s", (late.consumer,))
    assert heard == [(late.event_id,)]


async def test_the_events_of_an_order_have_rising_versions(depot, consumers):
    order_id, product_id = new_id(), await depot.product(5)
    await happen(depot, consumers, order_id, product_id, ["reserve", "expire", "confirm", "cancel"])

    assert await outbox_of(depot.database, order_id) == [("ReservationReleased", 2), ("OrderRestocked", 4)]


async def test_a_redelivered_event_changes_nothing(depot, consumers):
    order_id, product_id = new_id(), await depot.product(5)
    await depot.reserve(order_id, (product_id, 3))
    first, second = confirmed(order_id, product_id), cancelled(order_id)
    for handle, heard in ((consumers.confirmed, first), (consumers.cancelled, second)):
        await handle(heard)
        await again(handle, heard)
    await again(consumers.confirmed, first)

    assert await depot.figures(product_id) == ALL_BACK
    assert await outbox_of(depot.database, order_id) == [("OrderRestocked", 3)]


async def again(handle, heard) -> None:
    """Deliver an event again: it does nothing, or breaks the inbox's key, which the chassis acknowledges."""
    try:
        await handle(heard)
    except psycopg.errors.UniqueViolation as error:
        if not inbox.is_repeat(error):
            raise


async def test_a_cancelled_order_that_comes_before_its_reservation_leaves_a_tombstone(depot, consumers):
    order_id, product_id = new_id(), await depot.product(5)
    await consumers.cancelled(cancelled(order_id))

    refusal = await refusal_of(depot.reserve(order_id, (product_id, 3)))

    assert refusal.reason == "RESERVATION_RELEASED"


async def test_a_confirmed_order_is_not_released(depot, consumers):
    order_id, product_id = new_id(), await depot.product(5)
    await happen(depot, consumers, order_id, product_id, ["reserve", "confirm"])

    refusal = await refusal_of(depot.release(order_id))

    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "RESERVATION_COMMITTED")
    assert await depot.figures(product_id) == SOLD


@pytest.mark.parametrize("before", [["reserve", "expire"], []], ids=["expired", "never held"])
async def test_a_confirmed_order_whose_units_are_gone_fails_and_is_cancelled_by_event(depot, consumers, before):
    order_id, product_id = new_id(), await depot.product(5)
    await happen(depot, consumers, order_id, product_id, before)
    await depot.reserve(new_id(), (product_id, 4))
    heard = confirmed(order_id, product_id)

    await consumers.confirmed(heard)
    await depot.restock(product_id, 10)
    await again(consumers.confirmed, heard)
    await consumers.cancelled(cancelled(order_id))

    names = [name for name, _ in await outbox_of(depot.database, order_id)]
    assert names[-2:] == ["StockCommitFailed", "OrderRestocked"]
    assert await depot.figures(product_id) == (11, 4, 0)


async def test_a_confirmation_during_which_the_reservation_changes_is_heard_again(depot, consumers, monkeypatch):
    order_id, product_id = new_id(), await depot.product(5)

    async def reserve_meanwhile(*_):
        await depot.reserve(order_id, (product_id, 3))

    monkeypatch.setattr(consumers._reservations._store, "find", reserve_meanwhile)
    heard = confirmed(order_id, product_id)
    with pytest.raises(ReservationChangedError):
        await consumers.confirmed(heard)
    await consumers.confirmed(heard)

    assert await depot.state(order_id) == "COMMITTED"


async def test_confirmations_and_cancellations_at_once_lose_no_unit(depot, consumers):
    first, second = await depot.product(50), await depot.product(50)

    async def order() -> None:
        order_id = new_id()
        await depot.reserve(order_id, (first, 1), (second, 1))
        events = consumers.confirmed(confirmed(order_id, first)), consumers.cancelled(cancelled(order_id))
        await asyncio.gather(*events)

    await asyncio.gather(*(order() for _ in range(30)))

    assert await depot.figures(first) == (50, 0, 0)
    assert await depot.figures(second) == (50, 0, 0)


async def test_only_what_was_held_for_too_long_expires_and_says_so(depot, reservations):
    old, new, product_id = new_id(), new_id(), await depot.product(5)
    for order_id in (old, new):
        await depot.reserve(order_id, (product_id, 2))
    await depot.overdue(old)

    # Two replicas at once.
    await asyncio.gather(reservations.expire(), reservations.expire())

    assert (await depot.state(old), await depot.state(new)) == ("RELEASED", "HELD")
    [[payload]] = await depot.database.all("SELECT payload FROM outbox WHERE aggregate_id = %s", (str(old),))
    assert ReservationReleased.FromString(payload).reason == ReservationReleased.REASON_EXPIRED


async def test_many_expire_in_batches(depot, reservations, monkeypatch):
    monkeypatch.setattr("services.inventory.reservations.EXPIRY_BATCH", 2)
    orders, product_id = [new_id() for _ in range(3)], await depot.product(5)
    for order_id in orders:
        await depot.reserve(order_id, (product_id, 1))
        await depot.overdue(order_id)

    assert [await reservations.expire(), await reservations.expire()] == [True, False]
    assert await depot.figures(product_id) == ALL_BACK
