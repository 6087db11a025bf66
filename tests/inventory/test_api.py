"""What inventory answers, and that no unit is held twice however many ask at once."""

import asyncio

import grpc
import pytest
from meshmart.inventory.v1 import inventory_service_pb2 as pb
from meshmart.inventory.v1.stock_pb2 import Reservation

from services.chassis.ids import new_id
from services.chassis.neighbour_errors import neighbour_error
from tests.inventory.conftest import Depot, wire
from tests.support.events import outbox_of
from tests.support.serving import refusal_of


def reason_of(outcome: object) -> str:
    """Return the reason of a refusal; "OK" for an answer."""
    if not isinstance(outcome, grpc.aio.AioRpcError):
        return "OK"
    refusal = neighbour_error(outcome)
    return refusal.reason if refusal else "no reason"


async def reasons_of(calls) -> list[str]:
    return [reason_of(outcome) for outcome in await asyncio.gather(*calls, return_exceptions=True)]


async def test_a_product_that_was_never_restocked_has_zero_units(depot: Depot):
    response = await depot.stub.GetStock(pb.GetStockRequest(product_id=str(new_id())))
    assert (response.stock.available, response.stock.HasField("update_time")) == (0, False)


async def test_several_products_are_counted_in_the_order_asked_for(depot):
    few, many, none = await depot.product(1), await depot.product(100), new_id()
    request = pb.BatchGetStockRequest(product_ids=map(str, (many, none, few)))

    stocks = (await depot.stub.BatchGetStock(request)).stocks

    assert [(stock.product_id, stock.available) for stock in stocks] == [
        (str(many), 100),
        (str(none), 0),
        (str(few), 1),
    ]


async def test_restocking_adds_to_what_is_there(depot):
    product_id = await depot.product(5)

    stock = await depot.restock(product_id, 7)

    assert (stock.available, stock.HasField("update_time")) == (12, True)


async def test_a_repeated_restock_is_answered_with_the_first_answer(depot):
    product_id, request_id = new_id(), str(new_id())
    answers = [await depot.restock(product_id, 5, request_id=request_id) for _ in range(2)]

    assert answers[0] == answers[1]
    assert await depot.figures(product_id) == (5, 0, 0)


async def test_only_staff_may_restock(depot):
    request = pb.RestockProductRequest(request_id=str(new_id()), product_id=str(new_id()), quantity=1)
    customer = depot.served.identity.headers()
    refusal = await refusal_of(depot.stub.RestockProduct(request, metadata=customer))
    assert refusal.reason == "STAFF_REQUIRED"


async def test_a_reservation_holds_all_of_its_lines(depot):
    tea, pot, order_id = await depot.product(5), await depot.product(2), new_id()

    reservation = await depot.reserve(order_id, (pot, 2), (tea, 3))

    assert reservation == Reservation(
        order_id=str(order_id), state=Reservation.STATE_HELD, lines=wire([(tea, 3), (pot, 2)])
    )
    assert (await depot.figures(tea), await depot.figures(pot)) == ((2, 3, 0), (0, 2, 0))


@pytest.mark.parametrize("pots", [pytest.param(1, id="too few"), pytest.param(0, id="never restocked")])
async def test_a_reservation_holds_none_of_its_lines_when_one_cannot_be_had(depot, pots):
    tea, order_id = await depot.product(5), new_id()
    pot = await depot.product(pots) if pots else new_id()

    refusal = await refusal_of(depot.reserve(order_id, (tea, 3), (pot, 2)))

    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "STOCK_INSUFFICIENT")
    assert refusal.metadata == {"order_id": str(order_id), "product_ids": str(pot)}
    assert await depot.figures(tea) == (5, 0, 0)
    assert await depot.state(order_id) == "NONE"


async def test_a_product_in_two_lines_is_refused(depot):
    tea = await depot.product(5)
    refusal = await refusal_of(depot.reserve(new_id(), (tea, 1), (tea, 1)))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "PRODUCT_REPEATED")


@pytest.mark.parametrize("quantity", [0, 1001])
async def test_a_quantity_out_of_bounds_is_refused(depot, quantity):
    refusal = await refusal_of(depot.reserve(new_id(), (new_id(), quantity)))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_INVALID")


async def test_a_request_without_lines_is_refused(depot):
    assert (await refusal_of(depot.reserve(new_id()))).reason == "REQUEST_INVALID"


async def test_a_repeated_reserve_is_answered_with_the_first_answer_even_when_nothing_is_left(depot):
    tea, order_id, request_id = await depot.product(1), new_id(), str(new_id())
    answers = [await depot.reserve(order_id, (tea, 1), request_id=request_id) for _ in range(2)]

    assert answers[0] == answers[1]
    assert await depot.figures(tea) == (0, 1, 0)


