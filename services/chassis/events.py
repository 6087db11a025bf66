"""How an event travels: its subject, and CloudEvents attributes in NATS headers (binary mode)."""

from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zlib import crc32

from services.chassis.call import current_call

PARTITIONS: Final = 16
"""Parts of a stream, so that a consumer can be split. Part of the contract: never changes."""

ID: Final = "ce-id"
TYPE: Final = "ce-type"
AGGREGATE_ID: Final = "ce-subject"
AGGREGATE_VERSION: Final = "ce-aggregateversion"
TRACEPARENT: Final = "traceparent"

_handled: ContextVar[str] = ContextVar("meshmart_event_traceparent", default="")
"""Trace context of the event being handled."""


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


def current_traceparent() -> str:
    """Return the trace context of the call being served or the event being handled; empty outside both."""
    call = current_call()
    return call.traceparent if call else _handled.get()


def headers(
    event_id: str, event_type: str, aggregate_id: str, aggregate_version: int, traceparent: str, time: datetime
) -> dict[str, str]:
    """Return the headers of an event. The stream drops a second message of the same id (within two minutes)."""
    found = {
        "Nats-Msg-Id": event_id,
        "ce-specversion": "1.0",
        ID: event_id,
        "ce-source": _source(event_type),
        TYPE: event_type,
        AGGREGATE_ID: aggregate_id,
        "ce-time": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        AGGREGATE_VERSION: str(aggregate_version),
        "content-type": "application/protobuf",
    }
    if traceparent:
        found[TRACEPARENT] = traceparent
    return found


@cache
def _source(event_type: str) -> str:
    """Return who speaks: `/meshmart/order` for `meshmart.order.v1.OrderPlaced`."""
    root, context, *_ = event_type.split(".")
    return f"/{root}/{context}"
