"""A generation is built while another answers, and takes its place at once or never."""

import asyncio
from dataclasses import replace

import psycopg
import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from services.chassis import generations
from services.chassis.batch import Batch
from services.chassis.database import Database
from services.chassis.generations import GenerationLostError, Generations
from services.chassis.migrations import tables
from tests.chassis.eventing import make_tables
from tests.support.events import delivery

SEEN = "CREATE TABLE seen (generation integer, event_id uuid); CREATE INDEX ON seen (generation)"
WRITE = f"""
WITH target AS ({generations.TARGET}), heard AS ({generations.HEARD})
INSERT INTO seen SELECT generation, event_id FROM heard"""  # noqa: S608  # only constants are put in


@pytest.fixture
async def database(database_url):
    url = make_tables(await database_url())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(tables.GENERATION)
        connection.execute(SEEN)
    async with Database(url) as database:
        yield database


@pytest.fixture
def made(database) -> Generations:
    return Generations(database, ["seen"])


def a_batch(count: int = 1) -> Batch[OrderConfirmed]:
    return Batch([delivery(OrderConfirmed()) for _ in range(count)], "test")


async def write(database: Database, batch: Batch[OrderConfirmed], generation: int | None = None) -> None:
    await database.execute(WRITE, replace(batch, generation=generation).inbox_parameters())


async def seen(database: Database) -> dict[int, int]:
    """Return how many events each generation has."""
    return dict(await database.all("SELECT generation, count(*)::int FROM seen GROUP BY 1"))


async def test_live_events_are_written_to_what_answers_and_to_what_is_built(database, made):
    await write(database, a_batch())
    assert await made.begin() == 2
    await write(database, a_batch(3))

    assert await seen(database) == {1: 4, 2: 3}


async def test_history_is_written_to_what_is_built_only_and_each_event_once(database, made):
    before, meanwhile = a_batch(2), a_batch(3)
    await write(database, before)
    number = await made.begin()
    await write(database, meanwhile)

    for _ in range(2):
        await write(database, before, number)
        await write(database, meanwhile, number)
        await write(database, meanwhile)

    assert await seen(database) == {1: 5, 2: 5}


async def test_an_event_that_comes_twice_in_a_batch_counts_once(database):
    batch = a_batch()
    await write(database, replace(batch, deliveries=[*batch.deliveries] * 2))

    assert await seen(database) == {1: 1}


async def test_a_swap_lets_the_new_one_answer_and_keeps_the_one_before(database, made):
    await write(database, a_batch())
    for number in (2, 3):
        assert await made.begin() == number
        await write(database, a_batch())
        await made.swap(number)
        await made.forget_old()
        assert await made.current() == number

    states = await database.all("SELECT number, state FROM generation ORDER BY number")
    assert states == [(2, "RETIRED"), (3, "CURRENT")]
    assert await seen(database) == {2: 2, 3: 1}


async def test_an_unfinished_generation_is_given_up_by_the_next(database, made):
    abandoned = await made.begin()
    await write(database, a_batch())
    number = await made.begin()
    await write(database, a_batch(), abandoned)

    assert await seen(database) == {1: 1}
    with pytest.raises(GenerationLostError):
        await made.swap(abandoned)
    assert await made.current() == 1
    await made.swap(number)
    assert await made.current() == number


async def test_rows_that_a_late_statement_wrote_to_a_lost_generation_are_swept_by_the_next(database, made):
    await database.execute("INSERT INTO seen (generation) SELECT 0 FROM generate_series(1, 12000)")
    await made.begin()

    assert await seen(database) == {}


async def test_two_generations_are_never_built_at_once(database, made):
    outcomes = await asyncio.gather(*(made.begin() for _ in range(4)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} <= {int, psycopg.errors.UniqueViolation}
    assert await database.all("SELECT count(*)::int FROM generation WHERE state = 'BUILDING'") == [(1,)]
