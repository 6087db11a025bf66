"""The stream of stock: last figures first, then those that changed. What follows closely is merged."""

import asyncio
import hashlib
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final
from uuid import UUID

from meshmart.inventory.v1 import inventory_service_pb2 as pb

from services.inventory import messages
from services.inventory.domain import ResumeTokenInvalid, Stock
from services.inventory.feed import StockFeed
from services.inventory.stock_store import StockStore

POLL_INTERVAL: Final = 0.25
"""Seconds between two looks for what other processes published."""
SILENCE: Final = 20.0
"""Seconds after which a message without stock says that the stream lives, and renews the token."""
PART: Final = 1000
"""Most products in one message."""

_TOKEN: Final = struct.Struct(">Q8s")


def token_of(watermark: int, product_ids: Sequence[UUID]) -> str:
    """Return the token that resumes a watch of products (none: of all) at a watermark."""
    return urlsafe_b64encode(_TOKEN.pack(watermark, _digest(product_ids))).decode().rstrip("=")


def watermark_of(token: str, product_ids: Sequence[UUID]) -> int:
    """Return the watermark of a token. Raises ResumeTokenInvalid unless it was made for the same products."""
    try:
        watermark, digest = _TOKEN.unpack(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (Base64Error, ValueError, struct.error):
        raise _invalid() from None
    if digest != _digest(product_ids):
        raise _invalid()
    return int(watermark)


def _digest(product_ids: Sequence[UUID]) -> bytes:
    return hashlib.sha256(b"".join(sorted(product_id.bytes for product_id in set(product_ids)))).digest()[:8]


def _invalid() -> ResumeTokenInvalid:
    return ResumeTokenInvalid(
        "the resume token is not one of WatchStock for these products", fields={"resume_token": "is not valid"}
    )


class StockWatch:
    """Reads the figures as they are published; each watch asks by itself."""

    def __init__(self, store: StockStore, feed: StockFeed, draining: asyncio.Event) -> None:
        """Keep where figures are, who says that there are new ones, and when to stop."""
        self._store = store
        self._feed = feed
        self._draining = draining

    async def watch(
        self, product_ids: Sequence[UUID], resume_token: str, until: float
    ) -> AsyncIterator[pb.WatchStockResponse]:
        """Yield figures until draining, or `until` by `time.monotonic()`."""
        watermark, stocks = await self._begin(product_ids, resume_token)
        for part in _parts(stocks, resume_token, token_of(watermark, product_ids)):
            yield part
        spoke_at = time.monotonic()
        while not self._draining.is_set() and time.monotonic() < until:
            await self._feed.published(POLL_INTERVAL)
            before = token_of(watermark, product_ids)
            watermark, stocks = await self._store.figures_since(watermark, product_ids or None)
            if stocks or time.monotonic() - spoke_at > SILENCE:
                for part in _parts(stocks, before, token_of(watermark, product_ids)):
                    yield part
                spoke_at = time.monotonic()

    async def _begin(self, product_ids: Sequence[UUID], resume_token: str) -> tuple[int, list[Stock]]:
        if not resume_token:
            watermark, stocks = await self._store.figures(product_ids or None)
            found = {stock.product_id for stock in stocks}
            never_restocked = [Stock(product_id) for product_id in product_ids if product_id not in found]
            return watermark, stocks + never_restocked
        since = watermark_of(resume_token, product_ids)
        watermark, stocks = await self._store.figures_since(since, product_ids or None)
        if watermark < since:
            raise _invalid()
        return watermark, stocks


def _parts(stocks: Sequence[Stock], before: str, after: str) -> Iterator[pb.WatchStockResponse]:
    """Yield messages of bearable size, at least one. Until the last, whoever resumes does so from before them all."""
    starts = range(0, max(len(stocks), 1), PART)
    for start in starts:
        token = after if start == starts[-1] else before
        part = stocks[start : start + PART]
        yield pb.WatchStockResponse(stocks=map(messages.stock, part), resume_token=token)
