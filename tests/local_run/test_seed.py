"""The shop's goods, and how they get on its shelves."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from protovalidate import Validator
from pydantic import SecretStr

from scripts.local_run.seed.seed import Seeded, read_products, seed
from services.catalog.service import SERVICE as CATALOG
from services.chassis.database import Database
from services.chassis.host import Host
from services.chassis.settings import ProcessSettings
from services.identity.service import SERVICE as IDENTITY
from services.inventory.service import SERVICE as INVENTORY

STAFF = ("staff@example.com", "correct horse battery")
OWN: dict[str, dict[str, Any]] = {
    "identity": {
        "key_encryption_secret": SecretStr("a secret of the tests, long enough"),
        "staff_email": STAFF[0],
        "staff_password": SecretStr(STAFF[1]),
    }
}


def test_the_goods_are_many_valid_and_all_different():
    goods = read_products()
    validator = Validator()
    for product, stock in goods:
        validator.validate(product)
        assert stock > 0
        assert product.description.endswith(".")
    for field in ("sku", "display_name", "description"):
        assert [value for value, count in Counter(getattr(one, field) for one, _ in goods).items() if count > 1] == []
    categories = Counter(product.category for product, _ in goods)
    assert len(goods) >= 160
    assert len(categories) == 10
    assert min(categories.values()) >= 16


@pytest.fixture
async def shop(database_url, nats) -> AsyncIterator[tuple[str, Database]]:
    """Return where identity, catalog and inventory are served together, and inventory's database."""
    services = (IDENTITY, CATALOG, INVENTORY)
    urls = {service.name: await database_url(service.name) for service in services}
    settings = {
        service.name: service.settings(
            database_url=SecretStr(urls[service.name]),
            nats_password=SecretStr(nats.password),
            **OWN.get(service.name, {}),
        )
        for service in services
    }
    listen: dict[str, Any] = {"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", "nats_url": nats.url}
    async with (
        Host(services, ProcessSettings(**listen), settings) as host,
        Database(urls["inventory"], name="test") as database,
    ):
        yield f"127.0.0.1:{host.grpc_port}", database


async def test_seeding_again_does_nothing_more(shop):
    address, database = shop
    goods = read_products()
    assert await seed(address, *STAFF) == Seeded(products=len(goods), created=len(goods), restocked=len(goods))
    await database.execute("DELETE FROM idempotency")
    assert await seed(address, *STAFF) == Seeded(products=len(goods), created=0, restocked=0)
    assert await database.one("SELECT sum(available) FROM stock") == (sum(stock for _, stock in goods),)


async def test_two_seeds_at_once_deliver_once(shop):
    address, database = shop
    await asyncio.gather(seed(address, *STAFF), seed(address, *STAFF))
    assert await database.one("SELECT sum(available) FROM stock") == (sum(stock for _, stock in read_products()),)
