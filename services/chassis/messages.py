"""Times and amounts as the messages that all contracts share, and back."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.common.v1 import money_pb2

from services.chassis.money import Money


def timestamp(time: datetime) -> Timestamp:
    """Return a time as a Timestamp."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def now() -> Timestamp:
    """Return the time of this machine's clock."""
    return timestamp(datetime.now(UTC))


def money(amount: Money) -> money_pb2.Money:
    """Return an amount as a message."""
    return money_pb2.Money(currency_code=amount.currency_code, minor_units=amount.minor_units)


def amount(message: money_pb2.Money) -> Money:
    """Return the amount in a message."""
    return Money(message.currency_code, message.minor_units)
