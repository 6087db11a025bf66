"""One trace from the edge to the last consumer."""

import asyncio
import json
from secrets import token_hex

import psycopg
import pytest

from scripts.local_run.supervisor import Shop
from tests.support.fronts import metadata
from tests.system.shopper import cart
from tests.system.waiting import eventually

LINES = {
    "edge": {"/meshmart.order.v1.OrderService/PlaceOrder"},
    "order": {"/meshmart.order.v1.OrderService/PlaceOrder", "order_PaymentCaptured"},
    "catalog": {"/meshmart.catalog.v1.CatalogService/BatchGetProducts"},
    "inventory": {"/meshmart.inventory.v1.InventoryService/ReserveStock", "inventory_OrderConfirmed"},
    "payment": {"/meshmart.payment.v1.PaymentService/AuthorizePayment", "payment_OrderConfirmed"},
}
"""What each part logs of an order that is completed: the calls it served, and the events its consumers handled."""
EVENTS = {"order": {"OrderPlaced", "OrderConfirmed"}, "payment": {"PaymentCaptured"}}
"""What each service writes of it: because of a call, and because of another event."""

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def _logged(shop: Shop, part: str, trace: str) -> set[str]:
    """Return the calls and the consumers in those log lines of a part that carry a trace."""
    lines = [json.loads(line) for line in shop.log(part).read_text().splitlines() if trace in line]
    return {line.get("rpc") or line.get("consumer") or line["method"] for line in lines}


def _events(shop: Shop, service: str, trace: str) -> set[str]:
    """Return the events that a service has written under a trace."""
    query = "SELECT event_type FROM outbox WHERE traceparent LIKE '00-' || %s || '-%%-01'"
    with psycopg.connect(shop.database_url(service)) as connection:
        return {row[0].rpartition(".")[2] for row in connection.execute(query, (trace,))}


async def test_the_trace_of_an_order_is_in_every_log_and_every_event(shop, shopper):
    request = cart(await shopper.product(), await shopper.card())
    trace = token_hex(16)
    headers = [*metadata(shopper.token), ("traceparent", f"00-{trace}-{token_hex(8)}-01")]
    placed = await shopper.orders.PlaceOrder(request, metadata=headers)
    await shopper.becomes(placed.order.id, "COMPLETED")

    async def logged() -> dict[str, set[str]]:
        return {part: await asyncio.to_thread(_logged, shop, part, trace) for part in LINES}

    await eventually(logged, LINES)
    assert {service: _events(shop, service, trace) for service in EVENTS} == EVENTS
