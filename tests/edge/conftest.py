"""A real Envoy in front of fake services, with tokens minted here."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_run.envoy import Envoy, configuration
from scripts.local_run.ports import SERVICES, free_base
from tests.support.fake_shop import FakeShop
from tests.support.fronts import Fronts
from tests.support.tokens import FakeIdentity


@pytest.fixture(scope="session")
def minter() -> FakeIdentity:
    """Return the only one whose signatures the edge accepts."""
    return FakeIdentity()


@pytest.fixture(scope="session")
def _fake_shop(minter: FakeIdentity) -> Iterator[FakeShop]:
    shop = FakeShop(minter)
    shop.start()
    yield shop
    shop.stop()


@pytest.fixture(scope="session")
def _envoy(_fake_shop: FakeShop) -> Iterator[Envoy]:
    base = free_base()
    services = dict.fromkeys(SERVICES, ("127.0.0.1", _fake_shop.port))
    services["inventory"] = ("127.0.0.1", base + 49)  # nobody is there
    with socket.create_server(("127.0.0.1", 0)) as hung, tempfile.TemporaryDirectory(prefix="meshmart-edge-") as folder:
        services["payment"] = hung.getsockname()  # accepts, but never says a word
        text = configuration(base, base + 1, services)
        edge = Envoy(Path(folder), Path(folder) / "envoy.log", base, base + 1, text)
        edge.start()
        yield edge
        edge.stop()


@pytest.fixture
def shop(_fake_shop: FakeShop) -> FakeShop:
    """Return the fake services, with nothing noted yet."""
    _fake_shop.forget()
    return _fake_shop


@pytest.fixture
async def fronts(_envoy: Envoy, shop: FakeShop):
    """Return a REST and a gRPC client of the edge."""
    async with Fronts(_envoy.port) as clients:
        yield clients
