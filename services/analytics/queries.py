"""The questions to the read model. Each answers from the current generation, and says which that is."""
# ruff: noqa: S608  # only constants of this module and the chassis are put in

from typing import Final

from services.analytics.domain import Group, Rank
from services.chassis import generations

_SUMS: Final = "orders, refunded_orders, units, captured, refunded"
_SUMMED: Final = ", ".join(f"sum({column})::bigint AS {column}" for column in _SUMS.split(", "))

_BY_PRODUCT: Final = """product_sales AS sales
    LEFT JOIN product ON product.generation = sales.generation AND product.product_id = sales.product_id"""
_CATEGORY: Final = "coalesce(product.category, '')"
_NAME: Final = "coalesce(product.display_name, '')"
_IN_DAYS: Final = "sales.generation = current.number AND day BETWEEN %(first)s AND %(last)s"
_IN_CURRENCY: Final = "(%(currency_code)s = '' OR currency_code = %(currency_code)s)"


def _from_current(question: str) -> str:
    """Return a statement that answers even when there is nothing, for the number of the generation."""
    return f"""
WITH current AS ({generations.CURRENT})
SELECT current.number, found.* FROM current LEFT JOIN LATERAL ({question}) AS found ON true
"""


# Without a filter a day is one row for each currency, however many products were sold.
DAYS: Final = _from_current(f"""
    SELECT day::text AS key, '' AS display_name, '' AS category, currency_code, {_SUMS}
    FROM day_sales AS sales
    WHERE {_IN_DAYS} AND {_IN_CURRENCY} AND (day::text, currency_code) > (%(key)s, %(after)s)
    ORDER BY key, currency_code LIMIT %(limit)s""")


def _sales(key: str, name: str, category: str) -> str:
    return _from_current(f"""
    SELECT * FROM (
        SELECT {key} AS key, {name} AS display_name, {category} AS category, currency_code, {_SUMMED}
        FROM {_BY_PRODUCT}
        WHERE {_IN_DAYS} AND {_IN_CURRENCY} AND (%(category)s = '' OR {_CATEGORY} = %(category)s)
            AND (%(product_id)s::uuid IS NULL OR sales.product_id = %(product_id)s)
        GROUP BY 1, 2, 3, 4
    ) AS summed
    WHERE (key, currency_code) > (%(key)s, %(after)s) ORDER BY key, currency_code LIMIT %(limit)s""")


SALES: Final = {
    Group.DAY: _sales("day::text", "''", "''"),
    Group.CATEGORY: _sales(f'{_CATEGORY} COLLATE "C"', "''", _CATEGORY),
    Group.PRODUCT: _sales("sales.product_id::text", _NAME, _CATEGORY),
}


def _top(rank: str) -> str:
    return _from_current(f"""
    SELECT * FROM (
        SELECT sales.product_id::text AS key, {_NAME} AS display_name, {_CATEGORY} AS category, currency_code, {_SUMMED}
        FROM {_BY_PRODUCT}
        WHERE {_IN_DAYS} AND currency_code = %(currency_code)s
        GROUP BY 1, 2, 3, 4
    ) AS summed
    WHERE %(rank)s::bigint IS NULL OR ({rank}) < %(rank)s OR (({rank}) = %(rank)s AND key > %(key)s)
    ORDER BY ({rank}) DESC, key LIMIT %(limit)s""")


TOP_PRODUCTS: Final = {Rank.REVENUE: _top("captured - refunded"), Rank.UNITS: _top("units")}

STEPS: Final = ("placed", "confirmed", "captured", "capture_failed", "rejected", "cancelled", "refunded", "closed")
FUNNEL: Final = _from_current(f"""
    SELECT {", ".join(f"coalesce(sum({step}), 0)::bigint" for step in STEPS)} FROM funnel AS sales WHERE {_IN_DAYS}""")

_VALUE: Final = """customer_id, placed_orders, orders, refunded_orders, currency_code, value, first_order_time,
        last_order_time"""
CUSTOMER: Final = _from_current(f"""
    SELECT {_VALUE} FROM customer_value
    WHERE generation = current.number AND customer_id = %(customer_id)s ORDER BY currency_code""")

# The condition on `value` alone is what the index begins at; the one on both leaves out what was shown.
TOP_CUSTOMERS: Final = _from_current(f"""
    SELECT {_VALUE} FROM customer_value
    WHERE generation = current.number AND currency_code = %(currency_code)s AND value <= %(rank)s
        AND (value < %(rank)s OR customer_id > %(customer_id)s)
    ORDER BY value DESC, customer_id LIMIT %(limit)s""")
