"""Each change of a product writes its event in the same transaction."""

import pytest
from meshmart.catalog.v1.product_events_pb2 import ProductChanged

from tests.catalog.conftest import told
from tests.support.serving import refusal_of

WRITTEN = "SELECT event_type, aggregate_id, aggregate_version, payload, xmin FROM outbox ORDER BY position"


async def test_a_creation_and_an_update_are_published_with_the_version_they_made(catalog):
    created = await catalog.create(told())
    updated = await catalog.update(
        told(id=created.id, price={"currency_code": "EUR", "minor_units": 900}), "display_name", "price"
    )
    events = await catalog.database.all(WRITTEN)
    assert [event[:3] for event in events] == [
        ("meshmart.catalog.v1.ProductChanged", created.id, 1),
        ("meshmart.catalog.v1.ProductChanged", created.id, 2),
    ]
    assert ProductChanged.FromString(events[-1][3]) == ProductChanged(
        product_id=created.id,
        sku=updated.sku,
        display_name=updated.display_name,
        category=updated.category,
        price=updated.price,
        change_time=updated.update_time,
    )


async def test_an_import_publishes_what_it_changed_in_one_transaction(catalog):
    await catalog.create(told("A-1", "Assam"))
    await catalog.import_all([told("A-1", "Assam"), told("B-1", "Bohea"), told("C-1", "Ceylon")])
    await catalog.import_all([told("B-1", "Better Bohea"), told("C-1", "Ceylon")])
    events = await catalog.database.all(WRITTEN)
    told_of = [(ProductChanged.FromString(event[3]).display_name, event[2]) for event in events]
    assert told_of == [("Assam", 1), ("Bohea", 1), ("Ceylon", 1), ("Better Bohea", 2)]
    assert events[1][4] == events[2][4], "both of one import's events are of one transaction"
    assert await catalog.database.all("SELECT id::text, version FROM product ORDER BY id") == (
        await catalog.database.all("SELECT aggregate_id, max(aggregate_version) FROM outbox GROUP BY 1 ORDER BY 1")
    )


@pytest.mark.parametrize("outbox_broken_by", ["CREATE", "UPDATE", "IMPORT"])
async def test_what_cannot_be_published_is_not_written(catalog, outbox_broken_by):
    created = await catalog.create(told())
    await catalog.database.execute("ALTER TABLE outbox ADD CONSTRAINT broken CHECK (position < 0) NOT VALID")
    changes = {
        "CREATE": lambda: catalog.create(told("TEA-0002")),
        "UPDATE": lambda: catalog.update(told(id=created.id, name="Loud"), "display_name"),
        "IMPORT": lambda: catalog.import_all([told("TEA-0003"), told(created.sku, "Loud")]),
    }
    assert (await refusal_of(changes[outbox_broken_by]())).reason == "INTERNAL"
    assert await catalog.listed() == [[created.display_name]]
