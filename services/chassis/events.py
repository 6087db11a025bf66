"""How an event travels: its subject, and CloudEvents attributes in NATS headers (binary mode)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zlib import crc32

from services.chassis.tracing import HEADER

PARTITIONS: Final = 16
"""Parts of a stream, so that a consumer can be split. Part of the contract: never changes."""

ID: Final = "ce-id"
TYPE: Final = "ce-type"
TIME: Final = "ce-time"
AGGREGATE_ID: Final = "ce-subject"
AGGREGATE_VERSION: Final = "ce-aggregateversion"
TRACEPARENT: Final = "traceparent"


def partition(aggregate_id: str) -> int:
    """Return the part of the stream that an aggregate's events are in."""
    return crc32(aggregate_id.encode()) % PARTITIONS


def subject(event_type: str, aggregate_id: str) -> str:
    """Return where an event is published: `meshmart.order.v1.OrderPlaced.7`."""
    return f"{event_type}.{partition(aggregate_id)}"


@cache
def stream_name(package: str) -> str:
    """Return the stream of a publishing context: `meshmart_order_v1` for `meshmart.order.v1`."""
    return package.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is said of an event beside its payload."""

    event_id: str
    event_type: str
    """Full name of the message, for example `meshmart.order.v1.OrderPlaced`."""
    aggregate_id: str
    aggregate_version: int
    time: datetime

    def headers(self, traceparent: str) -> dict[str, str]:
        """Return the headers. The stream drops a second message of the same id (within two minutes)."""
        return {
            "Nats-Msg-Id": self.event_id,
            "ce-specversion": "1.0",
            ID: self.event_id,
            "ce-source": _source(self.event_type),
            TYPE: self.event_type,
            AGGREGATE_ID: self.aggregate_id,
            TIME: self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            AGGREGATE_VERSION: str(self.aggregate_version),
            "content-type": "application/protobuf",
            HEADER: traceparent,
        }


@cache
def _source(event_type: str) -> str:
    """Return who speaks: `/meshmart/order` for `meshmart.order.v1.OrderPlaced`."""
    root, context, *_ = event_type.split(".")
    return f"/{root}/{context}"
