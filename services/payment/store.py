"""Payments in PostgreSQL. Each use case is one statement, so that a crash leaves all of it or nothing."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.chassis import idempotency, inbox, outbox
from services.chassis.database import Database
from services.chassis.money import Money
from services.payment.domain import Brand, Payment, PaymentMethod, State

Parameters = Mapping[str, Any]

HOLD = 86_400.0
"""Seconds for which an amount is held."""

METHOD_COLUMNS = "id, customer_id, brand, last_four, expire_month, expire_year, processor_token, create_time"
PAYMENT_COLUMNS = """payment.order_id, payment.state, payment.customer_id, payment.payment_method_id,
    payment.currency_code, payment.amount, payment.processor_token, payment.expire_time < now(),
    payment.create_time, payment.update_time"""

CREATE_METHOD = f"""
WITH remembered AS ({idempotency.INSERT} VALUES ({idempotency.VALUES}))
INSERT INTO payment_method ({METHOD_COLUMNS})
VALUES (%(id)s, %(customer_id)s, %(brand)s, %(last_four)s, %(expire_month)s, %(expire_year)s, %(processor_token)s,
        %(create_time)s)
"""  # noqa: S608  # only constants of this module are put in

GET_METHOD = f"SELECT {METHOD_COLUMNS} FROM payment_method WHERE id = %s AND customer_id = %s"  # noqa: S608  # as above
LIST_METHODS = f"""
SELECT {METHOD_COLUMNS} FROM payment_method WHERE customer_id = %s AND id < %s ORDER BY id DESC LIMIT %s
"""  # noqa: S608  # as above
GET = f"SELECT {PAYMENT_COLUMNS} FROM payment WHERE order_id = %s"  # noqa: S608  # as above

AUTHORIZE = f"""
WITH held AS (
    INSERT INTO payment (order_id, state, customer_id, payment_method_id, currency_code, amount, processor_token,
                         expire_time, create_time, update_time)
    VALUES (%(order_id)s, 'AUTHORIZED', %(customer_id)s, %(payment_method_id)s, %(currency_code)s, %(amount)s,
            %(processor_token)s, now() + %(hold)s, %(create_time)s, %(create_time)s)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
)
{idempotency.INSERT} SELECT {idempotency.VALUES} FROM held RETURNING request_id
"""  # noqa: S608  # as above

# A payment that is unknown becomes a tombstone, which refuses the authorization that comes late.
VOID = f"""
WITH voided AS (
    INSERT INTO payment (order_id, state) VALUES (%(order_id)s, 'VOIDED')
    ON CONFLICT (order_id) DO UPDATE SET state = 'VOIDED', version = payment.version + 1, update_time = now()
        WHERE payment.state IN ('AUTHORIZED', 'EXPIRED', 'VOIDING', 'VOIDED')
    RETURNING order_id
)
{idempotency.INSERT} SELECT {idempotency.VALUES} FROM voided RETURNING request_id
"""  # noqa: S608  # as above

CLAIM_CAPTURE = f"""
UPDATE payment SET state = 'CAPTURING' WHERE order_id = %s AND state IN ('AUTHORIZED', 'EXPIRED', 'CAPTURING')
RETURNING {PAYMENT_COLUMNS}
"""  # noqa: S608  # as above

# One that another process expires, or captures, at this moment is left to it.
EXPIRE = """
UPDATE payment SET state = 'EXPIRED', version = version + 1, update_time = now()
WHERE order_id = ANY(ARRAY(
    SELECT order_id FROM payment WHERE state = 'AUTHORIZED' AND expire_time <= now()
    ORDER BY expire_time LIMIT %s FOR UPDATE SKIP LOCKED))
