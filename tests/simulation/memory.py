"""A database as the stores know it, on tables in memory."""

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from services.chassis.database import Database
from tests.simulation.tables.chassis import Parameters, Row, Statement, Tables

Ask = Callable[[str, Parameters, Callable[[], list[Row]]], Awaitable[list[Row]]]
"""Carries a statement to the database: its name, its parameters, and what it does there in one step."""


class MemoryDatabase:
    """Runs those statements that were written again for tables in memory. A KeyError shows one that was not."""

    def __init__(self, tables: Tables, statements: Mapping[str, Statement], ask: Ask) -> None:
        """Keep where the tables are and how to get there."""
        self._tables, self._statements, self._ask = tables, statements, ask

    async def one(self, statement: str, parameters: Parameters = None) -> Row | None:
        """Run a statement and return its first row; None without one."""
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def all(self, statement: str, parameters: Parameters = None) -> list[Row]:
        """Run a statement and return its rows."""
        run = self._statements[statement]
        return await self._ask(run.__name__, parameters, lambda: run(self._tables, parameters))

    async def execute(self, statement: str, parameters: Parameters = None) -> int:
        """Run a statement and return how many rows it touched."""
        return len(await self.all(statement, parameters))


def as_database(database: MemoryDatabase) -> Database:
    """Return it as what stores ask for: they use no more of it than this has."""
    return cast("Database", database)


async def at_once(name: str, parameters: Parameters, run: Callable[[], list[Row]]) -> list[Row]:
    """Ask a database that nothing lies in front of."""
    return run()
