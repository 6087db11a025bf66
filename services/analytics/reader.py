"""Asks the read model."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.analytics import queries
from services.analytics.domain import Answer, CustomerValue, Days, Group, Question, Rank, Sales
from services.chassis.database import Database
from services.chassis.money import Money

_HIGHEST: Final = 2**63 - 1
_BEFORE_ALL: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of an ordered list begins: after this rank and, within it, after this key."""

    rank: int
    key: str


class SalesReader:
    """Answers, each from one generation."""

    def __init__(self, database: Database) -> None:
        """Keep the database."""
        self._database = database

    async def sales(self, question: Question, after: tuple[str, str], limit: int) -> Answer[Sales]:
        """Return the sums that follow a key and a currency."""
        whole = question.group is Group.DAY and not question.category and question.product_id is None
        parameters = {
            "first": question.days.first,
            "last": question.days.last,
            "category": question.category,
            "product_id": question.product_id,
            "currency_code": question.currency_code,
            "key": after[0],
            "after": after[1],
            "limit": limit,
        }
        statement = queries.DAYS if whole else queries.SALES[question.group]
        generation, rows = await self._ask(statement, parameters)
        return Answer(generation, [Sales(*row) for row in rows])

    async def top_products(
        self, days: Days, currency_code: str, rank: Rank, after: Place | None, limit: int
    ) -> Answer[Sales]:
        """Return the products that sold best after a place."""
        parameters = {
            "first": days.first,
            "last": days.last,
            "currency_code": currency_code,
            "rank": after.rank if after else None,
            "key": after.key if after else "",
            "limit": limit,
        }
        generation, rows = await self._ask(queries.TOP_PRODUCTS[rank], parameters)
        return Answer(generation, [Sales(*row) for row in rows])

    async def funnel(self, days: Days) -> Answer[dict[str, int]]:
        """Return the counts of the steps, in one row."""
        generation, rows = await self._ask(queries.FUNNEL, {"first": days.first, "last": days.last})
        return Answer(generation, [dict(zip(queries.STEPS, row, strict=True)) for row in rows])

    async def customer(self, customer_id: UUID) -> Answer[CustomerValue]:
        """Return a customer's value in each currency."""
        generation, rows = await self._ask(queries.CUSTOMER, {"customer_id": customer_id})
        return Answer(generation, [_value(*row) for row in rows])

    async def top_customers(
        self, currency_code: str, after: tuple[int, UUID] | None, limit: int
    ) -> Answer[CustomerValue]:
        """Return the customers of highest value after one."""
        rank, customer_id = after or (_HIGHEST, _BEFORE_ALL)
        parameters = {"currency_code": currency_code, "rank": rank, "customer_id": customer_id, "limit": limit}
        generation, rows = await self._ask(queries.TOP_CUSTOMERS, parameters)
        return Answer(generation, [_value(*row) for row in rows])

    async def _ask(self, statement: str, parameters: dict[str, Any]) -> tuple[int, list[tuple[Any, ...]]]:
        """Return the generation and the rows; nothing found is one row of the generation alone."""
        rows = await self._database.all(statement, parameters)
        return rows[0][0], [row[1:] for row in rows if row[1] is not None]


def _value(*row: Any) -> CustomerValue:
    customer_id, placed, orders, refunded, currency_code, value, first, last = row
    return CustomerValue(customer_id, placed, orders, refunded, Money(currency_code, value), first, last)
