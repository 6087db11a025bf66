"""The read model in PostgreSQL: what is counted, by whole batches."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.analytics import statements
from services.chassis.database import Database

Columns = Mapping[str, Sequence[Any]]
"""What a batch tells, an array per column."""
Parameters = Mapping[str, Any]

_STEPS: Final = {name: statements.step(name) for name in statements.STEPS}
_PAYMENTS: Final = {name: statements.payment(name) for name in ("captured", "refunded")}


class SalesStore:
    """Counts. `heard` are the parameters of the inbox."""

    def __init__(self, database: Database) -> None:
        """Keep the database."""
        self._database = database

    async def place(self, heard: Parameters, orders: Columns) -> None:
        """Count orders that were placed."""
        await self._database.execute(statements.PLACE, {**heard, **orders})

    async def step(self, step: str, heard: Parameters, orders: Columns) -> None:
        """Count a step that orders took."""
        await self._database.execute(_STEPS[step], {**heard, **orders})

    async def pay(self, step: str, heard: Parameters, orders: Columns) -> None:
        """Count amounts of orders that were captured or refunded."""
        await self._database.execute(_PAYMENTS[step], {**heard, **orders})

    async def change_products(self, heard: Parameters, products: Columns) -> None:
        """Keep what products are called, unless something newer is known."""
        await self._database.execute(statements.CHANGE_PRODUCTS, {**heard, **products})
