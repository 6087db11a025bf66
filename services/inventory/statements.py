"""The statements on reservations: each changes one, moves its stock and writes its event, in one go.

All of them lock the reservation first and stock after it, in the order of products, so that none waits in a circle.
Those that answer `product_ids` say whose figures changed; no row means that nothing was done.
"""
# ruff: noqa: S608  # only constants of this module and the chassis are put in

from services.chassis import idempotency, outbox

LINES = "unnest(%(product_ids)s::uuid[], %(quantities)s::int[]) AS line (product_id, quantity)"

# Refuses nearly every order that cannot be had before anything is written; the CHECK on stock refuses the rest.
# No product is missing later that is there now, because rows of stock are never deleted.
ENOUGH = f"""NOT EXISTS (
        SELECT FROM {LINES} LEFT JOIN stock USING (product_id) WHERE coalesce(available, 0) < quantity
    )"""


def _move(source: str, *, available: str = "", reserved: str = "", sold: str = "") -> str:
    """Return the expressions that move the units of the reservation that `source` returned.

    All figures are made from `locked`, which has the newest. The row that UPDATE finds is as old as the statement, and
    PostgreSQL holds the CHECKs against what was made from that before it sees that there is a newer row.
    """
    return f"""units AS (
    SELECT line.product_id, quantity, state FROM {source}, unnest(product_ids, quantities) AS line (product_id, quantity)
), locked AS (
    SELECT stock.*, quantity, state FROM units JOIN stock ON stock.product_id = units.product_id
    ORDER BY stock.product_id FOR NO KEY UPDATE OF stock
), moved AS (
    UPDATE stock SET
        available = locked.available {available}, reserved = locked.reserved {reserved}, sold = locked.sold {sold},
        received = locked.received, version = locked.version + 1, update_time = now()
    FROM locked WHERE stock.product_id = locked.product_id
)"""


def _heard(source: str) -> str:
    """Return the expression that notes an event as heard if `source` did something about it."""
    return f"""heard AS (
    INSERT INTO inbox (consumer, generation, event_id)
    SELECT %(inbox_consumer)s, %(inbox_generation)s, %(inbox_event_id)s FROM {source}
)"""


RESERVE = f"""
WITH held AS (
    INSERT INTO reservation (order_id, state, product_ids, quantities, expire_time)
    SELECT %(order_id)s, 'HELD', %(product_ids)s, %(quantities)s, now() + %(hold)s::interval
    WHERE {ENOUGH}
    RETURNING product_ids, quantities, state
), {_move("held", available="- quantity", reserved="+ quantity")},
remembered AS ({idempotency.INSERT} SELECT {idempotency.VALUES} FROM held)
SELECT true FROM held
"""

COMMIT = f"""
WITH committed AS (
    UPDATE reservation SET state = 'COMMITTED', expire_time = NULL, version = version + 1
    WHERE order_id = %(order_id)s AND state = 'HELD'
    RETURNING product_ids, quantities, state
), {_move("committed", reserved="- quantity", sold="+ quantity")},
{_heard("committed")}
SELECT product_ids FROM committed
"""

TAKE_AGAIN = f"""
WITH taken AS (
    INSERT INTO reservation (order_id, state, product_ids, quantities)
    SELECT %(order_id)s, 'COMMITTED', %(product_ids)s, %(quantities)s WHERE {ENOUGH}
    ON CONFLICT (order_id) DO UPDATE
    SET state = excluded.state, product_ids = excluded.product_ids, quantities = excluded.quantities,
        version = reservation.version + 1
    WHERE reservation.state = 'RELEASED' AND NOT reservation.cancelled
    RETURNING product_ids, quantities, state
), {_move("taken", available="- quantity", sold="+ quantity")},
{_heard("taken")}
SELECT product_ids FROM taken
"""

FAIL_COMMIT = f"""
WITH failed AS (
    INSERT INTO reservation (order_id, state) VALUES (%(order_id)s, 'RELEASED')
    ON CONFLICT (order_id) DO UPDATE SET version = reservation.version + 1
    WHERE reservation.state = 'RELEASED' AND NOT reservation.cancelled
    RETURNING version
), {_heard("failed")}
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM failed RETURNING aggregate_version
"""

# A row that is put in is a tombstone: it has no lines, so it moves nothing and there is nothing to announce.
RELEASE = f"""
WITH released AS (
    INSERT INTO reservation (order_id, state) VALUES (%(order_id)s, 'RELEASED')
    ON CONFLICT (order_id) DO UPDATE
    SET state = 'RELEASED', expire_time = NULL, version = reservation.version + 1
    WHERE reservation.state = 'HELD'
    RETURNING product_ids, quantities, state, version
), {_move("released", available="+ quantity", reserved="- quantity")},
remembered AS ({idempotency.INSERT} SELECT {idempotency.VALUES} FROM released),
announced AS ({outbox.INSERT} SELECT {outbox.VALUES}, version FROM released WHERE product_ids <> '{{}}')
SELECT product_ids FROM released
"""

EXPIRE = f"""
WITH expired AS (
    UPDATE reservation SET state = 'RELEASED', expire_time = NULL, version = version + 1
    WHERE order_id = %(order_id)s AND expire_time <= now()
    RETURNING product_ids, quantities, state, version
), {_move("expired", available="+ quantity", reserved="- quantity")},
announced AS ({outbox.INSERT} SELECT {outbox.VALUES}, version FROM expired)
SELECT product_ids FROM expired
"""

EXPIRED = """
SELECT order_id FROM reservation WHERE expire_time <= now() ORDER BY expire_time LIMIT %(limit)s
"""

WAS_HELD = "- CASE state WHEN 'RELEASED' THEN quantity ELSE 0 END"
WAS_SOLD = "- CASE state WHEN 'RESTOCKED' THEN quantity ELSE 0 END"

# What was held or sold before shows in the state it goes into: RELEASED or RESTOCKED. A tombstone that meets a
# reservation made at the same moment breaks the primary key; the event is then heard again.
CANCEL = f"""
WITH found AS (
    SELECT * FROM reservation WHERE order_id = %(order_id)s FOR NO KEY UPDATE
), ended AS (
    UPDATE reservation SET
        state = CASE found.state WHEN 'COMMITTED' THEN 'RESTOCKED' ELSE 'RELEASED' END,
        expire_time = NULL, cancelled = true, version = found.version + 1
    FROM found WHERE reservation.order_id = found.order_id AND NOT found.cancelled
    RETURNING CASE WHEN found.state IN ('HELD', 'COMMITTED') THEN found.product_ids ELSE '{{}}' END AS product_ids,
        found.quantities, reservation.state, reservation.version
), tombstone AS (
    INSERT INTO reservation (order_id, state, cancelled)
    SELECT %(order_id)s, 'RELEASED', true WHERE NOT EXISTS (SELECT FROM found)
    RETURNING product_ids, quantities, state, version
), cancelled AS (
    SELECT * FROM ended UNION ALL SELECT * FROM tombstone
), {_move("cancelled", available="+ quantity", reserved=WAS_HELD, sold=WAS_SOLD)},
{_heard("cancelled")},
announced AS ({outbox.INSERT} SELECT {outbox.VALUES}, version FROM cancelled)
SELECT product_ids FROM cancelled
"""

FIND = "SELECT state, product_ids, quantities, cancelled FROM reservation WHERE order_id = %(order_id)s"

SHORT = f"SELECT product_id FROM {LINES} LEFT JOIN stock USING (product_id) WHERE coalesce(available, 0) < quantity"
