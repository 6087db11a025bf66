"""Customers, sessions and signing keys in PostgreSQL. Each use case is one statement."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from services.chassis import idempotency, outbox
from services.chassis.database import Database
from services.identity.domain import REFRESH_TOKEN_LIFETIME, Account, Customer, EmailTaken, Role, Session
from services.identity.keys import PublicKey, SealedKey

ADD_CUSTOMER = f"""
WITH added AS (
    INSERT INTO customer (id, email, display_name, role, password_hash, create_time)
    VALUES (%(customer_id)s, %(email)s, %(display_name)s, %(role)s, %(password_hash)s, %(create_time)s)
), remembered AS ({idempotency.INSERT} VALUES ({idempotency.VALUES}))
{outbox.INSERT} VALUES ({outbox.VALUES}, 1)
"""  # noqa: S608  # only constants of the chassis are put in

FIND_CUSTOMER = "SELECT id, email, display_name, role, create_time FROM customer WHERE id = %(customer_id)s"

FIND_ACCOUNT = "SELECT id, role, password_hash FROM customer WHERE email = %(email)s"

PUT_STAFF = """
WITH staff AS (
    INSERT INTO customer (id, email, display_name, role, password_hash, create_time)
    VALUES (%(customer_id)s, %(email)s, %(display_name)s, 'staff', %(password_hash)s, %(create_time)s)
    ON CONFLICT (email) DO UPDATE SET role = 'staff', password_hash = excluded.password_hash
    RETURNING id
)
UPDATE session SET revoke_time = now() FROM staff WHERE customer_id = staff.id AND revoke_time IS NULL
"""

OPEN_SESSION = """
WITH opened AS (
    INSERT INTO session (id, customer_id, expire_time)
    VALUES (%(session_id)s, %(customer_id)s, now() + %(lifetime)s)
    RETURNING id, expire_time
)
INSERT INTO refresh_token (token_hash, session_id, expire_time)
SELECT %(new_hash)s, id, expire_time FROM opened
RETURNING expire_time
"""

# Of two refreshes at once, the second waits for the first one's row and then finds it spent.
ROTATE = """
WITH spent AS (
    UPDATE refresh_token SET spend_time = now()
    WHERE token_hash = %(spent_hash)s AND spend_time IS NULL AND expire_time > now()
    RETURNING session_id
), extended AS (
    UPDATE session SET expire_time = now() + %(lifetime)s
    FROM spent WHERE id = session_id AND revoke_time IS NULL
    RETURNING id, customer_id, expire_time
), fresh AS (
    INSERT INTO refresh_token (token_hash, session_id, expire_time)
    SELECT %(new_hash)s, id, expire_time FROM extended
)
SELECT extended.id, customer_id, role, expire_time FROM extended JOIN customer ON customer.id = customer_id
"""

REVOKE_REUSED = """
UPDATE session SET revoke_time = now()
FROM refresh_token
WHERE token_hash = %(spent_hash)s AND spend_time IS NOT NULL AND id = session_id AND revoke_time IS NULL
"""

FORGET_EXPIRED = """
WITH tokens AS (DELETE FROM refresh_token WHERE expire_time < now())
DELETE FROM session WHERE expire_time < now()
"""

FIND_ACTIVE_KEY = "SELECT kid, x, y, sealed_private_key FROM signing_key WHERE active"

# The partial unique index on active keys is what decides between replicas.
ADD_FIRST_KEY = """
INSERT INTO signing_key (kid, x, y, sealed_private_key, active)
VALUES (%(kid)s, %(x)s, %(y)s, %(sealed)s, true)
ON CONFLICT DO NOTHING
"""

LIST_PUBLIC_KEYS = """
SELECT kid, x, y FROM signing_key WHERE retire_time IS NULL OR retire_time > now() ORDER BY create_time, kid
"""

_LIFETIME = {"lifetime": REFRESH_TOKEN_LIFETIME}


class Store:
    """Identity's database."""

    def __init__(self, database: Database) -> None:
        """Use this database."""
        self._database = database

    async def add_customer(self, customer: Customer, password_hash: str, effects: Mapping[str, Any]) -> None:
        """Store a customer with the reply to repeat and the event to publish, which `effects` holds."""
        try:
            await self._database.execute(ADD_CUSTOMER, {**_parameters(customer, password_hash), **effects})
        except UniqueViolation as error:
            if error.diag.constraint_name != "customer_email_key":
                raise
            raise EmailTaken("a customer with this address is registered") from None

    async def find_customer(self, customer_id: UUID) -> Customer | None:
        """Return the customer with this id."""
        row = await self._database.one(FIND_CUSTOMER, {"customer_id": customer_id})
        return Customer(row[0], row[1], row[2], Role(row[3]), row[4]) if row else None

    async def find_account(self, email: str) -> Account | None:
        """Return the account that signs in with this address, given in lower case."""
        row = await self._database.one(FIND_ACCOUNT, {"email": email})
        return Account(row[0], Role(row[1]), row[2]) if row else None

    async def put_staff(self, customer: Customer, password_hash: str) -> None:
        """Store the customer as staff with this password; end the sessions of whoever had the address."""
        await self._database.execute(PUT_STAFF, _parameters(customer, password_hash))

    async def open_session(self, session_id: UUID, account: Account, new_hash: bytes) -> Session:
        """Open a session whose first refresh token has this hash."""
        parameters = {"session_id": session_id, "customer_id": account.customer_id}
        row = await self._database.one(OPEN_SESSION, {**parameters, "new_hash": new_hash, **_LIFETIME})
        if row is None:
            raise LookupError("an INSERT returned no row")
        return Session(session_id, account.customer_id, account.role, row[0])

    async def rotate(self, spent_hash: bytes, new_hash: bytes) -> Session | None:
        """Spend one refresh token for another; None when it buys nothing any more."""
        row = await self._database.one(ROTATE, {"spent_hash": spent_hash, "new_hash": new_hash, **_LIFETIME})
        return Session(row[0], row[1], Role(row[2]), row[3]) if row else None

    async def revoke_reused(self, spent_hash: bytes) -> None:
        """Revoke the session whose spent refresh token this is, if it is one."""
        await self._database.execute(REVOKE_REUSED, {"spent_hash": spent_hash})

    async def forget_expired(self) -> None:
        """Delete refresh tokens and sessions that have expired."""
        await self._database.execute(FORGET_EXPIRED)

    async def find_active_key(self) -> SealedKey | None:
        """Return the key that signs."""
        row = await self._database.one(FIND_ACTIVE_KEY)
        return SealedKey(PublicKey(row[0], row[1], row[2]), row[3]) if row else None

    async def add_first_key(self, key: SealedKey) -> None:
        """Store a key as the active one, unless another replica was first."""
        public = key.public
        await self._database.execute(
            ADD_FIRST_KEY, {"kid": public.kid, "x": public.x, "y": public.y, "sealed": key.sealed}
        )

    async def list_public_keys(self) -> list[PublicKey]:
        """Return the key that signs and the retired ones whose tokens may still be alive."""
        return [PublicKey(*row) for row in await self._database.all(LIST_PUBLIC_KEYS)]


def _parameters(customer: Customer, password_hash: str) -> dict[str, Any]:
    return {
        "customer_id": customer.id,
        "email": customer.email,
        "display_name": customer.display_name,
        "role": customer.role.value,
        "password_hash": password_hash,
        "create_time": customer.create_time,
    }