async def test_an_order_that_asks_again_under_another_request_id_gets_its_reservation(depot):
    tea, order_id = await depot.product(1), new_id()
    answers = [await depot.reserve(order_id, (tea, 1)) for _ in range(2)]

    assert answers[0] == answers[1]
    assert await depot.figures(tea) == (0, 1, 0)


async def test_an_order_has_one_reservation(depot):
    tea, order_id = await depot.product(5), new_id()
    await depot.reserve(order_id, (tea, 1))

    refusal = await refusal_of(depot.reserve(order_id, (tea, 2)))

    assert (refusal.code.name, refusal.reason) == ("ALREADY_EXISTS", "RESERVATION_EXISTS")


@pytest.mark.parametrize("method", ["restock", "reserve", "release"])
async def test_a_request_id_of_another_request_is_refused(depot, method):
    tea, request_id = await depot.product(5), str(new_id())
    calls = {
        "restock": lambda quantity: depot.restock(tea, quantity, request_id=request_id),
        "reserve": lambda quantity: depot.reserve(new_id(), (tea, quantity), request_id=request_id),
        "release": lambda _: depot.release(new_id(), request_id=request_id),
    }
    await calls[method](1)

    refusal = await refusal_of(calls[method](2))

    assert (refusal.code.name, refusal.reason) == ("ABORTED", "REQUEST_ID_REUSED")


async def test_released_units_are_available_and_announced_once(depot):
    tea, order_id = await depot.product(5), new_id()
    await depot.reserve(order_id, (tea, 3))

    for _ in range(2):
        await depot.release(order_id)

    assert await depot.figures(tea) == (5, 0, 0)
    assert await outbox_of(depot.database, order_id) == [("ReservationReleased", 2)]


async def test_a_released_order_may_not_reserve_again(depot):
    tea, order_id = await depot.product(5), new_id()
    await depot.reserve(order_id, (tea, 3))
    await depot.release(order_id)

    refusal = await refusal_of(depot.reserve(order_id, (tea, 3)))

    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "RESERVATION_RELEASED")


@pytest.mark.parametrize("units", [pytest.param(5, id="enough"), pytest.param(1, id="too few")])
async def test_a_reserve_that_comes_after_its_release_is_refused(depot, units):
    tea, order_id = await depot.product(units), new_id()
    await depot.release(order_id)

    refusal = await refusal_of(depot.reserve(order_id, (tea, 3)))

    assert refusal.reason == "RESERVATION_RELEASED"
    assert await depot.figures(tea) == (units, 0, 0)
    assert await outbox_of(depot.database, order_id) == []


async def test_fifty_orders_at_once_share_twenty_units(depot):
    tea = await depot.product(20)

    reasons = await reasons_of(depot.reserve(new_id(), (tea, 1)) for _ in range(50))

    assert sorted(reasons) == ["OK"] * 20 + ["STOCK_INSUFFICIENT"] * 30
    assert await depot.figures(tea) == (0, 20, 0)


async def test_the_same_reserve_twenty_times_at_once_holds_once(depot):
    tea, order_id, request_id = await depot.product(20), new_id(), str(new_id())

    reasons = await reasons_of(depot.reserve(order_id, (tea, 1), request_id=request_id) for _ in range(20))

    assert reasons == ["OK"] * 20
    assert await depot.figures(tea) == (19, 1, 0)


async def test_orders_that_want_the_same_products_crosswise_do_not_block_each_other(depot):
    products = [await depot.product(1000) for _ in range(5)]

    async def order(number: int) -> None:
        order_id, lines = new_id(), {products[(number * step) % 5] for step in (1, 2, 3)}
        await depot.reserve(order_id, *((product_id, 1) for product_id in lines))
        if number % 2:
            await asyncio.gather(depot.release(order_id), depot.release(order_id))

    assert await reasons_of(order(number) for number in range(60)) == ["OK"] * 60
    assert await deadlocks(depot) == 0


async def test_a_reserve_that_races_with_its_release_holds_nothing(depot: Depot):
    tea = await depot.product(100)

    async def order() -> str:
        order_id = new_id()
        await asyncio.gather(depot.reserve(order_id, (tea, 1)), depot.release(order_id), return_exceptions=True)
        return await depot.state(order_id)

    assert set(await asyncio.gather(*(order() for _ in range(30)))) == {"RELEASED"}
    assert await depot.figures(tea) == (100, 0, 0)


async def deadlocks(depot: Depot) -> int:
    await depot.database.execute("SELECT pg_stat_force_next_flush()")
    row = await depot.database.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert row is not None
    return int(row[0])
