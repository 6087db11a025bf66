"""Failpoints: where a test has the process die, fail or wait, and nothing at all where none is armed."""

import ast
import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from services.chassis import failpoints, hosted
from services.chassis.database import Database
from services.chassis.failpoint_names import AROUND, PLACES, help_text, known
from services.chassis.failpoints import FailpointError, arm, around, around_methods, failpoint, parse
from services.chassis.service import Consumer
from services.chassis.settings import read_settings
from tests.chassis.eventing import eventually, make_tables, messages, relay, unpublished, write_many
from tests.chassis.shop import QUOTE, shop

ROOT = Path(__file__).parents[2]
DIES_AT_THE_THIRD = """
import asyncio
from services.chassis.failpoints import arm, failpoint

async def main():
    arm("relay.after_mark=kill@3")
    while True:
        print("hit", flush=True)
        await failpoint("relay.after_mark")

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave nothing armed behind."""
    yield
    arm("")


@pytest.fixture
def effects() -> list[str]:
    return []


@pytest.fixture
def step(effects) -> Callable:
    """Return a function whose effect can be seen."""

    async def step(effect: str) -> str:
        effects.append(effect)
        return effect

    return step


async def _outcome(function: Callable, *arguments: str) -> str:
    """Return what a function returned, or that a failpoint raised."""
    try:
        return str(await function(*arguments))
    except FailpointError:
        return "raised"


async def test_without_the_variable_nothing_is_wrapped(step):
    class Whole:
        expire = step

    whole = Whole()
    assert around("saga.{}_reserve", step) is step
    assert around_methods("payments", whole, "expire") is whole
    assert not vars(whole)
    await failpoint("relay.after_mark")


async def test_only_what_is_armed_is_wrapped(step):
    arm("saga.before_reserve=raise")
    assert around("saga.{}_reserve", step) is not step
    assert around("saga.{}_authorize", step) is step


async def test_it_acts_once_at_its_hit():
    arm("relay.after_mark=raise@3")
    assert [await _outcome(failpoint, "relay.after_mark") for _ in range(5)] == [
        "None",
        "None",
        "raised",
        "None",
        "None",
    ]


@pytest.mark.parametrize(("side", "effect"), [("before", []), ("after", ["reserved"])])
async def test_the_effect_is_not_there_before_and_is_there_after(side, effect, step, effects):
    arm(f"saga.{side}_reserve=raise")
    assert await _outcome(around("saga.{}_reserve", step), "reserved") == "raised"
    assert effects == effect
    assert await _outcome(around("saga.{}_reserve", step), "reserved") == "reserved"


async def test_the_methods_of_an_object_are_wrapped_by_their_names():
    class Whole:
        async def expire(self, order: str) -> str:
            return order

    arm("payments.after_expire=raise")
    whole = around_methods("payments", Whole(), "expire")
    assert [await _outcome(whole.expire, order) for order in ("one", "two")] == ["raised", "two"]


async def test_a_delay_lets_everything_else_go_first(step, effects):
    arm("saga.before_reserve=delay:20")
    await asyncio.gather(around("saga.{}_reserve", step)("waited"), step("went on"))
    assert effects == ["went on", "waited"]


def test_a_kill_is_the_end_of_the_process_at_its_hit():
    command = [sys.executable, "-c", DIES_AT_THE_THIRD]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert died.returncode == -signal.SIGKILL
    assert died.stdout.split() == ["hit"] * 3
    assert died.stderr.strip() == failpoints.LINE % ("relay.after_mark", "kill", 3)


@pytest.mark.parametrize(
    "text",
    [
        "relay.after_mark",
        "relay.after_mark=die",
        "relay.after_mark=kill@0",
        "relay.after_mark=delay",
        "relay.after_mark=kill relay.before_publish=kill",
        "=kill",
    ],
)
def test_what_cannot_be_read_says_how_it_is_written(text):
    with pytest.raises(ValueError, match="NAME=kill") as refused:
        parse(text)
    assert text in str(refused.value)


