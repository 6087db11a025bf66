"""What operators do on the tour: find an event that could not be handled, give it back, and rebuild a read model."""

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg

from scripts.local_run.process import ROOT
from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.supervisor import Shop
from scripts.tour.customer import Customer, TourError, require

PATIENCE = 30.0
"""Seconds within which what is waited for must have happened."""
_LOOK_AGAIN = 0.1

LOSE_TABLE: LiteralString = "ALTER TABLE notification RENAME TO notification_lost"
FIND_TABLE: LiteralString = "ALTER TABLE IF EXISTS notification_lost RENAME TO notification"


class Operator:
    """Somebody who runs the shop: has the broker's operator, the databases, and staff's rights."""

    def __init__(self, shop: Shop, customer: Customer) -> None:
        """Say which shop; staff comes in by the same door as the customer."""
        self._shop = shop
        self._staff = Customer(customer.http, customer.channel, STAFF_EMAIL, shop.secrets.staff_password)

    async def lose_a_table(self) -> None:
        """Break notification as a migration gone wrong would."""
        await self._alter(LOSE_TABLE)

    async def find_the_table(self) -> None:
        """Mend notification, if it is broken."""
        await self._alter(FIND_TABLE)

    async def dead_letter_of(self, order_id: str) -> dict[str, Any]:
        """Return notification's dead letter of an order, once there is one."""
        async with asyncio.timeout(PATIENCE):
            while True:
                lines = await self._events("dead", "list", "--service", "notification", "--json")
                letters = [letter for letter in map(json.loads, lines) if letter["aggregate_id"] == order_id]
                if letters:
                    found: dict[str, Any] = letters[0]
                    return found
                await asyncio.sleep(_LOOK_AGAIN)

    async def redrive_all(self) -> None:
        """Give all dead letters back to be handled."""
        await self._events("dead", "redrive", "--all")

    async def replay_analytics(self) -> str:
        """Rebuild the figures from all events; return the last line that the command printed."""
        lines = await _run("replay", "analytics", environment=self._shop.environment("analytics"))
        return lines[-1]

    async def sales(self) -> dict[str, Any]:
        """Return sales by product as staff sees them, once they reach up to now."""
        if not self._staff.token:
            await self._staff.open_session()
        now = datetime.now(UTC)
        today = now.date()
        days = {"days.first": f"{today - timedelta(days=30)}", "days.last": f"{today + timedelta(days=1)}"}
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self._staff.rest(
                    "GET", "/v1/sales:query", groupBy="GROUP_BY_PRODUCT", pageSize=100, **days
                )
                if (as_of := answer["freshness"].get("asOf")) and datetime.fromisoformat(as_of) >= now:
                    return answer
                await asyncio.sleep(_LOOK_AGAIN)

    async def _alter(self, statement: LiteralString) -> None:
        url = self._shop.database_url("notification")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(statement)

    async def _events(self, *arguments: str) -> list[str]:
        return await _run(*arguments, environment=self._shop.operator_environment())


async def _run(*arguments: str, environment: Mapping[str, str]) -> list[str]:
    """Run `python -m services events ...`; return the lines it printed. Raises TourError where it fails."""
    command = ["-m", "services", "events", *arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env=dict(environment),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, complaint = await process.communicate()
    if process.returncode:
        raise TourError(f"{' '.join(command)} ended with {process.returncode}: {complaint.decode().strip()}")
    require(not complaint, complaint.decode())
    return printed.decode().splitlines()
