"""Stores orders that are long done, as the services would have left them, straight into their databases."""

from typing import LiteralString

import psycopg

from scripts.local_run.supervisor import Shop

# The ids of the n-th order, customer and so on: UUIDv7 of the past, a millisecond apart.
ID: LiteralString = "lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0')"

STATEMENTS: dict[str, tuple[LiteralString, ...]] = {
    "order": (
        """
        INSERT INTO orders (id, customer_id, payment_method_id, state, version, currency_code, total, lines, changes)
        SELECT id, md5((n % 50000)::text)::uuid, id, 'COMPLETED', 3, 'EUR', 5997,
            (SELECT jsonb_agg(jsonb_build_object('product_id', md5((n * 3 + line)::text)::uuid, 'display_name',
                'A thing of the shop', 'quantity', 1, 'unit_price', 1999)) FROM generate_series(1, 3) AS line),
            (SELECT jsonb_agg(jsonb_build_object('version', v, 'state', s, 'reason', '', 'time', now()))
                FROM (VALUES (1, 'PENDING'), (2, 'CONFIRMED'), (3, 'COMPLETED')) AS change (v, s))
        FROM {numbers}""",
        """
        INSERT INTO outbox (event_id, subject, event_type, aggregate_id, aggregate_version, payload, traceparent,
                            publish_time)
        SELECT id, 'meshmart.order.v1.OrderConfirmed.0', 'meshmart.order.v1.OrderConfirmed', id, 2,
            repeat('x', 300)::bytea, '', now() FROM {numbers}""",
        """
        INSERT INTO idempotency (principal, method, request_id, request_hash, reply)
        SELECT id::text, '/meshmart.order.v1.OrderService/PlaceOrder', id, sha256(id::text::bytea),
            repeat('x', 400)::bytea FROM {numbers}""",
        "INSERT INTO inbox (consumer, generation, event_id) SELECT 'order_PaymentCaptured', 1, id FROM {numbers}",
    ),
    "payment": (
        """
        INSERT INTO payment (order_id, state, customer_id, payment_method_id, currency_code, amount, processor_token)
        SELECT id, 'CAPTURED', id, id, 'EUR', 5997, 'sim_works_0' FROM {numbers}""",
        """
        INSERT INTO ledger (order_id, kind, debit_account, credit_account, currency_code, amount)
        SELECT id, 'CAPTURE', 'processor', 'sales', 'EUR', 5997 FROM {numbers}""",
        "INSERT INTO inbox (consumer, generation, event_id) SELECT 'payment_OrderConfirmed', 1, id FROM {numbers}",
    ),
    "inventory": (
        """
        INSERT INTO reservation (order_id, state, product_ids, quantities)
        SELECT id, 'COMMITTED', ARRAY[id, id, id], ARRAY[1, 1, 1] FROM {numbers}""",
        "INSERT INTO inbox (consumer, generation, event_id) SELECT 'inventory_OrderConfirmed', 1, id FROM {numbers}",
    ),
}


def prefill(shop: Shop, count: int) -> None:
    """Store orders in the databases of order, payment and inventory. Audits of this shop fail from then on."""
    numbers = f"(SELECT n, ({ID})::uuid AS id FROM generate_series(1, {count:d}) AS n) AS numbers"  # noqa: S608  # a number
    for service, statements in STATEMENTS.items():
        with psycopg.connect(shop.database_url(service), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.replace("{numbers}", numbers))
            connection.execute("VACUUM ANALYZE")
    with psycopg.connect(shop.admin_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")  # or writing all this out would slow down what is measured next
