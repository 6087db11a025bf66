"""Sums are the same in whichever order, however often and in whatever batches events come."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from random import Random
from typing import Any

import pytest
from google.protobuf.message import Message

from scripts.benchmarks.history import Happening, History
from services.analytics import statements
from services.analytics.consumers import SalesProjections
from services.analytics.store import SalesStore
from services.chassis.batch import Batch
from services.chassis.database import Database
from services.chassis.delivery import Delivery
from tests.analytics.counting import counted, stored


@pytest.fixture
async def database(database_url):
    async with Database(await database_url("analytics"), pool_size=8) as database:
        yield database


def a_history(seed: int, events: int = 300) -> list[Happening]:
    history = History(seed=seed, products=8, customers=20)
    return [*history.products(), *history.orders(events)]


def as_delivery(happening: Happening) -> Delivery[Message]:
    name = f"analytics_{happening.event.DESCRIPTOR.name}"
    return Delivery(
        happening.event, happening.event_id, happening.aggregate_id, happening.aggregate_version, "", 1, name
    )


async def hear(database: Database, happenings: Sequence[Happening], *, generation: int | None = None) -> None:
    """Hand events of one kind to their projection, as one batch."""
    [event] = {type(happening.event) for happening in happenings}
    model = SalesProjections(SalesStore(database)).read_model()
    [projection] = [projection for projection in model.projections if projection.event is event]
    deliveries = [as_delivery(happening) for happening in happenings]
    await projection.apply(Batch(deliveries, deliveries[0].consumer, generation))


def batches(happenings: Sequence[Happening], chance: Random) -> list[list[Happening]]:
    """Cut events into batches of one kind, in a random order."""
    kinds = defaultdict(list)
    for happening in happenings:
        kinds[type(happening.event)].append(happening)
    cut = []
    for kind in kinds.values():
        rest = iter(kind)
        while batch := list(islice(rest, chance.randint(1, 40))):
            cut.append(batch)
    chance.shuffle(cut)
    return cut


@pytest.mark.parametrize("seed", range(6))
async def test_sums_are_those_of_a_plain_count_in_any_order_and_with_repeats(database, seed):
    chance, happenings = Random(seed), a_history(seed)  # noqa: S311  # not a secret
    delivered = [*happenings, *chance.sample(happenings, 150)]
    chance.shuffle(delivered)

    for batch in batches(delivered, chance):
        await hear(database, batch)

    assert await stored(database) == counted(happenings)


async def test_sums_are_right_when_all_is_counted_at_once_and_nobody_waits_in_a_circle(database):
    chance, happenings = Random(7), a_history(7, events=800)  # noqa: S311  # not a secret
    delivered = [*happenings, *happenings]
    chance.shuffle(delivered)

    await asyncio.gather(*(hear(database, batch) for batch in batches(delivered, chance)))

    assert await stored(database) == counted(happenings)


async def test_an_order_counts_once_it_is_known_to_be_placed(database):
    paid = next(h for h in a_history(1) if h.event.DESCRIPTOR.name == "PaymentCaptured")
    placed = next(h for h in a_history(1) if h.aggregate_id == paid.aggregate_id)

    await hear(database, [paid])
    assert not (await stored(database))["funnel"]

    await hear(database, [placed])
    assert await stored(database) == counted([placed, paid])


async def test_a_second_event_of_the_same_step_changes_nothing(database):
    happenings = a_history(1)
    placed = [h for h in happenings if h.event.DESCRIPTOR.name == "OrderPlaced"]
    again = [Happening(_other(h), h.event, h.aggregate_id, h.aggregate_version, h.time) for h in placed]

    await hear(database, placed)
    await hear(database, again)

    assert await stored(database) == counted(placed)


async def test_of_a_product_the_newest_version_is_kept(database):
    [product, *_] = a_history(1)
    newest = type(product.event).FromString(product.event.SerializeToString())
    newest.category = "garden"
    change = Happening(_other(product), newest, product.aggregate_id, 3, product.time)

    await hear(database, [change])
    await hear(database, [product])

    assert (await stored(database))["product"] == counted([change])["product"]


def _other(happening: Happening):
    return type(happening.event_id)(int=happening.event_id.int ^ 1)


STATEMENTS = {
    "PLACE": statements.PLACE,
    "CHANGE_PRODUCTS": statements.CHANGE_PRODUCTS,
    **{name: statements.step(name) for name in ("confirmed", "rejected", "cancelled", "closed", "capture_failed")},
    **{name: statements.payment(name) for name in ("captured", "refunded")},
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
async def test_a_batch_finds_what_it_changes_by_index(database, statement):
    arrays = ("inbox_event_ids", "event_ids", "order_ids", "times", "customer_ids", "currency_codes", "product_ids")
    more = ("quantities", "amounts", "versions", "display_names", "categories")
    parameters: dict[str, Any] = {name: [] for name in arrays + more} | {"inbox_consumer": "", "inbox_generation": None}
    plan = [line for (line,) in await database.all(f"EXPLAIN {statement}", parameters)]

    # Of generations there are a few rows.
    assert not [line for line in plan if "Seq Scan" in line and "generation" not in line]
