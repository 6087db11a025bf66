"""Answers as the contract's messages."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from meshmart.analytics.v1 import sales_pb2
from meshmart.common.v1.money_pb2 import Money

from services.analytics.domain import CustomerValue, Group, Sales
from services.chassis.freshness import Reached
from services.chassis.messages import money, timestamp


def sales(value: Sales, group: Group) -> sales_pb2.Sales:
    """Return sums as a message; what they are summed by says what their key is."""
    keys = {
        Group.DAY: {"day": value.key},
        Group.CATEGORY: {"category": value.category},
        Group.PRODUCT: {"product_id": value.key, "display_name": value.display_name, "category": value.category},
    }
    return sales_pb2.Sales(
        **keys[group],
        orders=value.orders,
        refunded_orders=value.refunded_orders,
        units=value.units,
        captured=Money(currency_code=value.currency_code, minor_units=value.captured),
        refunded=Money(currency_code=value.currency_code, minor_units=value.refunded),
        revenue=Money(currency_code=value.currency_code, minor_units=value.revenue),
    )


def customer_value(value: CustomerValue) -> sales_pb2.CustomerValue:
    """Return a customer's value as a message."""
    return sales_pb2.CustomerValue(
        customer_id=str(value.customer_id),
        placed_orders=value.placed_orders,
        orders=value.orders,
        refunded_orders=value.refunded_orders,
        value=money(value.value),
        first_order_time=timestamp(value.first_order_time),
        last_order_time=timestamp(value.last_order_time),
    )


def freshness(reached: Reached, generation: int) -> sales_pb2.Freshness:
    """Say how up to date an answer is that is given now."""
    message = sales_pb2.Freshness(pending_events=reached.pending, generation=generation)
    if reached.as_of is not None:
        message.as_of.FromDatetime(reached.as_of)
        lag = Duration()
        lag.FromTimedelta(datetime.now(UTC) - reached.as_of)
        message.lag.CopyFrom(lag)
    return message