def test_several_are_read_each_with_its_action_and_hit():
    found = parse("relay.after_mark=kill@40; rpc.after.ReserveStock=raise;\nsaga.before_confirm=delay:500@2;")
    assert [(point.name, point.action, point.seconds, point.at) for point in found.values()] == [
        ("relay.after_mark", "kill", 0, 40),
        ("rpc.after.ReserveStock", "raise", 0, 1),
        ("saga.before_confirm", "delay:500", 0.5, 2),
    ]


def test_a_name_that_there_is_not_stops_the_start_and_the_others_are_listed(monkeypatch, capsys):
    monkeypatch.setenv("MESHMART_FAILPOINTS", "relay.after_mark=kill;relay.after_marking=kill")
    with pytest.raises(SystemExit):
        read_settings([])
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("MESHMART_FAILPOINTS"))
    assert "names of failpoints, not relay.after_marking; there are:" in line
    assert {*PLACES, "rpc.before.PlaceOrder", "consumer.after.payment_OrderConfirmed"} <= set(line.split())


def test_the_names_of_methods_are_those_of_unary_ones():
    assert {"rpc.before.ReserveStock", "rpc.after.ReserveStock"} <= known()
    assert "rpc.before.WatchOrder" not in known()


def _calls(name: str) -> Iterator[list[str]]:
    """Yield the texts that services give to each call of a function."""
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield [str(each.value) for each in node.args if isinstance(each, ast.Constant)]


def test_every_name_is_a_place_in_the_code_and_every_place_has_a_name():
    found = {part: tuple(sorted(methods)) for part, *methods in _merged()}
    assert found == {part: tuple(sorted(methods)) for part, methods in AROUND.items()}
    assert sorted(name for [name] in filter(None, _calls("failpoint"))) == sorted(PLACES)


def _merged() -> Iterator[tuple[str, ...]]:
    parts: dict[str, list[str]] = {}
    for part, *methods in _calls("around_methods"):
        parts.setdefault(part, []).extend(methods)
    return ((part, *methods) for part, methods in parts.items())


def test_help_names_each_kind():
    for word in (*PLACES, *AROUND, "rpc.before.METHOD", "consumer.after.SERVICE_EVENT"):
        assert word in help_text()


@pytest.mark.parametrize(("side", "effect"), [("before", []), ("after", ["quoted"])])
async def test_a_call_fails_on_either_side_of_its_handler(side, effect, step, effects):
    arm(f"rpc.{side}.QuoteOrder=raise")
    async with shop() as served:
        served.orders.act = lambda: step("quoted")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.order.QuoteOrder(QUOTE, metadata=served.customer)
        assert refused.value.code() is grpc.StatusCode.INTERNAL
        assert effects == effect
        await served.order.QuoteOrder(QUOTE, metadata=served.customer)


@pytest.mark.parametrize(("side", "effect"), [("before", []), ("after", ["captured"])])
async def test_a_consumer_fails_on_either_side_of_its_effect(side, effect, step, effects):
    arm(f"consumer.{side}.payment_OrderConfirmed=raise")
    consumer = hosted._between_failpoints("payment", Consumer(OrderConfirmed, step))
    assert await _outcome(consumer.handle, "captured") == "raised"
    assert effects == effect


@pytest.mark.parametrize("place", PLACES)
async def test_events_are_in_the_stream_once_wherever_the_relay_fails(place, database_url, nats):
    url = make_tables(await database_url())
    arm(f"{place}=raise")
    async with Database(url, name="test") as database, relay(nats, url):
        written = await write_many(database, 20)
        await eventually(lambda: unpublished(database), 0)
    client = await nats.connect()
    assert sorted(message.headers["ce-id"] for message in await messages(client)) == sorted(written)
    await client.close()
    assert failpoints._armed[place].hits
