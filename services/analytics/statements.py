"""The statements that count: each writes a batch of one event, and what follows from it, in one go.

An order is counted from the moment it is known to be placed: what was told before is added then, what is told later at
once. So the sums change exactly once for each event, in whichever order events come. Every statement locks the inbox,
orders and sums one after the other, and each in the order of its key, so that none waits in a circle.
"""
# ruff: noqa: S608  # only constants of this module and the chassis are put in

from typing import Final

from services.chassis import generations

TABLES: Final = ("known_order", "product", "day_sales", "product_sales", "funnel", "customer_value")

STEPS: Final = {
    "placed": "place_time",
    "confirmed": "confirm_time",
    "captured": "capture_time",
    "capture_failed": "capture_fail_time",
    "rejected": "reject_time",
    "cancelled": "cancel_time",
    "refunded": "refund_time",
    "closed": "close_time",
}
"""Steps of the funnel, and the column that says when an order took it."""

_AMOUNTS: Final = {"captured": "captured", "refunded": "refunded"}
_UTC: Final = "AT TIME ZONE 'UTC')::date"


def _heard(event: str) -> str:
    """Return the beginning of a statement: `told` is what is new of a batch, given as arrays that `event` names."""
    return f"""
WITH target AS ({generations.TARGET}
), heard AS ({generations.HEARD}
), told AS (
    SELECT heard.generation, event.* FROM {event} JOIN heard USING (event_id)
)"""


def _noted(step: str, columns: dict[str, str]) -> str:
    """Return the expressions that tell an order something: `counted` are the orders about which it is news."""
    names, values = ", ".join(columns), ", ".join(columns.values())
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return f"""noted AS (
    INSERT INTO known_order (generation, order_id, {names})
    SELECT DISTINCT ON (generation, order_id) generation, order_id, {values} FROM told ORDER BY generation, order_id
    ON CONFLICT (generation, order_id) DO UPDATE SET {changes} WHERE known_order.{STEPS[step]} IS NULL
    RETURNING *
), counted AS (
    SELECT * FROM noted WHERE place_time IS NOT NULL
)"""


def _is_news(step: str, of: str) -> str:
    """Return whether a step of an order is to be counted now: all that are known when it is placed, else its own."""
    if step == "placed":
        return f"{STEPS[of]} IS NOT NULL"
    return "true" if step == of else "false"


def _added(table: str, columns: tuple[str, ...], others: str = "") -> str:
    """Return how a row of sums grows."""
    return ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in columns) + others


def _funnel(step: str) -> str:
    counts = ", ".join(f"count(*) FILTER (WHERE {_is_news(step, of)})" for of in STEPS)
    return f"""funnelled AS (
    INSERT INTO funnel (generation, day, {", ".join(STEPS)})
    SELECT generation, (place_time {_UTC} AS day, {counts} FROM counted GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (generation, day) DO UPDATE SET {_added("funnel", tuple(STEPS))}
)"""


def _customers(step: str) -> str:
    placed = "count(*)" if step == "placed" else "0"
    captured, refunded = _is_news(step, "captured"), _is_news(step, "refunded")
    times = """,
        first_order_time = least(customer_value.first_order_time, excluded.first_order_time),
        last_order_time = greatest(customer_value.last_order_time, excluded.last_order_time)"""
    sums = ("placed_orders", "orders", "refunded_orders", "value")
    return f"""valued AS (
    INSERT INTO customer_value
        (generation, customer_id, currency_code, {", ".join(sums)}, first_order_time, last_order_time)
    SELECT generation, customer_id, currency_code, {placed},
        count(*) FILTER (WHERE {captured}), count(*) FILTER (WHERE {refunded}),
        coalesce(sum(captured) FILTER (WHERE {captured}), 0) - coalesce(sum(refunded) FILTER (WHERE {refunded}), 0),
        min(place_time), max(place_time)
    FROM counted GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (generation, customer_id, currency_code) DO UPDATE SET {_added("customer_value", sums, times)}
)"""


_SUMS: Final = ("orders", "refunded_orders", "units", "captured", "refunded")


