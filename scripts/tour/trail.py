"""The trail of an order: which service wrote which event when, and who handled it."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from scripts.local_run.supervisor import Shop

PUBLISHERS = ("order", "payment", "inventory")
LISTENERS = (*PUBLISHERS, "notification", "analytics")

WRITTEN = """
SELECT event_id, event_type, create_time, publish_time FROM outbox WHERE aggregate_id = %s ORDER BY position
"""
HANDLED = "SELECT event_id, consumer, create_time FROM inbox WHERE event_id = ANY(%s)"


@dataclass(frozen=True)
class Mark:
    """Something that happened to an event."""

    time: datetime
    service: str
    event: str
    what: str


def trail_of(shop: Shop, order_id: str) -> list[Mark]:
    """Return what is known of an order's events, in order of time."""
    marks: list[Mark] = []
    names: dict[object, str] = {}
    for service in PUBLISHERS:
        with psycopg.connect(shop.database_url(service)) as connection:
            for event_id, event_type, written, published in connection.execute(WRITTEN, (order_id,)):
                names[event_id] = event_type.rpartition(".")[2]
                marks.append(Mark(written, service, names[event_id], "wrote"))
                if published:
                    marks.append(Mark(published, service, names[event_id], "published"))
    for service in LISTENERS:
        with psycopg.connect(shop.database_url(service)) as connection:
            for event_id, _, handled in connection.execute(HANDLED, (list(names),)):
                marks.append(Mark(handled, service, names[event_id], "handled"))
    return sorted(marks, key=lambda mark: mark.time)
