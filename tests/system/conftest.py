"""The whole shop, filled with products, and whole again before and after each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.local_run.supervisor import Shop
from tests.support.fronts import Fronts
from tests.system.shopper import Shopper
from tests.system.state import mend


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Shop:
    """Return the shop that a test asks for: each service a process, or all in one where it is parametrized so."""
    shop: Shop = request.getfixturevalue(getattr(request, "param", "separate_shop"))
    return shop


@pytest.fixture(scope="session")
def filled() -> set[str]:
    """Return the addresses of the shops that have products."""
    return set()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(running: Shop, filled: set[str]) -> AsyncIterator[Shop]:
    """Return a shop with products, of which all parts run and are up."""
    await mend(running)
    if running.url not in filled:
        await seed(f"127.0.0.1:{running.ports.edge}", STAFF_EMAIL, running.secrets.staff_password)
        filled.add(running.url)
    yield running
    await mend(running)


@pytest_asyncio.fixture(loop_scope="session")
async def fronts(shop: Shop) -> AsyncIterator[Fronts]:
    """Return a REST and a gRPC client of the edge."""
    async with Fronts(shop.ports.edge) as clients:
        yield clients


@pytest_asyncio.fixture(loop_scope="session")
async def shopper(shop: Shop, fronts: Fronts) -> Shopper:
    """Return a new customer, signed in."""
    return await Shopper(shop, fronts).enter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look for secrets in the logs after everything else has written to them."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")
