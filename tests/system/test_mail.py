"""What a customer of the whole shop finds in the mail, and the click that ends it."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from scripts.local_run.supervisor import Shop
from tests.notification.catcher import HOST, MailCatcher
from tests.system.shopper import Shopper, cart
from tests.system.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = "MESHMART_NOTIFICATION_SMTP_"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest_asyncio.fixture(loop_scope="session")
async def catcher(shop: Shop) -> AsyncIterator[MailCatcher]:
    """Return the mail server that the shop sends by, for the time of a test."""
    async with MailCatcher() as catcher:
        server = {"HOST": HOST, "PORT": str(catcher.port), "SECURITY": "none"}
        shop.tell("notification", {SETTINGS + name: value for name, value in server.items()})
        await shop.restart("notification")
        yield catcher
        shop.tell("notification", {})
        await shop.restart("notification")


WELCOME = "Welcome to meshmart"
CLOSED = ["Your money is on its way back", "Your order is confirmed", "Your order was cancelled"]


async def test_a_customer_is_written_to_until_they_click(shop, fronts, catcher):
    async def subjects() -> list[str]:
        return sorted(str(caught.mail["Subject"]) for caught in catcher.caught)

    async def newest() -> tuple[str, str]:
        answer = await fronts.rest("GET", "/v1/notifications", shopper.token)
        known = answer.body["notifications"][0]
        return known["kind"], known["state"]

    shopper = await Shopper(shop, fronts).enter()
    product, card = await shopper.product(), await shopper.card()
    order = await shopper.place(cart(product, card))
    await shopper.becomes(order.id, "COMPLETED")
    await shopper.cancel(order.id)
    await eventually(subjects, [WELCOME, *CLOSED])

    [link] = re.findall(rb"^List-Unsubscribe: <(\S+)>\r$", catcher.caught[-1].data, re.MULTILINE)
    address = urlsplit(link.decode())
    answer = await fronts.rest("POST", f"{address.path}?{address.query}", data=ONE_CLICK)
    assert (answer.status, address.port) == (200, shop.ports.edge)

    await shopper.place(cart(product, card))
    await eventually(newest, ("KIND_ORDER_CONFIRMED", "STATE_SKIPPED"))
    assert await subjects() == [WELCOME, *CLOSED]
