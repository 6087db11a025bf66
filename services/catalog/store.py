"""Products in PostgreSQL. Each query is one statement, and each change is written with its event."""
# ruff: noqa: S608  # only constants of this module and the chassis are put into statements

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from services.catalog.domain import Product, SkuTaken, in_order, search_words, unknown_product
from services.chassis import idempotency, outbox
from services.chassis.database import Database
from services.chassis.money import Money

Effects = Mapping[str, Any]
"""Parameters of the event to publish and, where a call is idempotent, of the reply to repeat."""

COLUMNS = """product.id, sku, display_name, description, category, currency_code, minor_units, tags, version,
    create_time, update_time"""

FIND = f"SELECT {COLUMNS} FROM product WHERE id = ANY(%(ids)s)"

# The name is looked up by the id, because a page token has no room for a long name. Before the first product is the id
# of no product, and the empty name.
AFTER = "(display_name, id) > (coalesce((SELECT display_name FROM product WHERE id = %(after)s), ''), %(after)s)"

LIST = f"""
SELECT {COLUMNS} FROM product
WHERE {AFTER}
ORDER BY display_name, id LIMIT %(limit)s
"""

LIST_CATEGORY = f"""
SELECT {COLUMNS} FROM product
WHERE category = %(category)s AND {AFTER}
ORDER BY display_name, id LIMIT %(limit)s
"""

# Misspelt words are looked for only when the words as they are find nothing.
SEARCH = f"""
WITH exact AS (
    SELECT id, ts_rank(document, query)::double precision AS rank
    FROM product, plainto_tsquery('english', %(query)s) AS query
    WHERE document @@ query
), found AS (
    SELECT id, rank FROM exact
    UNION ALL
    SELECT id, rank FROM similar_products(%(words)s::text[]) WHERE NOT EXISTS (SELECT FROM exact)
)
SELECT {COLUMNS}, rank FROM found JOIN product USING (id)
WHERE (rank, id) < (%(rank)s, %(id)s)
ORDER BY rank DESC, id DESC LIMIT %(limit)s
"""

ADD = f"""
WITH added AS (
    INSERT INTO product (id, sku, display_name, description, category, currency_code, minor_units, tags, version,
                         create_time, update_time)
    VALUES (%(id)s, %(sku)s, %(display_name)s, %(description)s, %(category)s, %(currency_code)s, %(minor_units)s,
            %(tags)s, %(version)s, %(create_time)s, %(update_time)s)
), remembered AS ({idempotency.INSERT} VALUES ({idempotency.VALUES}))
{outbox.INSERT} VALUES ({outbox.VALUES}, %(version)s)
"""

LOCK = f"SELECT {COLUMNS} FROM product WHERE id = %(id)s FOR UPDATE"

REPLACE = f"""
WITH replaced AS (
    UPDATE product SET
        display_name = %(display_name)s, description = %(description)s, category = %(category)s,
        currency_code = %(currency_code)s, minor_units = %(minor_units)s, tags = %(tags)s,
        version = %(version)s, update_time = %(update_time)s
    WHERE id = %(id)s
), remembered AS ({idempotency.INSERT} VALUES ({idempotency.VALUES}))
{outbox.INSERT} VALUES ({outbox.VALUES}, %(version)s)
"""

# In order of sku, so that two imports at once wait for each other and not in a circle. What is already as told stays
# untouched.
IMPORT = f"""
INSERT INTO product (id, sku, display_name, description, category, currency_code, minor_units, tags, version,
                     create_time, update_time)
SELECT id, sku, display_name, description, category, currency_code, minor_units, tags, 1, create_time, update_time
FROM jsonb_to_recordset(%(products)s) AS told (
    id uuid, sku text, display_name text, description text, category text, currency_code text, minor_units bigint,
    tags text[], create_time timestamptz, update_time timestamptz)
ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET
    display_name = excluded.display_name, description = excluded.description, category = excluded.category,
    currency_code = excluded.currency_code, minor_units = excluded.minor_units, tags = excluded.tags,
    version = product.version + 1, update_time = excluded.update_time
WHERE (product.display_name, product.description, product.category, product.currency_code, product.minor_units,
       product.tags)
    IS DISTINCT FROM
      (excluded.display_name, excluded.description, excluded.category, excluded.currency_code, excluded.minor_units,
       excluded.tags)
RETURNING {COLUMNS}
"""

