"""Preferences in PostgreSQL. A customer without any wants everything."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from services.chassis import idempotency
from services.chassis.database import Database
from services.notification.domain import Kind, Preferences

Parameters = Mapping[str, Any]

FIND = "SELECT mail_enabled, muted_kinds, version, update_time FROM preferences WHERE customer_id = %s"

# Nothing is written, and no reply remembered, when another version came in between.
REPLACE = f"""
WITH replaced AS (
    INSERT INTO preferences (customer_id, mail_enabled, muted_kinds, version, update_time)
    VALUES (%(customer_id)s, %(mail_enabled)s, %(muted_kinds)s, %(version)s, %(update_time)s)
    ON CONFLICT (customer_id) DO UPDATE SET mail_enabled = excluded.mail_enabled, muted_kinds = excluded.muted_kinds,
        version = excluded.version, update_time = excluded.update_time
    WHERE preferences.version = excluded.version - 1
    RETURNING version
)
{idempotency.INSERT} SELECT {idempotency.VALUES} FROM replaced RETURNING request_id
"""  # noqa: S608  # only constants of the chassis are put in

UNSUBSCRIBE = """
INSERT INTO preferences (customer_id, mail_enabled, version, update_time) VALUES (%s, false, 1, now())
ON CONFLICT (customer_id) DO UPDATE
SET mail_enabled = false, version = preferences.version + 1, update_time = now()
WHERE preferences.mail_enabled
"""


class PreferencesStore:
    """The queries on preferences."""

    def __init__(self, database: Database) -> None:
        """Keep the database."""
        self._database = database

    async def of(self, customer_id: UUID) -> Preferences:
        """Return a customer's preferences."""
        row = await self._database.one(FIND, (customer_id,))
        return (
            Preferences(customer_id, row[0], frozenset(map(Kind, row[1])), *row[2:])
            if row
            else Preferences(customer_id)
        )

    async def change(
        self,
        customer_id: UUID,
        revise: Callable[[Preferences], Preferences],
        reply_of: Callable[[Preferences], Parameters],
    ) -> Preferences:
        """Store what `revise` makes of preferences, with the reply; tried again when they change in between."""
        while True:
            revised = revise(await self.of(customer_id))
            if await self._database.one(REPLACE, {**_parameters(revised), **reply_of(revised)}):
                return revised

    async def unsubscribe(self, customer_id: UUID) -> None:
        """Turn a customer's mails off."""
        await self._database.execute(UNSUBSCRIBE, (customer_id,))


def _parameters(preferences: Preferences) -> dict[str, Any]:
    return {
        "customer_id": preferences.customer_id,
        "mail_enabled": preferences.mail_enabled,
        "muted_kinds": sorted(preferences.muted_kinds),
        "version": preferences.version,
        "update_time": preferences.update_time,
    }
