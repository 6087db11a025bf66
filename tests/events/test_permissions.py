"""The permissions that the contract compiler gives to operator and services suffice for what an operator does."""

import json
from collections.abc import Iterator

import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from scripts.local_run.nats import Nats
from scripts.local_run.supervisor import PERMISSIONS
from tests.chassis.eventing import consumer, effects, eventually, write
from tests.support.broker import PASSWORD, Broker


@pytest.fixture(name="nats")
def strict_nats(tmp_path) -> Iterator[Broker]:
    """Return a broker whose users may do what the contract says, instead of one where they may do everything."""
    permissions = json.loads(PERMISSIONS.read_text())["permissions"]
    users = [{"user": name, "password": PASSWORD, "permissions": allowed} for name, allowed in permissions.items()]
    server = Nats(tmp_path / "nats", tmp_path / "nats.log", users)
    server.start()
    yield Broker(server.url, server)
    server.stop()


async def test_an_operator_does_it_all(command, nats, database, stream, handler):
    async def dead() -> list[str]:
        return [record["id"] for record in (await command("dead", "list", "--json")).records]

    async def handled() -> int:
        return len(await effects(database))

    async with consumer(nats, handler):
        await write(database, OrderConfirmed(order_id="poison"), "one")
        await eventually(dead, ["payment:1"])
        assert (await command("dead", "show", "payment:1")).code == 0
        handler.broken = False
        assert (await command("dead", "redrive", "--all")).code == 0
        await eventually(handled, 1)
        await eventually(dead, [])
        assert (await command("dead", "redrive", "--all")).out == "redrove 0\n"
        assert (await command("lag")).code == 0
        assert len((await command("tail", "--since", "1h", "--no-follow", "--json")).records) == 1
        assert (await command("republish", "--since", "1h")).code == 0
    assert await handled() == 1
