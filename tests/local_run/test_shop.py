"""The whole shop, started and stopped for real."""

import asyncio
import stat
from ipaddress import ip_address

import psutil
import psycopg
import pytest

from scripts.local_run.ports import SERVICES
from tests.support.fronts import Fronts

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def test_the_edge_serves_the_catalog_and_verifies_tokens(separate_shop):
    async with Fronts(separate_shop.ports.edge) as fronts:
        listed = await fronts.rest("GET", "/v1/products")
        refused = await fronts.rest("GET", "/v1/orders", "nonsense")
    assert (listed.status, refused.refusal.reason) == (200, "TOKEN_INVALID")


@pytest.mark.parametrize("name", ["payment", "nats", "edge", "postgres"])
async def test_what_is_killed_comes_back(separate_shop, name):
    before = separate_shop.pids()[name]
    await separate_shop.kill(name)
    async with asyncio.timeout(30):
        await separate_shop.ready(name)
    assert separate_shop.pids()[name] != before


async def test_what_a_shell_needs_to_run_a_service_by_hand_is_the_owners_own(separate_shop):
    assert stat.S_IMODE((separate_shop.state / "environment").stat().st_mode) == 0o600


async def test_no_service_can_enter_the_database_of_another(separate_shop):
    for service in sorted({"identity", "payment"}):
        url = separate_shop.database_url(service).replace(f"/meshmart_{service}?", "/meshmart_order?")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await psycopg.AsyncConnection.connect(url)


async def test_only_the_services_of_the_contract_can_enter_the_broker(separate_shop):
    for login in (b'"user": "order", "pass": "guess"', b'"user": "admin", "pass": "test"', b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", separate_shop.ports.nats)
        assert (await reader.readline()).startswith(b"INFO ")
        writer.write(b'CONNECT {"verbose": true%s}\r\n' % (login and b", " + login))
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        writer.close()
        await writer.wait_closed()


async def test_everything_listens_on_loopback_only(separate_shop):
    listening = {
        ip_address(connection.laddr.ip.removeprefix("::ffff:"))
        for pid in separate_shop.pids().values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert all(address.is_loopback for address in listening)


async def test_one_process_hosts_all_services(one_process_shop):
    assert set(one_process_shop.pids()) == {"postgres", "nats", "services", "edge"}
    assert {one_process_shop.log(name) for name in SERVICES} == {one_process_shop.log("services")}
    async with Fronts(one_process_shop.ports.edge) as fronts:
        assert (await fronts.rest("GET", "/v1/products")).status == 200
