"""What becomes of an order is what the README says of its card."""

import asyncio

import aiohttp
import grpc
import pytest
import pytest_asyncio

from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.tour.customer import Customer
from tests.readme.page import README, table

CARDS = {row[0].replace(" ", ""): row[2] for row in table(README, "## Test cards")}
LAST = {"COMPLETED", "REJECTED", "CLOSED"}

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(loop_scope="session")
async def customer(separate_shop):
    address = f"127.0.0.1:{separate_shop.ports.edge}"
    await seed(address, STAFF_EMAIL, separate_shop.secrets.staff_password)
    async with aiohttp.ClientSession(separate_shop.url) as http, grpc.aio.insecure_channel(address) as channel:
        customer = Customer(http, channel)
        await customer.sign_in()
        yield customer


async def test_an_order_ends_as_its_card_has_it(customer):
    product = await customer.product("teapot")
    ends = await asyncio.gather(*(end(customer, product, number) for number in CARDS))
    told = dict(zip(CARDS, ends, strict=True))
    assert [number for number, text in CARDS.items() if not all(word in text for word in told[number])] == [], told


async def end(customer, product, number: str) -> list[str]:
    """Order with a card and return the last state, and the reason if there is one."""
    order = await customer.place(product, await customer.payment_method(number))
    async with asyncio.timeout(60):
        while (state := order["state"].removeprefix("STATE_")) not in LAST:
            await asyncio.sleep(0.2)
            order = await customer.decided(order["id"], wait="2s")
    return [state, *([order["reason"]] if order["reason"] else [])]
