"""Sagas outlive the process that began them, and a process that lost one writes nothing."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest
from meshmart.order.v1.order_pb2 import Order as OrderMessage

from services.chassis import outbox
from services.chassis.database import Database
from services.chassis.ids import new_id
from services.chassis.money import Money
from services.order import messages
from services.order.domain import Change, Line, Order, State
from services.order.store import OrderStore, Saga, saga_of
from tests.order.conftest import FakeNeighbours, Shop


@pytest.fixture
async def order_url(database_url) -> str:
    return await database_url("order")


@pytest.fixture
async def database(order_url):
    async with Database(order_url) as database:
        yield database


def an_order() -> Order:
    line = Line(new_id(), "Tea", 1, Money("EUR", 450))
    placed = Change(1, State.PENDING, "", datetime.now(UTC))
    return Order(new_id(), new_id(), new_id(), (line,), line.unit_price, (placed,))


async def leave_behind(database: Database, *, lease: float = 0, confirm_within: float = 300) -> Order:
    """Write an order as a process does that dies right after."""
    order = an_order()
    reply = {"idem_principal": "-", "idem_method": "-", "idem_request_id": new_id(), "idem_request_hash": bytes(32),
             "idem_reply": b""}  # fmt: skip
    store = OrderStore(database, lease=lease, confirm_within=confirm_within)
    await store.place(order, outbox.parameters(messages.order_placed(order), order.id), reply)
    return order


async def decided(shop: Shop, order: Order) -> OrderMessage:
    shop.customer_id = order.customer_id
    return await shop.get(str(order.id), wait=5)


async def test_a_saga_whose_process_died_is_taken_over(open_shop, database, order_url):
    order = await leave_behind(database)

    shop = await open_shop(url=order_url, saga_lease=0.2)

    assert (await decided(shop, order)).state == OrderMessage.STATE_CONFIRMED


async def test_a_saga_that_was_compensating_goes_on_compensating(open_shop, database, order_url):
    order = await leave_behind(database)
    await OrderStore(database, lease=0, confirm_within=300).turn(saga_of(order), "CARD_DECLINED")

    shop = await open_shop(url=order_url, saga_lease=0.2)

    rejected = await decided(shop, order)
    assert (rejected.state, rejected.reason) == (OrderMessage.STATE_REJECTED, "CARD_DECLINED")
    assert shop.neighbours.seen == ["void", "release"]


async def test_a_saga_that_is_found_too_late_is_rejected(open_shop, database, order_url):
    order = await leave_behind(database, confirm_within=0)

    shop = await open_shop(url=order_url, saga_lease=0.2)

    rejected = await decided(shop, order)
    assert (rejected.state, rejected.reason) == (OrderMessage.STATE_REJECTED, "CONFIRMATION_LATE")
    assert shop.neighbours.seen == ["reserve", "authorize", "void", "release"]


async def test_a_lease_that_is_renewed_is_not_taken_over(open_shop, order_url):
    neighbours, other = FakeNeighbours(), FakeNeighbours()
    gate = neighbours.gates["authorize"] = asyncio.Event()
    shop = await open_shop(neighbours, url=order_url, saga_lease=0.4)
    placed = await shop.place()
    await open_shop(other, url=order_url, saga_lease=0.4)

    await until_lease_moved(shop, times=3)
    gate.set()

    assert (await shop.get(placed.id, wait=5)).state == OrderMessage.STATE_CONFIRMED
    assert other.seen == []


async def until_lease_moved(shop: Shop, times: int) -> None:
    """Return once the lease was renewed several times."""
    seen: set[object] = set()
    while len(seen) <= times:
        seen.add(await shop.served.database.one("SELECT lease_until FROM saga"))


async def test_a_process_that_drains_gives_its_sagas_back(open_shop, order_url):
    neighbours = FakeNeighbours()
    neighbours.gates["authorize"] = asyncio.Event()
    shop = await open_shop(neighbours, url=order_url, saga_lease=3600)
    placed = await shop.place()
    await neighbours.reached["authorize"].wait()

    await shop.served.host.__aexit__(None, None, None)
    store = OrderStore(shop.served.database, lease=1, confirm_within=300)
    [given_back] = await store.claim(10)

    assert str(given_back.order.id) == placed.id


@pytest.mark.parametrize("write", ["confirm", "turn"])
async def test_a_process_that_lost_its_saga_writes_nothing(database, write):
    store = OrderStore(database, lease=0, confirm_within=300)
    order = await leave_behind(database)
    paused = saga_of(order)
    [taken_over] = await store.claim(10)

    written: object
    if write == "confirm":
        written = await store.confirm(paused, outbox.parameters(messages.order_confirmed(order), order.id))
    else:
        written = await store.turn(paused, "CARD_DECLINED")

    assert not written
    assert taken_over.version == 2
    found = await store.get(order.id)
    assert found is not None
    assert found.state is State.PENDING


async def test_a_forward_saga_is_not_rejected_without_turning(database):
    store = OrderStore(database, lease=0, confirm_within=300)
    order = await leave_behind(database)
    pretended = Saga(order, 1, compensating=True, reason="CARD_DECLINED")

    assert not await store.reject(pretended, outbox.parameters(messages.order_rejected(order, "x"), order.id))


async def test_two_processes_never_claim_the_same_saga(database):
    for _ in range(20):
        await leave_behind(database)
    store = OrderStore(database, lease=60, confirm_within=300)

    claims = await asyncio.gather(*(store.claim(10) for _ in range(4)))

    claimed = [saga.order.id for claim in claims for saga in claim]
    assert len(claimed) == len(set(claimed)) == 20


async def test_an_unavailable_neighbour_is_waited_for(open_shop):
    neighbours = FakeNeighbours()
    away = (grpc.StatusCode.UNAVAILABLE, "PROCESSOR_UNAVAILABLE")
    neighbours.failures["authorize"] = [away] * 8
    shop = await open_shop(neighbours)

    assert (await shop.get((await shop.place()).id, wait=5)).state == OrderMessage.STATE_CONFIRMED