"""

CAPTURED = f"""
WITH heard AS ({inbox.INSERT}), captured AS (
    UPDATE payment SET state = 'CAPTURED', version = version + 1, update_time = now()
    WHERE order_id = %(order_id)s AND state = 'CAPTURING'
    RETURNING order_id, currency_code, amount, version
), booked AS (
    INSERT INTO ledger (order_id, kind, debit_account, credit_account, currency_code, amount)
    SELECT order_id, 'CAPTURE', 'processor', 'sales', currency_code, amount FROM captured
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM captured RETURNING aggregate_version
"""  # noqa: S608  # as above

CAPTURE_FAILED = f"""
WITH heard AS ({inbox.INSERT}), failed AS (
    UPDATE payment SET state = 'CAPTURE_FAILED', version = version + 1, update_time = now()
    WHERE order_id = %(order_id)s AND state = 'CAPTURING'
    RETURNING version
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM failed RETURNING aggregate_version
"""  # noqa: S608  # as above

CLAIM_GIVE_BACK = f"""
INSERT INTO payment (order_id, state) VALUES (%s, 'VOIDING')
ON CONFLICT (order_id) DO UPDATE
    SET state = CASE WHEN payment.state IN ('CAPTURED', 'REFUNDING') THEN 'REFUNDING'
                     WHEN payment.state = 'VOIDED' THEN 'VOIDED' ELSE 'VOIDING' END
    WHERE payment.state NOT IN ('CAPTURING', 'REFUNDED')
RETURNING {PAYMENT_COLUMNS}
"""  # noqa: S608  # as above

GIVEN_BACK = f"""
WITH heard AS ({inbox.INSERT}), given AS (
    UPDATE payment
    SET state = CASE state WHEN 'REFUNDING' THEN 'REFUNDED' ELSE 'VOIDED' END, version = version + 1, update_time = now()
    WHERE order_id = %(order_id)s AND state IN ('REFUNDING', 'VOIDING', 'VOIDED')
    RETURNING order_id, state, currency_code, amount, version
), booked AS (
    INSERT INTO ledger (order_id, kind, debit_account, credit_account, currency_code, amount)
    SELECT order_id, 'REFUND', 'sales', 'processor', currency_code, amount FROM given WHERE state = 'REFUNDED'
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM given RETURNING aggregate_version
"""  # noqa: S608  # as above


class PaymentStore:
    """The queries of the payment service. `event`, `heard` and `reply` are parameters of outbox, inbox, idempotency."""

    def __init__(self, database: Database, *, hold: float = HOLD) -> None:
        """Keep the database, and for how many seconds an amount is held."""
        self._database = database
        self._hold = timedelta(seconds=hold)

    async def create_method(self, method: PaymentMethod, reply: Parameters) -> None:
        """Write a new payment method."""
        own = {
            "id": method.id,
            "customer_id": method.customer_id,
            "brand": method.brand.value,
            "last_four": method.last_four,
            "expire_month": method.expire_month,
            "expire_year": method.expire_year,
            "processor_token": method.processor_token,
            "create_time": method.create_time,
        }
        await self._database.execute(CREATE_METHOD, {**own, **reply})

    async def method(self, method_id: UUID, customer_id: UUID) -> PaymentMethod | None:
        """Return a customer's payment method."""
        row = await self._database.one(GET_METHOD, (method_id, customer_id))
        return _method(row) if row else None

    async def methods_of(self, customer_id: UUID, before: UUID, limit: int) -> list[PaymentMethod]:
        """Return a customer's payment methods older than one, newest first."""
        return [_method(row) for row in await self._database.all(LIST_METHODS, (customer_id, before, limit))]

    async def get(self, order_id: UUID) -> Payment | None:
        """Return the payment of an order."""
        return _payment(await self._database.one(GET, (order_id,)))

    async def authorize(self, payment: Payment, amount: Money, reply: Parameters) -> bool:
        """Write an authorization, unless the order has a payment or a tombstone."""
        own = {
            "order_id": payment.order_id,
            "customer_id": payment.customer_id,
            "payment_method_id": payment.payment_method_id,
            "currency_code": amount.currency_code,
            "amount": amount.minor_units,
            "processor_token": payment.processor_token,
            "create_time": payment.create_time,
            "hold": self._hold,
        }
        return await self._database.one(AUTHORIZE, {**own, **reply}) is not None

    async def void(self, order_id: UUID, reply: Parameters) -> bool:
        """Void the payment of an order, or write a tombstone; False when its amount was taken."""
        return await self._database.one(VOID, {"order_id": order_id, **reply}) is not None

    async def expire(self, limit: int) -> int:
        """Expire holds past their time, the oldest first; return how many."""
        return await self._database.execute(EXPIRE, (limit,))

    async def claim_capture(self, order_id: UUID) -> Payment | None:
        """Begin to capture; None when there is nothing to capture."""
        return _payment(await self._database.one(CLAIM_CAPTURE, (order_id,)))

    async def captured(self, order_id: UUID, heard: Parameters, event: Parameters) -> None:
        """Write a capture and its booking."""
        await self._database.one(CAPTURED, {"order_id": order_id, **heard, **event})

    async def capture_failed(self, order_id: UUID, heard: Parameters, event: Parameters) -> None:
        """Write that the amount could not be taken."""
        await self._database.one(CAPTURE_FAILED, {"order_id": order_id, **heard, **event})

    async def claim_give_back(self, order_id: UUID) -> Payment | None:
        """Begin to void or refund, or write a tombstone; None while it is being captured or once it was refunded."""
        return _payment(await self._database.one(CLAIM_GIVE_BACK, (order_id,)))

    async def given_back(self, order_id: UUID, heard: Parameters, event: Parameters) -> None:
        """Write what was voided or refunded, with its booking."""
        await self._database.one(GIVEN_BACK, {"order_id": order_id, **heard, **event})

    async def heard(self, heard: Parameters) -> None:
        """Note an event that changes nothing."""
        await self._database.execute(inbox.INSERT, heard)


def _method(row: Sequence[Any]) -> PaymentMethod:
    method_id, customer_id, brand, *rest = row
    return PaymentMethod(method_id, customer_id, Brand(brand), *rest)


def _payment(row: Sequence[Any] | None) -> Payment | None:
    if row is None:
        return None
    order_id, state, customer_id, method_id, currency, amount, token, lapsed, created, updated = row
    money = None if amount is None else Money(currency, amount)
    return Payment(order_id, State(state), customer_id, method_id, money, token, lapsed, created, updated)
