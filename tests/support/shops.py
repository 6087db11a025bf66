"""The whole shop for tests that need all of it, started at most once per run.

Its keeper lives on the session's event loop, so a test that uses it is marked
`pytest.mark.asyncio(loop_scope="session")`.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest_asyncio

from scripts.local_run.ports import Ports, free_base
from scripts.local_run.supervisor import Shop


@contextmanager
def temporary_state() -> Iterator[Path]:
    """Make a state folder that PostgreSQL's user can reach, and remove it."""
    with tempfile.TemporaryDirectory(prefix="meshmart-shop-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@asynccontextmanager
async def fresh_shop(*, one_process: bool = False) -> AsyncIterator[Shop]:
    """Run a shop of its own: free ports, an empty state folder that is gone afterwards."""
    with temporary_state() as state:
        async with Shop(state, Ports(free_base(), one_process)) as shop:
            yield shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def separate_shop() -> AsyncIterator[Shop]:
    """Return a running shop, each service a process."""
    async with fresh_shop() as shop:
        yield shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_process_shop() -> AsyncIterator[Shop]:
    """Return a running shop, all services one process."""
    async with fresh_shop(one_process=True) as shop:
        yield shop