def _sales(step: str) -> str:
    """Return the expressions that add captures and refunds to their days, as a whole and by product."""
    return f"""moved AS (
    SELECT generation, (capture_time {_UTC} AS day, currency_code, product_ids, quantities, amounts,
        1 AS orders, 0 AS refunded_orders, 1 AS sign, captured, 0 AS refunded
    FROM counted WHERE {_is_news(step, "captured")}
    UNION ALL
    SELECT generation, (refund_time {_UTC}, currency_code, product_ids, quantities, amounts, 0, 1, -1, 0, refunded
    FROM counted WHERE {_is_news(step, "refunded")}
), by_day AS (
    INSERT INTO day_sales (generation, day, currency_code, {", ".join(_SUMS)})
    SELECT generation, day, currency_code, sum(orders), sum(refunded_orders),
        sum(sign * (SELECT sum(quantity) FROM unnest(quantities) AS quantity)), sum(captured), sum(refunded)
    FROM moved GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (generation, day, currency_code) DO UPDATE SET {_added("day_sales", _SUMS)}
), by_product AS (
    INSERT INTO product_sales (generation, day, product_id, currency_code, {", ".join(_SUMS)})
    SELECT generation, day, product_id, currency_code, sum(orders), sum(refunded_orders), sum(sign * quantity),
        sum(orders * amount), sum(refunded_orders * amount)
    FROM moved, unnest(product_ids, quantities, amounts) AS line (product_id, quantity, amount)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (generation, day, product_id, currency_code) DO UPDATE SET {_added("product_sales", _SUMS)}
)"""


_DONE: Final = "SELECT FROM counted LIMIT 0"

# An array holds no arrays of different lengths, so the lines of an order come as text.
PLACE: Final = f"""{_heard('''unnest(%(event_ids)s::uuid[], %(order_ids)s::uuid[], %(times)s::timestamptz[],
        %(customer_ids)s::uuid[], %(currency_codes)s::text[], %(product_ids)s::text[], %(quantities)s::text[],
        %(amounts)s::text[])
    AS event (event_id, order_id, time, customer_id, currency_code, product_ids, quantities, amounts)''')},
{_noted("placed", {"place_time": "time", "customer_id": "customer_id", "currency_code": "currency_code",
                   "product_ids": "product_ids::uuid[]", "quantities": "quantities::integer[]",
                   "amounts": "amounts::bigint[]"})},
{_funnel("placed")},
{_customers("placed")},
{_sales("placed")}
{_DONE}
"""  # fmt: skip

_EVENT: Final = """unnest(%(event_ids)s::uuid[], %(order_ids)s::uuid[], %(times)s::timestamptz[])
    AS event (event_id, order_id, time)"""
_PAYMENT: Final = """unnest(
        %(event_ids)s::uuid[], %(order_ids)s::uuid[], %(times)s::timestamptz[], %(amounts)s::bigint[])
    AS event (event_id, order_id, time, amount)"""


def step(name: str) -> str:
    """Return the statement for orders that took a step which is counted in the funnel only."""
    return f"{_heard(_EVENT)},\n{_noted(name, {STEPS[name]: 'time'})},\n{_funnel(name)}\n{_DONE}"


def payment(name: str) -> str:
    """Return the statement for orders whose payment was captured or refunded."""
    noted = _noted(name, {STEPS[name]: "time", _AMOUNTS[name]: "amount"})
    return f"{_heard(_PAYMENT)},\n{noted},\n{_funnel(name)},\n{_customers(name)},\n{_sales(name)}\n{_DONE}"


# Of several changes of one product the newest counts, in a batch and in the table.
CHANGE_PRODUCTS: Final = f"""{
    _heard('''unnest(%(event_ids)s::uuid[], %(product_ids)s::uuid[], %(versions)s::bigint[],
        %(display_names)s::text[], %(categories)s::text[])
    AS event (event_id, product_id, version, display_name, category)''')
}
INSERT INTO product (generation, product_id, display_name, category, version)
SELECT DISTINCT ON (generation, product_id) generation, product_id, display_name, category, version
FROM told ORDER BY generation, product_id, version DESC
ON CONFLICT (generation, product_id) DO UPDATE
SET display_name = excluded.display_name, category = excluded.category, version = excluded.version
WHERE product.version < excluded.version
"""
