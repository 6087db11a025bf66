"""A confirmed order whose messages come in every order, and more than once: it always ends whole."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from services.audit.cli import audit
from services.chassis.database import Database
from tests.choreography.trio import Trio, exchange

SERVICES = ("order", "payment", "inventory")
SEEDS = range(25)


@pytest.fixture
async def urls(database_url) -> dict[str, str]:
    return {service: await database_url(service) for service in SERVICES}


@pytest.fixture
async def trio(urls) -> AsyncIterator[Trio]:
    async with AsyncExitStack() as stack:
        databases = {name: await stack.enter_async_context(Database(url, name=name)) for name, url in urls.items()}
        yield Trio(databases)


async def nothing(trio: Trio, order_id: UUID) -> None:
    """Let everything be as it should."""


async def lose_the_units(trio: Trio, order_id: UUID) -> None:
    """Let the reservation expire before the confirmation is heard, and somebody else take the unit."""
    await trio.databases["inventory"].execute(
        "UPDATE reservation SET expire_time = now() WHERE order_id = %s", (order_id,)
    )
    await trio.reservations.expire()
    order = await trio.orders.get(order_id)
    assert order
    await trio.confirmed(order.lines[0].product_id)


async def lapse(trio: Trio, order_id: UUID) -> None:
    """Let the authorization expire before the confirmation is heard."""
    await trio.databases["payment"].execute("UPDATE payment SET expire_time = now() WHERE order_id = %s", (order_id,))
    await trio.payments.expire(1)


Before = Callable[[Trio, UUID], Awaitable[None]]


@pytest.mark.parametrize(
    ("card", "before"),
    [
        pytest.param("works", nothing, id="cancelled by the customer"),
        pytest.param("uncapturable", nothing, id="cannot be captured"),
        pytest.param("works", lapse, id="the authorization had expired"),
        pytest.param("declined", lapse, id="the authorization had expired and is declined now"),
        pytest.param("works", lose_the_units, id="the units are gone"),
    ],
)
async def test_a_cancelled_order_is_closed_whatever_comes_first_or_twice(trio, urls, card, before: Before):
    for seed in SEEDS:
        chance = random.Random(seed)  # noqa: S311  # not for secrets
        order = await trio.confirmed(await trio.product(1), card)
        await before(trio, order.id)

        trail = await exchange(trio, order.id, chance, cancel_after=chance.randrange(12))

        ended = await trio.orders.get(order.id)
        assert ended.state.value == "CLOSED", f"seed {seed}: {ended.state} after {trail}"
    report = audit(list(urls.values()), settle=3600)
    assert not report.findings


async def test_a_confirmed_order_is_completed_whatever_comes_first_or_twice(trio, urls):
    for seed in SEEDS:
        chance = random.Random(seed)  # noqa: S311  # not for secrets
        order = await trio.confirmed(await trio.product(1))
        trail = await exchange(trio, order.id, chance, cancel_after=-1)

        ended = await trio.orders.get(order.id)
        assert ended.state.value == "COMPLETED", f"seed {seed}: {ended.state} after {trail}"
    assert not audit(list(urls.values()), settle=3600).findings
