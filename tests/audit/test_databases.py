"""The audit reads the real databases, and ends with 1 once something in them is broken."""

import psycopg
import pytest

from services.audit.cli import audit, main
from services.chassis.ids import new_id

ORDER = """
INSERT INTO orders (id, customer_id, payment_method_id, state, version, currency_code, total, lines, changes)
VALUES (%(order)s, %(order)s, %(order)s, 'COMPLETED', 3, 'EUR', 900,
        jsonb_build_array(jsonb_build_object('product_id', %(product)s::text, 'quantity', 2)),
        '[{"state": "CONFIRMED", "time": "2026-11-21T10:00:00Z"}, {"state": "COMPLETED", "time": "2026-11-21T10:00:01Z"}]')
"""
PAYMENT = """
WITH paid AS (
    INSERT INTO payment (order_id, state, currency_code, amount) VALUES (%(order)s, 'CAPTURED', 'EUR', 900)
)
INSERT INTO ledger (order_id, kind, debit_account, credit_account, currency_code, amount)
VALUES (%(order)s, 'CAPTURE', 'processor', 'sales', 'EUR', 900)
"""
STOCK = """
WITH delivered AS (INSERT INTO movement (product_id, quantity) VALUES (%(product)s, 10)), counted AS (
    INSERT INTO stock (product_id, available, sold, received) VALUES (%(product)s, 8, 2, 10)
)
INSERT INTO reservation (order_id, state, product_ids, quantities)
VALUES (%(order)s, 'COMMITTED', ARRAY[%(product)s], ARRAY[2])
"""


def run(url: str, *statements: str, **parameters) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement, parameters or None)


@pytest.fixture
async def urls(database_url) -> list[str]:
    """Return the databases of order, payment and inventory, after one order that went well."""
    urls = [await database_url(name) for name in ("order", "payment", "inventory")]
    ids = {"order": new_id(), "product": new_id()}
    for url, statement in zip(urls, (ORDER, PAYMENT, STOCK), strict=True):
        run(url, statement, **ids)
    return urls


def test_a_shop_where_all_is_well_is_clean(urls):
    report = audit(urls)

    assert (report.orders, report.findings) == (1, {})


@pytest.mark.parametrize(
    ("database", "statement", "rule"),
    [
        (0, "UPDATE orders SET state = 'PENDING'", "no_order_is_lost"),
        (1, "DELETE FROM payment", "confirmed_means_authorized"),
        (1, "UPDATE ledger SET amount = 1800", "captured_only_for_confirmed"),
        (2, "DELETE FROM reservation", "confirmed_means_reserved"),
        (2, "UPDATE movement SET quantity = 9", "stock_equals_what_was_delivered"),
        (2, "UPDATE stock SET sold = 1, available = 9", "stock_equals_what_is_held"),
        (
            2,
            "ALTER TABLE stock DROP CONSTRAINT stock_available; UPDATE stock SET available = -1, sold = 11",
            "stock_is_never_negative",
        ),
    ],
)
def test_what_is_broken_is_found(urls, monkeypatch, capsys, database, statement, rule):
    monkeypatch.setattr("services.audit.cli.BETWEEN_LOOKS", 0)
    for name, url in zip(("ORDER", "PAYMENT", "INVENTORY"), urls, strict=True):
        monkeypatch.setenv(f"MESHMART_{name}_DATABASE_URL", url)
    run(urls[database], *statement.split("; "))

    assert main([]) == 1
    assert f"{rule}: " in capsys.readouterr().out


def test_a_missing_address_is_named():
    with pytest.raises(SystemExit) as stopped:
        main([])

    assert "MESHMART_ORDER_DATABASE_URL" in str(stopped.value)