ANNOUNCE = f"{outbox.INSERT} VALUES ({outbox.VALUES}, %(version)s)"


class Store:
    """The catalog's database."""

    def __init__(self, database: Database) -> None:
        """Use this database."""
        self._database = database

    async def get(self, ids: Sequence[UUID]) -> list[Product]:
        """Return products in the order of the ids. Raises ProductNotFound for the first unknown one."""
        rows = await self._database.all(FIND, {"ids": ids})
        return in_order(ids, map(_product, rows))

    async def list_by_name(self, category: str, after: UUID, limit: int) -> list[Product]:
        """Return the products that follow another by name, of one category or, when it is empty, of all."""
        statement = LIST_CATEGORY if category else LIST
        position = {"category": category, "after": after, "limit": limit}
        return [_product(row) for row in await self._database.all(statement, position)]

    async def search(self, query: str, after: tuple[float, UUID], limit: int) -> list[tuple[Product, float]]:
        """Return the products that match a query less than a rank and id do, best first, each with its rank."""
        words = search_words(query)
        position = {"query": " ".join(words), "words": words, "rank": after[0], "id": after[1], "limit": limit}
        return [(_product(row), row[-1]) for row in await self._database.all(SEARCH, position)]

    async def add(self, product: Product, effects: Effects) -> None:
        """Store a new product. Raises SkuTaken."""
        try:
            await self._database.execute(ADD, {**_parameters(product), **effects})
        except UniqueViolation as error:
            if error.diag.constraint_name != "product_sku_key":
                raise
            raise SkuTaken("another product has this sku", metadata={"sku": product.sku}) from None

    async def change(
        self, product_id: UUID, revise: Callable[[Product], Product], effects_of: Callable[[Product], Effects]
    ) -> Product:
        """Store what `revise` makes of a product, which nobody else changes meanwhile. Raises ProductNotFound."""
        async with self._database.transaction() as connection:
            row = await (await connection.execute(LOCK, {"id": product_id})).fetchone()
            if row is None:
                raise unknown_product(product_id)
            product = revise(_product(row))
            await connection.execute(REPLACE, {**_parameters(product), **effects_of(product)})
        return product

    async def put_all(self, products: Sequence[Product], effects_of: Callable[[Product], Effects]) -> int:
        """Create or, where the sku exists, replace products, all or none; return how many are new."""
        told = Jsonb([_record(product) for product in products])
        async with self._database.transaction() as connection, connection.cursor() as cursor:
            await cursor.execute(IMPORT, {"products": told})
            written = [_product(row) for row in await cursor.fetchall()]
            await cursor.executemany(ANNOUNCE, [{**effects_of(one), "version": one.version} for one in written])
        return sum(product.version == 1 for product in written)


def _product(row: Sequence[Any]) -> Product:
    return Product(
        row[0], row[1], row[2], row[3], row[4], Money(row[5], row[6]), tuple(row[7]), row[8], row[9], row[10]
    )


def _parameters(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "sku": product.sku,
        "display_name": product.display_name,
        "description": product.description,
        "category": product.category,
        "currency_code": product.price.currency_code,
        "minor_units": product.price.minor_units,
        "tags": list(product.tags),
        "version": product.version,
        "create_time": product.create_time,
        "update_time": product.update_time,
    }


def _record(product: Product) -> dict[str, Any]:
    times = {"create_time": product.create_time.isoformat(), "update_time": product.update_time.isoformat()}
    return _parameters(product) | {"id": str(product.id)} | times
