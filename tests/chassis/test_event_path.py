"""What a service shows of its events: lag, dead letters and what was published are metrics, and degraded when too much."""

from meshmart.catalog.v1.product_events_pb2 import ProductChanged

from services.catalog.service import SERVICE as CATALOG
from services.chassis.relay import LAG_LIMIT
from tests.chassis.eventing import eventually, write
from tests.support.serving import Served

COPIES = """
INSERT INTO outbox (event_id, subject, event_type, aggregate_id, payload, traceparent, aggregate_version)
SELECT gen_random_uuid(), subject, event_type, number::text, payload, traceparent, 1
FROM outbox, generate_series(2, %s) AS number"""


def metric(served: Served, name: str) -> float:
    """Return what the service shows."""
    for line in served.host.process.metrics.text().decode().splitlines():
        if line.startswith(f'{name}{{service="catalog"'):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"{name} is not shown")


async def test_lag_is_shown_while_the_broker_is_away_and_gone_after(serve, nats):
    served = await serve(CATALOG)

    async def shown() -> tuple[float, float]:
        return metric(served, "outbox_waiting_events"), metric(served, "outbox_published_events_total")

    async def active() -> float:
        return metric(served, "outbox_relay_active")

    await eventually(active, 1.0)
    nats.server.program.kill()
    too_many = LAG_LIMIT.rows + 1
    await write(served.database, ProductChanged(product_id="one"))
    await served.database.execute(COPIES, (too_many,))
    await eventually(shown, (too_many, 0.0))
    assert metric(served, "outbox_oldest_waiting_seconds") > 0
    nats.server.start()
    await eventually(shown, (0.0, too_many))
