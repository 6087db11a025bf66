"""Waiting for what other processes do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK = 0.05
"""Seconds between two looks."""


async def eventually(look: Callable[[], Awaitable[T]], expected: object, within: float = 30.0) -> T:
    """Return once `look` sees what is expected; fail with what it saw last."""
    seen: object = "nothing"
    try:
        async with asyncio.timeout(within):
            while True:
                seen = now = await look()
                if now == expected:
                    return now
                await asyncio.sleep(LOOK)
    except TimeoutError:
        raise AssertionError(f"after {within:.0f} s it was {seen!r}, expected {expected!r}") from None
