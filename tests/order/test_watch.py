"""The stream of an order's changes."""

import asyncio
from typing import Any

import grpc
import pytest
from meshmart.order.v1 import order_service_pb2 as pb
from meshmart.order.v1.order_pb2 import Order

from services.chassis.changes import Changes
from services.chassis.ids import new_id
from tests.order.conftest import Shop
from tests.support.serving import refusal_of

Response = pb.WatchOrderResponse


async def watch(shop: Shop, order_id: str, resume_token: str = "") -> list[Response]:
    request = pb.WatchOrderRequest(order_id=order_id, resume_token=resume_token)
    return [message async for message in shop.stub.WatchOrder(request, metadata=shop.headers())]


async def test_a_watch_shows_each_change_until_the_last_state(shop: Shop):
    shop.neighbours.failures["authorize"].append((grpc.StatusCode.FAILED_PRECONDITION, "CARD_DECLINED"))
    gate = shop.neighbours.gates["reserve"] = asyncio.Event()
    placed = await shop.place()
    watching = asyncio.create_task(watch(shop, placed.id))
    gate.set()

    messages = await watching

    assert [(message.state, message.version, message.reason) for message in messages] == [
        (Order.STATE_PENDING, 1, ""),
        (Order.STATE_REJECTED, 2, "CARD_DECLINED"),
    ]
    assert [message.end_reason for message in messages] == [
        Response.END_REASON_UNSPECIFIED,
        Response.END_REASON_LAST_STATE,
    ]


async def test_a_watch_goes_on_from_its_token(shop: Shop):
    shop.neighbours.failures["reserve"].append((grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT"))
    placed = await shop.place()
    everything = await watch(shop, placed.id)

    assert await watch(shop, placed.id, everything[0].resume_token) == everything[1:]


@pytest.mark.parametrize("token", ["x", "v", "vx", "v1.5", "v9"])
async def test_a_token_of_another_method_or_order_is_refused(shop: Shop, token):
    placed = await shop.place()

    refusal = await refusal_of(watch(shop, placed.id, token))

    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "RESUME_TOKEN_INVALID")


async def test_a_watch_ends_with_a_token_when_the_process_drains(shop: Shop):
    gate = shop.neighbours.gates["reserve"] = asyncio.Event()
    placed = await shop.place()
    stream = shop.stub.WatchOrder(pb.WatchOrderRequest(order_id=placed.id), metadata=shop.headers())
    await stream.read()

    shop.served.host.process.draining.set()
    last: Any = await stream.read()
    gate.set()

    assert last.end_reason == Response.END_REASON_RESUME
    assert last.resume_token


def test_who_stopped_waiting_is_forgotten():
    changes = Changes()
    with changes.subscribe(new_id()):
        pass

    assert not changes._waiters
