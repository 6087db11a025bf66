"""Stock in PostgreSQL: its figures, deliveries, and what the world was told of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from services.chassis import idempotency, outbox
from services.chassis.database import Database, Row
from services.inventory.domain import Stock

Parameters = Mapping[str, Any]

COLUMNS = "product_id, available, reserved, sold, update_time"

GET = f"SELECT {COLUMNS} FROM stock WHERE product_id = ANY(%(product_ids)s)"  # noqa: S608  # a constant

RESTOCK = f"""
WITH delivered AS (
    INSERT INTO movement (product_id, quantity) VALUES (%(product_id)s, %(quantity)s) RETURNING product_id, quantity
)
INSERT INTO stock (product_id, available, received) SELECT product_id, quantity, quantity FROM delivered
ON CONFLICT (product_id) DO UPDATE
SET available = stock.available + excluded.available, received = stock.received + excluded.received,
    version = stock.version + 1, update_time = now()
RETURNING {COLUMNS}
"""  # noqa: S608  # constants of this module

REMEMBER = f"{idempotency.INSERT} VALUES ({idempotency.VALUES})"

# A watermark is a transaction that had not ended when the figures were read, while all before it had: whoever asks
# for publications from there on misses none. Waits for the oldest transaction that writes, in any database of the server.
WATERMARK = "(SELECT pg_snapshot_xmin(pg_current_snapshot()) AS watermark) AS now"
WATCHED = "(%(product_ids)s::uuid[] IS NULL OR product_id = ANY(%(product_ids)s::uuid[]))"

FIGURES = f"""
SELECT watermark::text::bigint, {COLUMNS} FROM {WATERMARK} LEFT JOIN stock ON {WATCHED}
"""  # noqa: S608  # constants of this module

FIGURES_SINCE = f"""
SELECT watermark::text::bigint, {COLUMNS} FROM {WATERMARK}
LEFT JOIN stock ON published_xid >= %(since)s::text::xid8 AND published_xid < watermark AND {WATCHED}
"""  # noqa: S608  # constants of this module

BEHIND = "SELECT product_id FROM stock WHERE version > published_version"

NEWS = """
SELECT product_id, available, update_time, version, published_version, published_available
FROM stock WHERE product_id = ANY(%(product_ids)s) AND version > published_version
"""

# A product that another process published since it was read is left out.
PUBLISH = f"""
WITH locked AS (
    SELECT news.* FROM unnest(
        %(product_ids)s::uuid[], %(versions)s::bigint[], %(available)s::bigint[], %(published_versions)s::bigint[]
    ) AS news (product_id, version, available, published_version)
    JOIN stock ON stock.product_id = news.product_id AND stock.published_version = news.published_version
    ORDER BY stock.product_id FOR NO KEY UPDATE OF stock
), published AS (
    UPDATE stock SET published_version = locked.version, published_available = locked.available,
        published_xid = pg_current_xact_id()
    FROM locked WHERE stock.product_id = locked.product_id
    RETURNING stock.product_id, locked.version
), announced AS (
    {outbox.INSERT}
    SELECT event_id, subject, event_type, aggregate_id, payload, traceparent, version
    FROM unnest(
        %(event_id)s::uuid[], %(event_subject)s::text[], %(event_type)s::text[], %(event_aggregate_id)s::text[],
        %(event_payload)s::bytea[], %(event_traceparent)s::text[]
    ) WITH ORDINALITY AS event (event_id, subject, event_type, aggregate_id, payload, traceparent, place)
    JOIN published ON published.product_id = event.aggregate_id::uuid
    ORDER BY place
)
SELECT product_id FROM published
"""  # noqa: S608  # constants of this module and the chassis

EVENT = ("event_id", "event_subject", "event_type", "event_aggregate_id", "event_payload", "event_traceparent")


@dataclass(frozen=True, slots=True)
class News:
    """A product whose figures changed since the world was told of them."""

    stock: Stock
    version: int
    published_version: int
    published_available: int

    @property
    def changed(self) -> bool:
        """Whether other units are available than was told."""
        return self.stock.available != self.published_available

    @property
    def depleted(self) -> bool:
        """Whether there were units to buy, and now there are none."""
        return self.stock.available == 0 < self.published_available


class StockStore:
    """The queries on stock."""

    def __init__(self, database: Database) -> None:
        """Keep the database."""
        self._database = database

    async def of_products(self, product_ids: Sequence[UUID]) -> list[Stock]:
        """Return the stock of products in their order; zero of those that were never restocked."""
        rows = await self._database.all(GET, {"product_ids": product_ids})
        found = {row[0]: Stock(*row) for row in rows}
        return [found.get(product_id) or Stock(product_id) for product_id in product_ids]

    async def restock(self, product_id: UUID, quantity: int, reply_of: Callable[[Stock], Parameters]) -> Stock:
        """Add delivered units. The reply tells the figures after that, so it is written by a second statement."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(RESTOCK, {"product_id": product_id, "quantity": quantity})
            stock = Stock(*cast("Row", await cursor.fetchone()))
            await connection.execute(REMEMBER, reply_of(stock))
        return stock

    async def figures(self, product_ids: Sequence[UUID] | None) -> tuple[int, list[Stock]]:
        """Return a watermark and the stock of products (None: of all), as it is."""
        return _watermarked(await self._database.all(FIGURES, {"product_ids": product_ids}))

    async def figures_since(self, watermark: int, product_ids: Sequence[UUID] | None) -> tuple[int, list[Stock]]:
        """Return the next watermark and the stock of those products whose change was published in between."""
        parameters = {"since": str(watermark), "product_ids": product_ids}
        return _watermarked(await self._database.all(FIGURES_SINCE, parameters))

    async def behind(self) -> list[UUID]:
        """Return the products with unpublished changes. Reads all of the stock."""
        return [row[0] for row in await self._database.all(BEHIND)]

    async def news(self, product_ids: Sequence[UUID]) -> list[News]:
        """Return those of the products whose changes are unpublished."""
        rows = await self._database.all(NEWS, {"product_ids": product_ids})
        return [News(Stock(row[0], row[1], update_time=row[2]), *row[3:]) for row in rows]

    async def publish(self, news: Sequence[News], events: Sequence[Parameters]) -> set[UUID]:
        """Note changes as published, with their events. Return the products for which nobody else did so first."""
        columns = {name: [event[name] for event in events] for name in EVENT}
        own = {
            "product_ids": [item.stock.product_id for item in news],
            "versions": [item.version for item in news],
            "available": [item.stock.available for item in news],
            "published_versions": [item.published_version for item in news],
        }
        return {row[0] for row in await self._database.all(PUBLISH, {**columns, **own})}


def _watermarked(rows: Sequence[Row]) -> tuple[int, list[Stock]]:
    return rows[0][0], [Stock(*row[1:]) for row in rows if row[1] is not None]
