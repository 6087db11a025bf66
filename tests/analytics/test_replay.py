"""Replay builds the same numbers anew while the old ones are served, whatever happens meanwhile."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest
from meshmart.analytics.v1 import analytics_service_pb2 as pb
from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked
from nats.errors import Error as BrokerError

from scripts.benchmarks.history import Happening, History, fill
from services.analytics.service import read_model
from services.chassis.broker import Broker
from services.chassis.database import Database
from services.chassis.generations import Projection, ReadModel
from services.chassis.replaying import EventsFailedError, Replay, ReplayRefusedError, only_replay
from services.events.cli import main
from tests.analytics.counting import counted, stored
from tests.chassis.eventing import eventually

DAYS = pb.Days(first="2026-09-01", last="2026-12-31")


def a_history(seed: int, events: int = 200) -> list[Happening]:
    history = History(seed=seed, products=6, customers=15)
    return [*history.products(), *history.orders(events)]


@pytest.fixture
async def client(nats):
    async with Broker("analytics", nats.url, nats.password) as broker:
        yield await broker.client()


@pytest.fixture
async def database(analytics):
    async with Database(analytics.url, name="replay") as database:
        yield database


def a_replay(database: Database, client, model: ReadModel | None = None) -> Replay:
    return Replay("analytics", model or read_model(database), database, client, lambda _: None)


async def generation(analytics) -> int:
    """Return which generation answers."""
    reply = await analytics.stub.GetFunnel(pb.GetFunnelRequest(days=DAYS), metadata=analytics.staff)
    return reply.freshness.generation


async def test_a_new_generation_has_the_same_numbers_and_answers_after(analytics, database, client):
    happenings = a_history(1)
    await analytics.tell(happenings)
    assert await generation(analytics) == 1

    assert await a_replay(database, client).run() == 2

    assert await generation(analytics) == 2
    await analytics.agrees_with(happenings)
    assert await stored(database, "1") == counted(happenings)


async def test_events_count_after_a_replay_as_before(analytics, database, client):
    before, after = a_history(1), a_history(2)
    await analytics.tell(before)
    for number in (2, 3):
        assert await a_replay(database, client).run() == number
    await analytics.tell(after)

    await analytics.agrees_with([*before, *after])
    assert not any((await stored(database, "1")).values())


async def test_events_that_come_during_a_replay_are_counted_in_both_generations(analytics, database, client):
    """History is read in the middle of which all kinds of events come, live and as a part of it."""
    before, meanwhile = a_history(1), a_history(2)
    await analytics.tell(before)
    model = read_model(database)

    async def told_meanwhile(batch):
        await model.projections[1].apply(batch)
        await analytics.tell(meanwhile)
        old = await stored(database, "1")
        assert old == counted([*before, *meanwhile])

    placed = replace(model.projections[1], apply=told_meanwhile)
    changed = replace(model, projections=(model.projections[0], placed, *model.projections[2:]))
    await a_replay(database, client, changed).run()

    await analytics.agrees_with([*before, *meanwhile])


async def test_events_that_come_at_any_time_are_counted(analytics, database, client):
    before, meanwhile = a_history(1, events=600), a_history(2, events=600)
    await analytics.tell(before)

    await asyncio.gather(analytics.tell(meanwhile), a_replay(database, client).run())

    await analytics.agrees_with([*before, *meanwhile])


async def test_what_the_service_is_behind_with_is_counted_once(analytics, database, client):
    """The service is held up by an event, and its statement ends only after another generation answers."""
    happenings = a_history(1)
    async with held(analytics, first_placed(happenings), generation=1):
        await fill(analytics.broker, iter(happenings))
        await eventually(lambda: waiting(database), wanted=True)
        await a_replay(database, client).run()
    await eventually(analytics.pending, 0)

    assert await generation(analytics) == 2
    await analytics.agrees_with(happenings)


def first_placed(happenings: list[Happening]) -> Happening:
    return next(happening for happening in happenings if happening.event.DESCRIPTOR.name == "OrderPlaced")


@asynccontextmanager
async def held(analytics, happening: Happening, generation: int):
    """Hold up whoever writes an event to a generation, by the row of the inbox."""
    statement = "INSERT INTO inbox (event_id, consumer, generation) VALUES (%s, 'analytics_OrderPlaced', %s)"
    async with await psycopg.AsyncConnection.connect(analytics.url) as connection:
        await connection.execute(statement, (happening.event_id, generation))
        yield
        await connection.rollback()


async def waiting(database: Database) -> bool:
    """Return whether somebody is held up."""
    statement = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await database.all(statement))


async def states(database: Database) -> list[str]:
    return [row[0] for row in await database.all("SELECT state FROM generation ORDER BY state")]


class Command:
    """`python -m services events replay`, as an operator runs it."""

    def __init__(self, analytics, nats, monkeypatch, capsys) -> None:
        self._patch, self._screen = monkeypatch, capsys
        self.environment = {
            "MESHMART_NATS_URL": nats.url,
            "MESHMART_IDENTITY_ADDRESS": "127.0.0.1:1",
            "MESHMART_ANALYTICS_NATS_PASSWORD": nats.password,
            "MESHMART_ANALYTICS_DATABASE_URL": analytics.url,
        }

    async def start(self) -> asyncio.subprocess.Process:
        """Begin a replay in a process of its own."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "events", "replay", "analytics",
            env=environment, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Return exit code, output and complaints."""
        for name, value in {**self.environment, **environment}.items():
            self._patch.setenv(name, value)
        self._screen.readouterr()
        code = await asyncio.to_thread(_code, arguments)
        told = self._screen.readouterr()
        return code, "".join(line for line in told.out.splitlines(keepends=True) if line[0] != "{"), told.err


def _code(arguments: tuple[str, ...]) -> int:
    try:
        return main(["replay", *arguments])
    except SystemExit as error:
        return int(error.code or 0)


@pytest.fixture
def command(analytics, nats, monkeypatch, capsys) -> Command:
    return Command(analytics, nats, monkeypatch, capsys)


async def test_the_command_says_how_far_it_is_and_what_answers(analytics, command):
    happenings = a_history(1)
    await analytics.tell(happenings)

    code, output, complaints = await command.run("analytics")

    assert (code, complaints) == (0, "")
    lines = output.splitlines()
    assert lines[0].split() == ["ProductChanged", "0", "of", "6"]
    assert lines[-1].startswith(f"generation 2 answers: {len(happenings)} events in ")
    await analytics.agrees_with(happenings)


async def test_a_replay_that_is_killed_leaves_the_old_numbers_and_the_next_one_finishes(analytics, database, command):
    before, after = a_history(1), a_history(2)
    await analytics.tell(before)
    async with held(analytics, first_placed(before), generation=2):
        killed = await command.start()
        await eventually(lambda: waiting(database), wanted=True)
        killed.kill()
        await killed.wait()
    assert await states(database) == ["BUILDING", "CURRENT"]
    await analytics.tell(after)
    assert await generation(analytics) == 1
    await analytics.agrees_with([*before, *after])

    code, output, _ = await command.run("analytics")

    assert (code, output.splitlines()[-1].split(":")[0]) == (0, "generation 3 answers")
    await analytics.agrees_with([*before, *after])
    assert await states(database) == ["CURRENT", "RETIRED"]
    assert not any((await stored(database, "2")).values())


async def test_two_replays_do_not_run_at_once(analytics, database, command):
    happenings = a_history(1)
    await analytics.tell(happenings)
    async with held(analytics, first_placed(happenings), generation=2):
        first = await command.start()
        await eventually(lambda: waiting(database), wanted=True)
        code, _, complaints = await command.run("analytics")
    await first.wait()

    assert (code, complaints) == (2, "another replay of analytics is running\n")
    assert first.returncode == 0
    await analytics.agrees_with(happenings)
    assert await generation(analytics) == 2


REFUSALS = {
    "an unknown service": (["sales"], {}, 2, "no such service: sales; there are: "),
    "a service without a read model": (["order"], {}, 2, "order has no read model"),
    "a service that must not repeat itself": (["notification"], {}, 2, "notification has no read model"),
    "no service": ([], {}, 2, "the following arguments are required: service"),
    "settings that are missing": (
        ["analytics"],
        {"MESHMART_ANALYTICS_NATS_PASSWORD": ""},
        2,
        "MESHMART_ANALYTICS_NATS_PASSWORD",
    ),
    "a database that is away": (
        ["analytics"],
        {"MESHMART_ANALYTICS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
        1,
        "the database does not answer",
    ),
    "a broker that is away": (
        ["analytics"],
        {"MESHMART_NATS_URL": "nats://127.0.0.1:1"},
        1,
        "the broker does not answer",
    ),
}


@pytest.mark.parametrize(("arguments", "environment", "code", "text"), REFUSALS.values(), ids=REFUSALS)
async def test_a_replay_that_cannot_be_is_refused(
    analytics, database, command, monkeypatch, arguments, environment, code, text
):
    monkeypatch.setattr("services.events.replay.PATIENCE", 0.5)
    refused, output, complaints = await command.run(*arguments, **environment)

    assert (refused, output) == (code, "")
    assert text in complaints
    assert "Traceback" not in complaints
    assert await states(database) == ["CURRENT"]


async def test_a_database_without_the_tables_is_refused(analytics, command, database_url):
    code, _, complaints = await command.run("analytics", MESHMART_ANALYTICS_DATABASE_URL=await database_url())

    assert code == 1
    assert "the database lacks a table: python -m services migrate" in complaints


async def test_an_event_that_its_contract_does_not_call_replayable_is_refused(analytics, database, client):
    async def ignore(_) -> None:
        pass

    model = ReadModel((Projection(OrderRestocked, ignore),), ())
    with pytest.raises(ReplayRefusedError, match="does not say `replayable`"):
        await a_replay(database, client, model).run()
    assert await states(database) == ["CURRENT"]


def failing(model: ReadModel, event_id) -> ReadModel:
    """Return a read model that cannot write one event."""

    def failing_apply(projection):
        async def apply(batch):
            if any(delivery.event_id == event_id for delivery in batch.deliveries):
                raise ValueError("a value of the event")
            await projection.apply(batch)

        return replace(projection, apply=apply)

    return replace(model, projections=tuple(map(failing_apply, model.projections)))


async def test_an_event_that_cannot_be_written_stops_the_swap_unless_it_may_be_left_out(analytics, database, client):
    happenings = a_history(1)
    await analytics.tell(happenings)
    poison = next(h for h in happenings if h.event.DESCRIPTOR.name == "OrderConfirmed")
    model = failing(read_model(database), poison.event_id)

    with pytest.raises(EventsFailedError) as caught:
        await a_replay(database, client, model).run()
    [failure] = caught.value.failures
    assert (failure.event_id, failure.event) == (str(poison.event_id), "OrderConfirmed")
    assert "a value of the event" not in failure.problem
    assert await generation(analytics) == 1

    skipping = replace(a_replay(database, client, model), skip_failed=True)
    await skipping.run()
    assert await generation(analytics) == 3
    await analytics.agrees_with([h for h in happenings if h is not poison])


async def test_what_a_broker_has_lost_stops_the_swap_unless_it_is_accepted(analytics, database, command):
    happenings = a_history(1)
    await analytics.tell(happenings)
    await analytics.broker.jetstream().purge_stream("meshmart_payment_v1")

    code, _, complaints = await command.run("analytics")

    assert code == 1
    assert "events are missing" in complaints
    assert await generation(analytics) == 1
    await analytics.agrees_with(happenings)

    assert (await command.run("analytics", "--accept-less"))[0] == 0
    assert await generation(analytics) == 3


async def test_an_event_that_cannot_be_read_stops_the_swap(analytics, database, client):
    happenings = a_history(1)
    await analytics.tell(happenings)
    subject = "meshmart.order.v1.OrderConfirmed.0"
    await analytics.broker.jetstream().publish(subject, b"\xff\xff", headers={"ce-id": "of nobody"})

    with pytest.raises(EventsFailedError) as caught:
        await a_replay(database, client).run()

    assert [failure.event_id for failure in caught.value.failures] == ["of nobody"]
    await analytics.agrees_with(happenings)


async def test_a_broker_that_is_lost_ends_a_replay_and_the_old_generation_answers(analytics, database, client, nats):
    await analytics.tell(a_history(1))
    model = read_model(database)

    async def lost(batch):
        nats.server.stop()
        await model.projections[1].apply(batch)

    projections = (model.projections[0], replace(model.projections[1], apply=lost), *model.projections[2:])
    with pytest.raises((BrokerError, TimeoutError)):
        await a_replay(database, client, replace(model, projections=projections)).run()

    assert await states(database) == ["BUILDING", "CURRENT"]
    assert await generation(analytics) == 1


async def test_the_lock_of_a_replay_ends_with_it(analytics):
    for _ in range(2):
        async with only_replay(analytics.url, "analytics"):
            with pytest.raises(ReplayRefusedError):
                async with only_replay(analytics.url, "analytics"):
                    pass


async def test_the_read_model_names_each_table_that_carries_a_generation(database):
    statement = """
        SELECT table_name FROM information_schema.columns
        WHERE column_name = 'generation' AND table_schema = 'public' AND table_name <> 'inbox'"""
    assert {row[0] for row in await database.all(statement)} == set(read_model(database).tables)
